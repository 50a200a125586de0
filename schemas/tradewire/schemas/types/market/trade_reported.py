"""market.trade.reported v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeReported:
    """One trade that a venue printed. Published by feed adapters and by any service that sees trades. Hot: kept as
    small as it can be.
    """

    event_type: ClassVar[str] = "market.trade.reported"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "venue:symbol"

    venue: str
    """Venue and market segment, lower case and dotted, e.g. 'binance.spot' or 'xnas'. Set by the feed adapter."""
    symbol: str
    """Instrument as the venue writes it, e.g. 'BTCUSDT'. Set by the venue."""
    trade_id: str
    """The venue's id of the trade, unique within (venue, symbol); a source that has none sets the event id. Set by the
    venue.
    """
    price: Decimal
    """Price in quote currency for one unit. Set by the venue."""
    quantity: Decimal
    """Traded quantity in base units or contracts, above zero. Set by the venue."""
    aggressor_side: Side = Side.UNKNOWN
    """Side of the order that took liquidity: SELL where the buyer was the maker. Set by the venue."""
    trade_time_ns: int
    """UTC epoch nanoseconds when the trade took place, by the venue's clock."""
    received_time_ns: int | None = None
    """UTC epoch nanoseconds by the feed adapter's own clock when the message arrived; null where nobody noted it."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "trade_id": self.trade_id,
            "price": self.price,
            "quantity": self.quantity,
            "aggressor_side": self.aggressor_side,
            "trade_time_ns": self.trade_time_ns,
            "received_time_ns": self.received_time_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            venue=data["venue"],
            symbol=data["symbol"],
            trade_id=data["trade_id"],
            price=data["price"],
            quantity=data["quantity"],
            aggressor_side=Side(data["aggressor_side"]),
            trade_time_ns=data["trade_time_ns"],
            received_time_ns=data["received_time_ns"],
        )
