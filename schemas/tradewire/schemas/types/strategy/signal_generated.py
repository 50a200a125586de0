"""strategy.signal.generated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import TradeAction


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalGenerated:
    """A strategy or model sees a reason to trade; nothing is decided yet. Published by the strategy."""

    event_type: ClassVar[str] = "strategy.signal.generated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "strategy"

    signal_id: str
    """Id of the signal, unique for ever; decisions refer to it. Set by the strategy."""
    strategy: str
    """Name of the strategy, stable over its runs. Set by the strategy runner."""
    symbol: str
    """Instrument meant, as the venue writes it. Set by the strategy."""
    action: TradeAction = TradeAction.UNKNOWN
    """What the signal asks for. Set by the strategy."""
    venue: str | None = None
    """Venue whose prices were looked at, e.g. 'binance.spot'; null where several. Set by the strategy."""
    confidence: Decimal | None = None
    """How sure the strategy is, 0 to 1; null where it does not say."""
    price: Decimal | None = None
    """Price in quote currency at which the signal arose; null where it rests on no price. Set by the strategy."""
    target_price: Decimal | None = None
    """Price in quote currency expected to be reached; null where none. Set by the strategy."""
    stop_price: Decimal | None = None
    """Price in quote currency that proves the signal wrong; null where none. Set by the strategy."""
    horizon_ms: int | None = None
    """How long the move is expected to take, milliseconds; null where unsaid. Set by the strategy."""
    model_id: str | None = None
    """Model behind the signal; null for plain rules. Set by the strategy."""
    setup_id: str | None = None
    """Trading setup that the signal comes from (setup.plan.created); null where none. Set by the strategy."""
    run_id: str | None = None
    """Run that this belongs to (strategy.run.started); null outside a run. Set by the strategy runner."""
    features: Mapping[str, Decimal] = field(default_factory=dict)
    """The figures that gave rise to it, by name, in the strategy's own units. Set by the strategy."""
    reason: str | None = None
    """Why, in words; null where unsaid. Set by the strategy."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "signal_id": self.signal_id,
            "strategy": self.strategy,
            "symbol": self.symbol,
            "action": self.action,
            "venue": self.venue,
            "confidence": self.confidence,
            "price": self.price,
            "target_price": self.target_price,
            "stop_price": self.stop_price,
            "horizon_ms": self.horizon_ms,
            "model_id": self.model_id,
            "setup_id": self.setup_id,
            "run_id": self.run_id,
            "features": dict(self.features),
            "reason": self.reason,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            signal_id=data["signal_id"],
            strategy=data["strategy"],
            symbol=data["symbol"],
            action=TradeAction(data["action"]),
            venue=data["venue"],
            confidence=data["confidence"],
            price=data["price"],
            target_price=data["target_price"],
            stop_price=data["stop_price"],
            horizon_ms=data["horizon_ms"],
            model_id=data["model_id"],
            setup_id=data["setup_id"],
            run_id=data["run_id"],
            features=data["features"],
            reason=data["reason"],
        )
