"""The last price of an instrument, folded from ``market.trade.reported``."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from tradewire.processors.amounts import total
from tradewire.processors.applied import Applied, At, advanced, holds
from tradewire.processors.projections.candles import Candle


class LastPrice(NamedTuple):
    """The newest trade by the venue's clock, running totals of all trades, and the newest candle."""

    venue: str
    symbol: str
    price: Decimal
    quantity: Decimal
    trade_id: str
    trade_time_ns: int
    trade_count: int
    volume: Decimal
    candle: Candle | None
    applied: Applied


def apply_trade(state: LastPrice | None, trade: Mapping[str, Any], at: At, candle: Candle | None) -> LastPrice:
    """The state after a trade; the same object if ``at`` was applied before.

    A trade older than the one held (by ``trade_time_ns``) counts in the totals and does not move the price; of trades
    at the same nanosecond the later in the log wins. ``candle`` is the one that this trade falls in, the trade
    included; it replaces the held one unless it is older.

    Raises:
        ProcessingError: the volume outgrows its field.
    """
    time_ns = trade["trade_time_ns"]
    if state is None:
        return LastPrice(
            trade["venue"],
            trade["symbol"],
            trade["price"],
            trade["quantity"],
            trade["trade_id"],
            time_ns,
            1,
            trade["quantity"],
            candle,
            {at.source: at.offset},
        )
    if holds(state.applied, at):
        return state
    newest = state.candle
    if newest is None or (candle is not None and candle.open_time_ns >= newest.open_time_ns):
        newest = candle
    applied = advanced(state.applied, at)
    count, volume = state.trade_count + 1, total(state.volume, trade["quantity"])
    if time_ns < state.trade_time_ns:
        return state._replace(trade_count=count, volume=volume, candle=newest, applied=applied)
    return LastPrice(
        state.venue,
        state.symbol,
        trade["price"],
        trade["quantity"],
        trade["trade_id"],
        time_ns,
        count,
        volume,
        newest,
        applied,
    )


def last_price_key(venue: str, symbol: str) -> str:
    return f"{venue}:{symbol}"


def last_price_data(state: LastPrice) -> dict[str, Any]:
    """The data of ``readmodel.last_price.changed``."""
    candle = state.candle
    return {
        "venue": state.venue,
        "symbol": state.symbol,
        "price": state.price,
        "quantity": state.quantity,
        "trade_id": state.trade_id,
        "trade_time_ns": state.trade_time_ns,
        "trade_count": state.trade_count,
        "volume": state.volume,
        "candle": None
        if candle is None
        else {
            "interval_ms": candle.interval_ms,
            "open_time_ns": candle.open_time_ns,
            "open": candle.open,
            "high": candle.high,
            "low": candle.low,
            "close": candle.close,
            "volume": candle.volume,
            "trade_count": candle.trade_count,
        },
        "applied": state.applied,
    }


def last_price_of(data: Mapping[str, Any]) -> LastPrice:
    """The state of ``readmodel.last_price.changed`` data.

    Its candle knows no ``applied`` of its own: the candle's own record does.
    """
    candle = data["candle"]
    return LastPrice(
        data["venue"],
        data["symbol"],
        data["price"],
        data["quantity"],
        data["trade_id"],
        data["trade_time_ns"],
        data["trade_count"],
        data["volume"],
        None
        if candle is None
        else Candle(
            data["venue"],
            data["symbol"],
            candle["interval_ms"],
            candle["open_time_ns"],
            candle["open"],
            candle["high"],
            candle["low"],
            candle["close"],
            candle["volume"],
            candle["trade_count"],
            False,
            {},
        ),
        data["applied"],
    )
