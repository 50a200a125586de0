"""Records and enums inside the event types of readmodel. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self


class OrderStatus(StrEnum):
    """Where an order stands. CREATED: no answer yet; ACCEPTED: works at the venue; the last four never change again.
    Set by the projection.
    """

    UNKNOWN = "UNKNOWN"
    CREATED = "CREATED"
    ACCEPTED = "ACCEPTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


class OrderType(StrEnum):
    """How an order is priced and triggered. Set by the trader."""

    UNKNOWN = "UNKNOWN"
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"
    TRAILING_STOP = "TRAILING_STOP"


class Side(StrEnum):
    """Direction of a trade or an order. Set by the venue or the trader; UNKNOWN where it is not told."""

    UNKNOWN = "UNKNOWN"
    BUY = "BUY"
    SELL = "SELL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """A candle still growing. Set by the projection."""

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
    """Latest price in quote currency. Set by the projection."""
    volume: Decimal
    """Traded quantity so far in base units or contracts. Set by the projection."""
    trade_count: int
    """Number of trades so far. Set by the projection."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "interval_ms": self.interval_ms,
            "open_time_ns": self.open_time_ns,
            "open": self.open,
            "high": self.high,
            "low": self.low,
            "close": self.close,
            "volume": self.volume,
            "trade_count": self.trade_count,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            interval_ms=data["interval_ms"],
            open_time_ns=data["open_time_ns"],
            open=data["open"],
            high=data["high"],
            low=data["low"],
            close=data["close"],
            volume=data["volume"],
            trade_count=data["trade_count"],
        )
