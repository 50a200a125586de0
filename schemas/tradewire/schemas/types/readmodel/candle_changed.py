"""readmodel.candle.changed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleChanged:
    """A candle of an instrument, growing or closed; the newest replaces all before with the same key. Published by the
    last-price projection from market.trade.reported.
    """

    event_type: ClassVar[str] = "readmodel.candle.changed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "venue:symbol:interval_ms:open_time_ns"

    venue: str
    """Venue and market segment, e.g. 'binance.spot'. Taken from the trades."""
    symbol: str
    """Instrument as the venue writes it. Taken from the trades."""
    interval_ms: int
    """Length in milliseconds. Set by the projection."""
    open_time_ns: int
    """UTC epoch nanoseconds of the start, inclusive: a multiple of the interval. Set by the projection."""
    open: Decimal
    """First price in quote currency. Set by the projection."""
    high: Decimal
    """Highest price in quote currency. Set by the projection."""
    low: Decimal
    """Lowest price in quote currency. Set by the projection."""
    close: Decimal
    """Last price in quote currency. Set by the projection."""
    volume: Decimal
    """Traded quantity in base units or contracts. Set by the projection."""
    trade_count: int
    """Number of trades. Set by the projection."""
    closed: bool = False
    """True once a trade of a later candle was seen: only a late trade can still change it. Set by the projection."""
    applied: Mapping[str, int] = field(default_factory=dict)
    """Last source offset folded in, by 'topic:partition'; an event at or below it is a repeat and changes nothing. Set
    by the projection.
    """

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "interval_ms": self.interval_ms,
            "open_time_ns": self.open_time_ns,
            "open": self.open,
            "high": self.high,
            "low": self.low,
            "close": self.close,
            "volume": self.volume,
            "trade_count": self.trade_count,
            "closed": self.closed,
            "applied": dict(self.applied),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            venue=data["venue"],
            symbol=data["symbol"],
            interval_ms=data["interval_ms"],
            open_time_ns=data["open_time_ns"],
            open=data["open"],
            high=data["high"],
            low=data["low"],
            close=data["close"],
            volume=data["volume"],
            trade_count=data["trade_count"],
            closed=data["closed"],
            applied=data["applied"],
        )
