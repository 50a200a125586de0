"""market.quote.updated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteUpdated:
    """Best bid and ask of an instrument after a change. Published by feed adapters. Hot: kept as small as it can be. A
    side with nobody on it has quantity 0, and its price then means nothing.
    """

    event_type: ClassVar[str] = "market.quote.updated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "venue:symbol"

    venue: str
    """Venue and market segment, lower case and dotted, e.g. 'binance.spot' or 'xnas'. Set by the feed adapter."""
    symbol: str
    """Instrument as the venue writes it, e.g. 'BTCUSDT'. Set by the venue."""
    bid_price: Decimal
    """Best bid in quote currency; ignore it when bid_quantity is 0. Set by the venue."""
    bid_quantity: Decimal
    """Quantity at the best bid in base units or contracts; 0 when there is no bid. Set by the venue."""
    ask_price: Decimal
    """Best ask in quote currency; ignore it when ask_quantity is 0. Set by the venue."""
    ask_quantity: Decimal
    """Quantity at the best ask in base units or contracts; 0 when there is no ask. Set by the venue."""
    update_id: int | None = None
    """The venue's number of this order book state, growing per (venue, symbol); null where the venue gives none."""
    quote_time_ns: int
    """UTC epoch nanoseconds when the quote took effect, by the venue's clock; the arrival time where the venue gives
    none. Set by the feed adapter.
    """
    received_time_ns: int | None = None
    """UTC epoch nanoseconds by the feed adapter's own clock when the message arrived; null where nobody noted it."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "bid_price": self.bid_price,
            "bid_quantity": self.bid_quantity,
            "ask_price": self.ask_price,
            "ask_quantity": self.ask_quantity,
            "update_id": self.update_id,
            "quote_time_ns": self.quote_time_ns,
            "received_time_ns": self.received_time_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            venue=data["venue"],
            symbol=data["symbol"],
            bid_price=data["bid_price"],
            bid_quantity=data["bid_quantity"],
            ask_price=data["ask_price"],
            ask_quantity=data["ask_quantity"],
            update_id=data["update_id"],
            quote_time_ns=data["quote_time_ns"],
            received_time_ns=data["received_time_ns"],
        )
