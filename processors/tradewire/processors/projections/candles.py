"""Candles of an instrument, folded from ``market.trade.reported``.

Rules:

- A trade falls in the candle whose interval holds its ``trade_time_ns``; intervals begin at multiples of their length.
- Within a candle trades count in the order of the log: ``open`` is the first that arrived, ``close`` the last.
- A candle grows until the first trade of a later interval arrives: then it is closed, once. No clock closes candles.
- A late trade (of an interval before the newest) still changes its candle, which is closed or is made closed: ``close``
  becomes the late trade's price if it is the last of its interval to arrive. An interval without trades has no candle.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from tradewire.core.clock import NS_PER_MS
from tradewire.processors.amounts import total
from tradewire.processors.applied import Applied, At, advanced, holds


class Candle(NamedTuple):
    """One interval of one instrument."""

    venue: str
    symbol: str
    interval_ms: int
    open_time_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trade_count: int
    closed: bool
    applied: Applied


def open_time_of(time_ns: int, interval_ms: int) -> int:
    """Start of the interval that holds a time."""
    return time_ns - time_ns % (interval_ms * NS_PER_MS)


def apply_trade(
    state: Candle | None, trade: Mapping[str, Any], at: At, interval_ms: int, *, late: bool = False
) -> Candle:
    """The candle after a trade of its interval; the same object if ``at`` was applied before.

    ``late`` says that a trade of a later interval has arrived before.

    Raises:
        ProcessingError: the volume outgrows its field.
    """
    price, quantity = trade["price"], trade["quantity"]
    if state is None:
        return Candle(
            trade["venue"],
            trade["symbol"],
            interval_ms,
            open_time_of(trade["trade_time_ns"], interval_ms),
            price,
            price,
            price,
            price,
            quantity,
            1,
            late,
            {at.source: at.offset},
        )
    if holds(state.applied, at):
        return state
    return Candle(
        state.venue,
        state.symbol,
        state.interval_ms,
        state.open_time_ns,
        state.open,
        price if price > state.high else state.high,
        price if price < state.low else state.low,
        price,
        total(state.volume, quantity),
        state.trade_count + 1,
        state.closed or late,
        advanced(state.applied, at),
    )


def closed(state: Candle) -> Candle:
    """The candle once a trade of a later interval has arrived; the same object if it was closed before."""
    return state if state.closed else state._replace(closed=True)


def candle_key(venue: str, symbol: str, interval_ms: int, open_time_ns: int) -> str:
    return f"{venue}:{symbol}:{interval_ms}:{open_time_ns}"


def candle_data(state: Candle) -> dict[str, Any]:
    """The data of ``readmodel.candle.changed``."""
    return state._asdict()


def candle_of(data: Mapping[str, Any]) -> Candle:
    """The candle of ``readmodel.candle.changed`` data."""
    return Candle(**data)
