"""market.depth.updated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from .named_types import DepthKind, PriceLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthUpdated:
    """A snapshot of an order book or a change to it. Published by feed adapters. A delta applies to the book whose
    last_update_id is its first_update_id - 1, or its previous_update_id where that is given.
    """

    event_type: ClassVar[str] = "market.depth.updated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "venue:symbol"

    venue: str
    """Venue and market segment, lower case and dotted, e.g. 'binance.spot' or 'xnas'. Set by the feed adapter."""
    symbol: str
    """Instrument as the venue writes it, e.g. 'BTCUSDT'. Set by the venue."""
    kind: DepthKind = DepthKind.UNKNOWN
    """Whether the levels replace the book or change it. Set by the feed adapter."""
    bids: tuple[PriceLevel, ...] = ()
    """Bid levels in the venue's order. Set by the venue."""
    asks: tuple[PriceLevel, ...] = ()
    """Ask levels in the venue's order. Set by the venue."""
    first_update_id: int | None = None
    """First book update folded into this message; null in a snapshot. Set by the venue."""
    last_update_id: int | None = None
    """Last book update folded into this message; null where the venue numbers none. Set by the venue."""
    previous_update_id: int | None = None
    """last_update_id of the message before, on venues that chain messages so; else null. Set by the venue."""
    depth_time_ns: int
    """UTC epoch nanoseconds when the book changed, by the venue's clock; the arrival time where the venue gives none.
    Set by the feed adapter.
    """
    received_time_ns: int | None = None
    """UTC epoch nanoseconds by the feed adapter's own clock when the message arrived; null where nobody noted it."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "kind": self.kind,
            "bids": [item.to_data() for item in self.bids],
            "asks": [item.to_data() for item in self.asks],
            "first_update_id": self.first_update_id,
            "last_update_id": self.last_update_id,
            "previous_update_id": self.previous_update_id,
            "depth_time_ns": self.depth_time_ns,
            "received_time_ns": self.received_time_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            venue=data["venue"],
            symbol=data["symbol"],
            kind=DepthKind(data["kind"]),
            bids=tuple(PriceLevel.from_data(item) for item in data["bids"]),
            asks=tuple(PriceLevel.from_data(item) for item in data["asks"]),
            first_update_id=data["first_update_id"],
            last_update_id=data["last_update_id"],
            previous_update_id=data["previous_update_id"],
            depth_time_ns=data["depth_time_ns"],
            received_time_ns=data["received_time_ns"],
        )
