"""market.regime.changed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeChanged:
    """A detector sees a market in another regime than before. Published by the regime detector."""

    event_type: ClassVar[str] = "market.regime.changed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "scope"

    scope: str
    """What is in the regime: an instrument ('BTCUSDT'), a sector or a market ('crypto'). Set by the detector."""
    regime: str
    """The new regime in the detector's own words, lower case, e.g. 'trending_up', 'ranging', 'high_volatility'. Set by
    the detector.
    """
    previous_regime: str | None = None
    """The regime before; null for the first one. Set by the detector."""
    confidence: Decimal | None = None
    """How sure the detector is, 0 to 1; null where it does not say."""
    detector: str | None = None
    """Model or rule that decided, with its version; null where unnamed. Set by the detector."""
    features: Mapping[str, Decimal] = field(default_factory=dict)
    """The figures that decided it, by name, in the detector's own units. Set by the detector."""
    change_time_ns: int
    """UTC epoch nanoseconds from which the new regime holds. Set by the detector."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "scope": self.scope,
            "regime": self.regime,
            "previous_regime": self.previous_regime,
            "confidence": self.confidence,
            "detector": self.detector,
            "features": dict(self.features),
            "change_time_ns": self.change_time_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            scope=data["scope"],
            regime=data["regime"],
            previous_regime=data["previous_regime"],
            confidence=data["confidence"],
            detector=data["detector"],
            features=data["features"],
            change_time_ns=data["change_time_ns"],
        )
