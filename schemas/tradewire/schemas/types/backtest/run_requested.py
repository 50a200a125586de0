"""backtest.run.requested v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequested:
    """Somebody wants a strategy tested on the past of one instrument. Published by the requester."""

    event_type: ClassVar[str] = "backtest.run.requested"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "backtest_id"

    backtest_id: str
    """Id of the test, unique for ever; its result refers to it. Set by the requester."""
    symbol: str
    """Instrument to trade, as the venue writes it. Set by the requester."""
    strategy: str
    """Strategy to test. Set by the requester."""
    period_start_ns: int
    """UTC epoch nanoseconds of the start of the past to trade, inclusive. Set by the requester."""
    period_end_ns: int
    """UTC epoch nanoseconds of its end, exclusive. Set by the requester."""
    initial_capital: Decimal
    """Money at the start, in currency. Set by the requester."""
    currency: str
    """Currency of all amounts, e.g. 'USD'. Set by the requester."""
    venue: str | None = None
    """Venue whose data are used, e.g. 'binance.spot'; null for the default. Set by the requester."""
    interval_ms: int | None = None
    """Length of candles to run on, milliseconds; null to run on trades. Set by the requester."""
    fee_ratio: Decimal | None = None
    """Fee assumed on each fill, share of its value, 0.001 is 0.1 %; null for the venue's own. Set by the requester."""
    slippage_ratio: Decimal | None = None
    """Slippage assumed on each fill, share of its price; null for none. Set by the requester."""
    requested_by: str | None = None
    """Person or service that asks; null where unknown. Set by the requester."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the strategy, by name, as text. Set by the requester."""
    sweep_id: str | None = None
    """Sweep that it is part of (backtest.sweep.requested); null for one that stands alone. Set by the requester."""
    optimization_id: str | None = None
    """Optimization that it is part of (backtest.optimization.requested); null for one that stands alone. Set by the
    requester.
    """

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "backtest_id": self.backtest_id,
            "symbol": self.symbol,
            "strategy": self.strategy,
            "period_start_ns": self.period_start_ns,
            "period_end_ns": self.period_end_ns,
            "initial_capital": self.initial_capital,
            "currency": self.currency,
            "venue": self.venue,
            "interval_ms": self.interval_ms,
            "fee_ratio": self.fee_ratio,
            "slippage_ratio": self.slippage_ratio,
            "requested_by": self.requested_by,
            "parameters": dict(self.parameters),
            "sweep_id": self.sweep_id,
            "optimization_id": self.optimization_id,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            backtest_id=data["backtest_id"],
            symbol=data["symbol"],
            strategy=data["strategy"],
            period_start_ns=data["period_start_ns"],
            period_end_ns=data["period_end_ns"],
            initial_capital=data["initial_capital"],
            currency=data["currency"],
            venue=data["venue"],
            interval_ms=data["interval_ms"],
            fee_ratio=data["fee_ratio"],
            slippage_ratio=data["slippage_ratio"],
            requested_by=data["requested_by"],
            parameters=data["parameters"],
            sweep_id=data["sweep_id"],
            optimization_id=data["optimization_id"],
        )
