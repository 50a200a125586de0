"""What the demo asks ClickHouse once everything has arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tradewire.operations.demo.chart import Candle
from tradewire.operations.demo.checks import PUBLISHED, Client

_CANDLES_MAX = 60


def events_per_type(client: Client) -> list[tuple[str, int]]:
    """Types by how many events they have, of what was published by others than the worker."""
    rows = client.query(
        f"SELECT type, count() FROM events WHERE {PUBLISHED} GROUP BY type ORDER BY count() DESC, type"
    ).result_rows
    return [(type, count) for type, count in rows]


def busiest_candles(client: Client) -> tuple[str, int, list[Candle]] | None:
    """The instrument with most trades, its candle interval in ms and its newest candles; None without candles."""
    rows = client.query(
        "SELECT venue, symbol, interval_ms FROM readmodel_candle FINAL GROUP BY venue, symbol, interval_ms "
        "ORDER BY sum(trade_count) DESC, venue, symbol LIMIT 1"
    ).result_rows
    if not rows:
        return None
    venue, symbol, interval_ms = rows[0]
    found = client.query(
        "SELECT open_time_ns, open, high, low, close FROM readmodel_candle FINAL "
        "WHERE venue = {venue:String} AND symbol = {symbol:String} ORDER BY open_time_ns DESC "
        f"LIMIT {_CANDLES_MAX}",
        parameters={"venue": venue, "symbol": symbol},
    ).result_rows
    return f"{venue}:{symbol}", interval_ms, [Candle(*row) for row in reversed(found)]


def top_positions(client: Client, rows_max: int = 8) -> list[Mapping[str, Any]]:
    """The positions that cost most, closed ones last."""
    result = client.query(
        "SELECT account, symbol, quantity, average_cost, realised_pnl, fees, fill_count FROM readmodel_position FINAL "
        f"ORDER BY abs(quantity * ifNull(average_cost, 0)) DESC, account, symbol LIMIT {rows_max}"
    )
    return list(result.named_results())


def longest_flow(client: Client) -> tuple[str, Sequence[Mapping[str, Any]]] | None:
    """The flow that goes deepest, and its steps; None without flows."""
    rows = client.query(
        "SELECT correlation_id, steps FROM flows_state FINAL "
        "ORDER BY arrayMax(step -> step.depth, steps) DESC, length(steps) DESC, correlation_id LIMIT 1"
    ).result_rows
    return (rows[0][0], rows[0][1]) if rows else None
