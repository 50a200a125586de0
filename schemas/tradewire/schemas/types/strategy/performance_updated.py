"""strategy.performance.updated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceUpdated:
    """How a strategy did over a period. Published by the performance service."""

    event_type: ClassVar[str] = "strategy.performance.updated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "strategy"

    strategy: str
    """Name of the strategy, stable over its runs. Set by the strategy runner."""
    run_id: str | None = None
    """Run that this belongs to (strategy.run.started); null outside a run. Set by the strategy runner."""
    account: str | None = None
    """Account measured; null for all. Set by the performance service."""
    period_start_ns: int
    """UTC epoch nanoseconds of the start of the period, inclusive. Set by the performance service."""
    period_end_ns: int
    """UTC epoch nanoseconds of the end of the period, exclusive. Set by the performance service."""
    pnl: Decimal
    """Profit of the period, realised and unrealised, after fees, in currency. Set by the performance service."""
    currency: str | None = None
    """Currency of all amounts here; null means the account's own. Set by the performance service."""
    realised_pnl: Decimal | None = None
    """Realised part of pnl in currency; null where not told apart. Set by the performance service."""
    unrealised_pnl: Decimal | None = None
    """Unrealised part of pnl in currency; null where not told apart. Set by the performance service."""
    return_ratio: Decimal | None = None
    """pnl over the equity at the start, 0.01 is 1 %; null where not measured. Set by the performance service."""
    sharpe_ratio: Decimal | None = None
    """Annualised Sharpe ratio; null where not measured. Set by the performance service."""
    sortino_ratio: Decimal | None = None
    """Annualised Sortino ratio; null where not measured. Set by the performance service."""
    drawdown_ratio_max: Decimal | None = None
    """Deepest fall from a peak of equity, 0.2 is 20 %; null where not measured. Set by the performance service."""
    win_ratio: Decimal | None = None
    """Share of closed trades that won, 0 to 1; null where not measured. Set by the performance service."""
    trade_count: int | None = None
    """Number of closed trades; null where not counted. Set by the performance service."""
    metrics: Mapping[str, Decimal] = field(default_factory=dict)
    """Further figures by name, in their own units. Set by the performance service."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "strategy": self.strategy,
            "run_id": self.run_id,
            "account": self.account,
            "period_start_ns": self.period_start_ns,
            "period_end_ns": self.period_end_ns,
            "pnl": self.pnl,
            "currency": self.currency,
            "realised_pnl": self.realised_pnl,
            "unrealised_pnl": self.unrealised_pnl,
            "return_ratio": self.return_ratio,
            "sharpe_ratio": self.sharpe_ratio,
            "sortino_ratio": self.sortino_ratio,
            "drawdown_ratio_max": self.drawdown_ratio_max,
            "win_ratio": self.win_ratio,
            "trade_count": self.trade_count,
            "metrics": dict(self.metrics),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            strategy=data["strategy"],
            run_id=data["run_id"],
            account=data["account"],
            period_start_ns=data["period_start_ns"],
            period_end_ns=data["period_end_ns"],
            pnl=data["pnl"],
            currency=data["currency"],
            realised_pnl=data["realised_pnl"],
            unrealised_pnl=data["unrealised_pnl"],
            return_ratio=data["return_ratio"],
            sharpe_ratio=data["sharpe_ratio"],
            sortino_ratio=data["sortino_ratio"],
            drawdown_ratio_max=data["drawdown_ratio_max"],
            win_ratio=data["win_ratio"],
            trade_count=data["trade_count"],
            metrics=data["metrics"],
        )
