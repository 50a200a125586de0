"""Positions by average cost: the books balance to the last decimal place."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewire.core import ProcessingError
from tradewire.processors.applied import At
from tradewire.processors.projections.positions import Position, apply_fill, position_data, position_of

D = Decimal


def fill(quantity: str | Decimal, price: str | Decimal, *, fee: str = "0", time_ns: int = 1) -> dict[str, Any]:
    amount = D(quantity)
    return {
        "order_id": "o1",
        "fill_id": "f1",
        "account": "acc",
        "symbol": "BTCUSDT",
        "side": "BUY" if amount > 0 else "SELL",
        "quantity": abs(amount),
        "price": D(price),
        "fee": D(fee),
        "fill_time_ns": time_ns,
    }


def after(*fills: dict[str, Any]) -> Position:
    position: Position | None = None
    for offset, one in enumerate(fills):
        position = apply_fill(position, one, At("trading.events:0", offset))
    assert position is not None
    return position


def test_buying_more_averages_the_cost() -> None:
    position = after(fill("1", "100"), fill("3", "200", fee="0.5", time_ns=7))
    assert (position.quantity, position.average_cost, position.cost) == (D(4), D(175), D(700))
    assert (position.realised_pnl, position.unrealised_pnl, position.fees) == (D(0), D(100), D("0.5"))
    assert (position.fill_count, position.opened_ns, position.updated_ns) == (2, 1, 7)


def test_selling_a_part_realises_it_at_average_cost_and_leaves_the_average() -> None:
    position = after(fill("10", "100"), fill("-4", "110"))
    assert (position.quantity, position.average_cost, position.realised_pnl) == (D(6), D(100), D(40))
    assert position.opened_ns == 1


def test_a_short_gains_when_it_is_bought_back_lower() -> None:
    position = after(fill("-10", "100"), fill("4", "90"))
    assert (position.quantity, position.average_cost, position.realised_pnl) == (D(-6), D(100), D(40))
    assert position.unrealised_pnl == D(60)


def test_a_flat_position_has_no_cost_no_opening_time_and_keeps_what_it_made() -> None:
    position = after(fill("3", "10"), fill("-3", "11", time_ns=9))
    assert (position.quantity, position.cost, position.average_cost) == (D(0), D(0), D(0))
    assert (position.realised_pnl, position.unrealised_pnl, position.opened_ns) == (D(3), D(0), None)


def test_a_larger_fill_turns_the_position_round_through_zero() -> None:
    position = after(fill("2", "100"), fill("-5", "120", time_ns=9))
    assert (position.quantity, position.average_cost, position.cost) == (D(-3), D(120), D(-360))
    assert (position.realised_pnl, position.opened_ns) == (D(40), 9)


def test_a_third_is_not_lost_when_a_position_is_sold_in_thirds() -> None:
    position = after(fill("3", "100"), fill("-1", "100"), fill("-1", "100"), fill("-1", "100"))
    assert (position.realised_pnl, position.cost) == (D(0), D(0))


def test_a_fill_delivered_again_gives_back_the_same_position() -> None:
    position = after(fill("1", "100"), fill("1", "100"))
    assert apply_fill(position, fill("1", "100"), At("trading.events:0", 1)) is position
    other = apply_fill(position, fill("1", "100"), At("trading.events:3", 1))
    assert other.quantity == D(3)
    assert other.applied == {"trading.events:0": 1, "trading.events:3": 1}


@pytest.mark.parametrize("change", [{"side": "UNKNOWN"}, {"quantity": D(0)}, {"quantity": D(-1)}])
def test_a_fill_that_does_not_say_what_it_did_is_refused_by_name(change: dict[str, Any]) -> None:
    with pytest.raises(ProcessingError, match="fill f1 of order o1"):
        after({**fill("1", "1"), **change})


def test_an_amount_that_no_field_can_hold_is_refused() -> None:
    with pytest.raises(ProcessingError, match="38 digits"):
        after(fill("1e12", "1e12"))


amounts = st.decimals(min_value="0.000000001", max_value="1000000", places=9)
fills = st.lists(
    st.tuples(st.sampled_from([1, -1]), amounts, amounts).map(lambda case: fill(case[0] * case[1], case[2])),
    min_size=1,
    max_size=30,
)


def _signed(one: dict[str, Any]) -> Decimal:
    return one["quantity"] if one["side"] == "BUY" else -one["quantity"]


@given(fills)
def test_realised_and_unrealised_profit_are_the_cash_flow_to_the_last_place(history: list[dict[str, Any]]) -> None:
    """The identity of the books: what was made = what came in - what went out + what is held at the last price."""
    position = after(*history)
    with localcontext() as context:
        context.prec = 100
        paid = sum((one["price"] * _signed(one) for one in history), D(0))
        worth = sum((_signed(one) for one in history), D(0)) * history[-1]["price"]
        assert position.unrealised_pnl is not None
        assert position.realised_pnl + position.unrealised_pnl == worth - paid
        assert position.cost - position.realised_pnl == paid
        assert position.quantity == sum((_signed(one) for one in history), D(0))


@given(fills)
def test_cost_has_the_sign_of_the_position_and_is_zero_when_flat(history: list[dict[str, Any]]) -> None:
    position = after(*history)
    if position.quantity == 0:
        assert position.cost == position.average_cost == 0
    else:
        assert position.average_cost >= 0
        assert (position.cost >= 0) == (position.quantity > 0) or position.cost == 0


@given(fills)
def test_a_position_goes_on_from_its_record_as_from_itself(history: list[dict[str, Any]]) -> None:
    position: Position | None = None
    for offset, one in enumerate(history):
        before = position_of(position_data(position)) if position else None
        position = apply_fill(before, one, At("trading.events:0", offset))
    assert position == after(*history)


@given(fills, st.data())
def test_what_is_delivered_again_from_any_earlier_place_changes_nothing(
    history: list[dict[str, Any]], data: st.DataObject
) -> None:
    crash = data.draw(st.integers(0, len(history)))
    again = data.draw(st.integers(0, crash))
    position: Position | None = None
    for offset in (*range(crash), *range(again, len(history))):
        position = apply_fill(position, history[offset], At("trading.events:0", offset))
    assert position == after(*history)
