"""Last price and candles, through the fold that joins them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.processors.pure import PureWorker
from tests.processors.workload import NS, START_NS, VENUE, Workload

from tradewire.core import ProcessingError
from tradewire.processors.applied import At
from tradewire.processors.projections import candles, last_price
from tradewire.processors.projections.candles import Candle

D = Decimal
MINUTE = 60 * NS


def trade(at_s: int, price: str, quantity: str = "1") -> dict[str, Any]:
    return {
        "venue": VENUE,
        "symbol": "BTCUSDT",
        "trade_id": f"t{at_s}",
        "price": D(price),
        "quantity": D(quantity),
        "trade_time_ns": START_NS - START_NS % MINUTE + at_s * NS,
    }


def folded(*trades: dict[str, Any]) -> PureWorker:
    worker, made = PureWorker(), Workload()
    for one in trades:
        worker.publish(made._event("market.trade.reported", f"{VENUE}:BTCUSDT", one))
    return worker


def series(worker: PureWorker) -> list[Candle]:
    return sorted(worker.states["candle"].values(), key=lambda candle: candle.open_time_ns)


def test_a_candle_holds_first_highest_lowest_and_last_of_its_minute() -> None:
    worker = folded(trade(0, "10"), trade(20, "12", "2"), trade(40, "9"), trade(59, "11"))
    (candle,) = series(worker)
    assert (candle.open, candle.high, candle.low, candle.close) == (D(10), D(12), D(9), D(11))
    assert (candle.volume, candle.trade_count, candle.closed) == (D(5), 4, False)
    assert candle.open_time_ns % MINUTE == 0


def test_the_first_trade_of_a_later_minute_closes_the_candle() -> None:
    worker = folded(trade(0, "10"), trade(60, "11"))
    assert [candle.closed for candle in series(worker)] == [True, False]


def test_minutes_without_trades_have_no_candle() -> None:
    worker = folded(trade(0, "10"), trade(600, "11"))
    assert len(series(worker)) == 2


def test_a_late_trade_changes_its_candle_which_stays_closed() -> None:
    worker = folded(trade(0, "10"), trade(60, "11"), trade(30, "14"))
    late, newest = series(worker)
    assert (late.high, late.close, late.trade_count, late.closed) == (D(14), D(14), 2, True)
    assert (newest.trade_count, newest.closed) == (1, False)


def test_a_late_trade_of_a_minute_without_candle_makes_one_that_is_closed() -> None:
    worker = folded(trade(0, "10"), trade(300, "11"), trade(120, "12"))
    assert [(candle.trade_count, candle.closed) for candle in series(worker)] == [(1, True), (1, True), (1, False)]


def test_a_late_trade_counts_but_does_not_move_the_price() -> None:
    worker = folded(trade(60, "11", "2"), trade(30, "14", "3"))
    (state,) = worker.states["last_price"].values()
    assert (state.price, state.quantity, state.trade_id) == (D(11), D(2), "t60")
    assert (state.trade_count, state.volume) == (2, D(5))
    assert state.candle.open_time_ns == trade(60, "1")["trade_time_ns"]


def test_of_trades_at_the_same_time_the_later_in_the_log_is_the_price() -> None:
    worker = folded(trade(0, "10"), trade(0, "11"))
    (state,) = worker.states["last_price"].values()
    assert state.price == D(11)


def test_a_volume_that_outgrows_its_field_is_refused() -> None:
    at = At("market.events:0", 0)
    state = last_price.apply_trade(None, trade(0, "1", "6e19"), at, None)
    with pytest.raises(ProcessingError, match="38 digits"):
        last_price.apply_trade(state, trade(1, "1", "6e19"), At("market.events:0", 1), None)


def test_states_survive_their_records() -> None:
    worker = folded(trade(0, "10"), trade(60, "11"), trade(61, "12"))
    for candle in series(worker):
        assert candles.candle_of(candles.candle_data(candle)) == candle
    (state,) = worker.states["last_price"].values()
    # The embedded candle does not carry what only the candle's own record knows.
    held = state._replace(candle=state.candle._replace(applied={}))
    assert last_price.last_price_of(last_price.last_price_data(state)) == held


prices = st.integers(1, 10_000).map(lambda cents: str(D(cents) / 100))
trades = st.lists(st.tuples(st.integers(0, 300), prices), min_size=1, max_size=40)


@given(trades)
def test_candles_are_those_of_a_plain_count(raw: Sequence[tuple[int, str]]) -> None:
    """Against an oracle that sorts nothing and remembers everything."""
    worker = folded(*(trade(at_s, price) for at_s, price in raw))
    newest = max(at_s // 60 for at_s, _ in raw)
    expected = {}
    for minute in {at_s // 60 for at_s, _ in raw}:
        inside = [D(price) for at_s, price in raw if at_s // 60 == minute]
        expected[minute] = (inside[0], max(inside), min(inside), inside[-1], D(len(inside)), minute < newest)
    start = trade(0, "1")["trade_time_ns"]
    found = {
        (candle.open_time_ns - start) // MINUTE: (
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            candle.volume,
            candle.closed,
        )
        for candle in series(worker)
    }
    assert found == expected
    (state,) = worker.states["last_price"].values()
    assert state.trade_count == len(raw)
    latest = max(range(len(raw)), key=lambda number: (raw[number][0], number))
    assert state.price == D(raw[latest][1])
