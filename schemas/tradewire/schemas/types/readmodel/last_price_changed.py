"""readmodel.last_price.changed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import Candle


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPriceChanged:
    """Last price of an instrument with its running totals and current candle; the newest replaces all before. Published
    by the last-price projection from market.trade.reported.
    """

    event_type: ClassVar[str] = "readmodel.last_price.changed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "venue:symbol"

    venue: str
    """Venue and market segment, e.g. 'binance.spot'. Taken from the trade."""
    symbol: str
    """Instrument as the venue writes it. Taken from the trade."""
    price: Decimal
    """Price of the last trade in quote currency. Taken from the trade."""
    quantity: Decimal
    """Quantity of the last trade in base units or contracts. Taken from the trade."""
    trade_id: str
    """The venue's id of the last trade. Taken from the trade."""
    trade_time_ns: int
    """UTC epoch nanoseconds of the last trade, by the venue's clock. Taken from the trade."""
    trade_count: int
    """Number of trades folded in since the projection began. Set by the projection."""
    volume: Decimal
    """Quantity of all trades folded in, in base units or contracts. Set by the projection."""
    candle: Candle | None = None
    """The candle that the last trade falls in; null where candles are switched off. Set by the projection."""
    applied: Mapping[str, int] = field(default_factory=dict)
    """Last source offset folded in, by 'topic:partition'; an event at or below it is a repeat and changes nothing. Set
    by the projection.
    """

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "price": self.price,
            "quantity": self.quantity,
            "trade_id": self.trade_id,
            "trade_time_ns": self.trade_time_ns,
            "trade_count": self.trade_count,
            "volume": self.volume,
            "candle": None if self.candle is None else self.candle.to_data(),
            "applied": dict(self.applied),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            venue=data["venue"],
            symbol=data["symbol"],
            price=data["price"],
            quantity=data["quantity"],
            trade_id=data["trade_id"],
            trade_time_ns=data["trade_time_ns"],
            trade_count=data["trade_count"],
            volume=data["volume"],
            candle=None if data["candle"] is None else Candle.from_data(data["candle"]),
            applied=data["applied"],
        )
