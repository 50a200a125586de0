"""market.candle.closed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleClosed:
    """A finished candle as a venue or a data service publishes it. The platform's own candles are
    readmodel.candle.changed. Published by feed adapters.
    """

    event_type: ClassVar[str] = "market.candle.closed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "venue:symbol"

    venue: str
    """Venue and market segment, lower case and dotted, e.g. 'binance.spot' or 'xnas'. Set by the feed adapter."""
    symbol: str
    """Instrument as the venue writes it, e.g. 'BTCUSDT'. Set by the venue."""
    interval_ms: int
    """Length of the candle in milliseconds, e.g. 60000. Set by the feed adapter."""
    open_time_ns: int
    """UTC epoch nanoseconds of the candle's start, inclusive. Set by the venue."""
    close_time_ns: int
    """UTC epoch nanoseconds of the candle's end, exclusive: open_time_ns plus the interval. Set by the feed adapter."""
    open: Decimal
    """First price in quote currency. Set by the venue."""
    high: Decimal
    """Highest price in quote currency. Set by the venue."""
    low: Decimal
    """Lowest price in quote currency. Set by the venue."""
    close: Decimal
    """Last price in quote currency. Set by the venue."""
    volume: Decimal
    """Traded quantity in base units or contracts. Set by the venue."""
    quote_volume: Decimal | None = None
    """Traded value in quote currency; null where the venue gives none."""
    trade_count: int | None = None
    """Number of trades in the candle; null where the venue gives none."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "interval_ms": self.interval_ms,
            "open_time_ns": self.open_time_ns,
            "close_time_ns": self.close_time_ns,
            "open": self.open,
            "high": self.high,
            "low": self.low,
            "close": self.close,
            "volume": self.volume,
            "quote_volume": self.quote_volume,
            "trade_count": self.trade_count,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            venue=data["venue"],
            symbol=data["symbol"],
            interval_ms=data["interval_ms"],
            open_time_ns=data["open_time_ns"],
            close_time_ns=data["close_time_ns"],
            open=data["open"],
            high=data["high"],
            low=data["low"],
            close=data["close"],
            volume=data["volume"],
            quote_volume=data["quote_volume"],
            trade_count=data["trade_count"],
        )
