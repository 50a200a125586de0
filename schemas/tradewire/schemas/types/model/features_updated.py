"""model.features.updated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesUpdated:
    """The features of an instrument were computed anew; each event replaces the one before. Published by the feature
    service.
    """

    event_type: ClassVar[str] = "model.features.updated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "feature_set:symbol"

    feature_set: str
    """Name and version of the set, e.g. 'momentum/2': it fixes names, order and units. Set by the feature service."""
    symbol: str
    """Instrument described, as the venue writes it. Set by the feature service."""
    as_of_ns: int
    """UTC epoch nanoseconds: no data after it went in. Set by the feature service."""
    features: Mapping[str, Decimal] = field(default_factory=dict)
    """Features by name, in the set's own units; empty if only the vector is given. Set by the feature service."""
    vector: tuple[Decimal, ...] = ()
    """Features in the set's own order; empty if only names are given. Set by the feature service."""
    venue: str | None = None
    """Venue whose data went in, e.g. 'binance.spot'; null where several. Set by the feature service."""
    window_ms: int | None = None
    """Length of data looked back on, milliseconds; null where it differs by feature. Set by the feature service."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "feature_set": self.feature_set,
            "symbol": self.symbol,
            "as_of_ns": self.as_of_ns,
            "features": dict(self.features),
            "vector": list(self.vector),
            "venue": self.venue,
            "window_ms": self.window_ms,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            feature_set=data["feature_set"],
            symbol=data["symbol"],
            as_of_ns=data["as_of_ns"],
            features=data["features"],
            vector=tuple(data["vector"]),
            venue=data["venue"],
            window_ms=data["window_ms"],
        )
