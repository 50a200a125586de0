"""backtest.run.completed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import BacktestOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCompleted:
    """A backtest ended, well or not. Published by the backtester."""

    event_type: ClassVar[str] = "backtest.run.completed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "backtest_id"

    backtest_id: str
    """The test that ended (backtest.run.requested). Set by the requester."""
    strategy: str
    """Strategy tested. Set by the requester."""
    symbols: tuple[str, ...] = ()
    """Instruments traded. Set by the backtester."""
    outcome: BacktestOutcome = BacktestOutcome.UNKNOWN
    """How it ended. Set by the backtester."""
    message: str | None = None
    """Why it failed or was cancelled; else null. Set by the backtester."""
    currency: str | None = None
    """Currency of all amounts; null without a result. Set by the backtester."""
    final_equity: Decimal | None = None
    """Worth at the end, in currency; null without a result. Set by the backtester."""
    pnl: Decimal | None = None
    """Profit after fees, in currency; null without a result. Set by the backtester."""
    fees: Decimal | None = None
    """Fees paid, in currency; null without a result. Set by the backtester."""
    return_ratio: Decimal | None = None
    """pnl over the initial capital, 0.01 is 1 %; null without a result. Set by the backtester."""
    sharpe_ratio: Decimal | None = None
    """Annualised Sharpe ratio; null where not measured. Set by the backtester."""
    sortino_ratio: Decimal | None = None
    """Annualised Sortino ratio; null where not measured. Set by the backtester."""
    drawdown_ratio_max: Decimal | None = None
    """Deepest fall from a peak of equity, 0.2 is 20 %; null where not measured. Set by the backtester."""
    win_ratio: Decimal | None = None
    """Share of closed trades that won, 0 to 1; null where not measured. Set by the backtester."""
    trade_count: int | None = None
    """Number of closed trades; null without a result. Set by the backtester."""
    metrics: Mapping[str, Decimal] = field(default_factory=dict)
    """Further figures by name. Set by the backtester."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the strategy, by name, as text. Set by the requester."""
    report_uri: str | None = None
    """Where the full report lies; null where there is none. Set by the backtester."""
    sweep_id: str | None = None
    """Sweep that it was part of; null for one that stood alone. Set by the requester."""
    optimization_id: str | None = None
    """Optimization that it was part of; null for one that stood alone. Set by the requester."""
    duration_ms: int | None = None
    """How long the test took, milliseconds; null where not measured. Set by the backtester."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "backtest_id": self.backtest_id,
            "strategy": self.strategy,
            "symbols": list(self.symbols),
            "outcome": self.outcome,
            "message": self.message,
            "currency": self.currency,
            "final_equity": self.final_equity,
            "pnl": self.pnl,
            "fees": self.fees,
            "return_ratio": self.return_ratio,
            "sharpe_ratio": self.sharpe_ratio,
            "sortino_ratio": self.sortino_ratio,
            "drawdown_ratio_max": self.drawdown_ratio_max,
            "win_ratio": self.win_ratio,
            "trade_count": self.trade_count,
            "metrics": dict(self.metrics),
            "parameters": dict(self.parameters),
            "report_uri": self.report_uri,
            "sweep_id": self.sweep_id,
            "optimization_id": self.optimization_id,
            "duration_ms": self.duration_ms,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            backtest_id=data["backtest_id"],
            strategy=data["strategy"],
            symbols=tuple(data["symbols"]),
            outcome=BacktestOutcome(data["outcome"]),
            message=data["message"],
            currency=data["currency"],
            final_equity=data["final_equity"],
            pnl=data["pnl"],
            fees=data["fees"],
            return_ratio=data["return_ratio"],
            sharpe_ratio=data["sharpe_ratio"],
            sortino_ratio=data["sortino_ratio"],
            drawdown_ratio_max=data["drawdown_ratio_max"],
            win_ratio=data["win_ratio"],
            trade_count=data["trade_count"],
            metrics=data["metrics"],
            parameters=data["parameters"],
            report_uri=data["report_uri"],
            sweep_id=data["sweep_id"],
            optimization_id=data["optimization_id"],
            duration_ms=data["duration_ms"],
        )
