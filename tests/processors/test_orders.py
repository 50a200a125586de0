"""Orders: one state from the events of a life cycle."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tradewire.processors.applied import At
from tradewire.processors.projections import orders
from tradewire.processors.projections.orders import FILL_IDS_MAX, Order, apply_event, is_repeat, order_data, order_of

D = Decimal
BASE = {"order_id": "o1", "account": "acc", "symbol": "BTCUSDT", "venue": "binance.spot"}
Told = tuple[str, dict[str, Any]]


def created(quantity: str = "10", limit_price: str | None = "100") -> Told:
    price = None if limit_price is None else D(limit_price)
    more = {"side": "BUY", "order_type": "LIMIT", "quantity": D(quantity), "limit_price": price}
    return orders.CREATED, {**BASE, **more}


def filled(id: str, quantity: str, price: str, leaves: str, fee: str = "0.1") -> Told:
    more = {"fill_id": id, "side": "BUY", "quantity": D(quantity), "price": D(price), "leaves_quantity": D(leaves)}
    return orders.FILLED, {**BASE, **more, "fee": D(fee)}


ACCEPTED: Told = (orders.ACCEPTED, BASE)
REJECTED: Told = (orders.REJECTED, {**BASE, "reason": "INSUFFICIENT_FUNDS", "text": "no funds"})
CANCELLED: Told = (orders.CANCELLED, {**BASE, "reason": "expired"})


def amended(quantity: str | None = None, limit_price: str | None = None) -> Told:
    more = {"quantity": quantity and D(quantity), "limit_price": limit_price and D(limit_price)}
    return orders.AMENDED, {**BASE, **more}


def after(*events: Told) -> Order:
    order: Order | None = None
    for offset, (type, data) in enumerate(events):
        order = apply_event(order, type, data, 1_000 + offset, At("trading.events:2", offset))
    assert order is not None
    return order


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([created()], "CREATED"),
        ([created(), ACCEPTED], "ACCEPTED"),
        ([created(), REJECTED], "REJECTED"),
        ([created(), ACCEPTED, filled("f1", "4", "100", "6")], "PARTIALLY_FILLED"),
        ([created(), ACCEPTED, filled("f1", "4", "100", "6"), filled("f2", "6", "100", "0")], "FILLED"),
        ([created(), ACCEPTED, filled("f1", "4", "100", "6"), CANCELLED], "CANCELLED"),
        ([created(), ACCEPTED, amended("8")], "ACCEPTED"),
        # Out of step: the acceptance overtaken by a fill, a fill overtaken by the cancellation, the end told twice.
        ([created(), filled("f1", "4", "100", "6"), ACCEPTED], "PARTIALLY_FILLED"),
        ([created(), ACCEPTED, CANCELLED, filled("f1", "4", "100", "6")], "CANCELLED"),
        ([created(), ACCEPTED, CANCELLED, filled("f1", "10", "100", "0")], "FILLED"),
        ([created(), REJECTED, ACCEPTED], "REJECTED"),
        ([ACCEPTED, created()], "ACCEPTED"),
        ([filled("f1", "10", "100", "0"), CANCELLED], "FILLED"),
    ],
)
def test_the_status_follows_the_events(events: list[Told], status: str) -> None:
    assert after(*events).status == status


def test_fills_add_up_and_are_averaged_by_quantity() -> None:
    order = after(created(), ACCEPTED, filled("f1", "1", "100", "9"), filled("f2", "3", "104", "6"))
    assert (order.filled_quantity, order.filled_value, order.average_fill_price) == (D(4), D(412), D(103))
    assert (order.fees, order.event_count) == (D("0.2"), 4)
    assert (order.created_ns, order.updated_ns) == (1_000, 1_003)


def test_an_amendment_changes_what_it_names() -> None:
    order = after(created("10", "100"), amended(limit_price="99"), amended(quantity="7"))
    assert (order.quantity, order.limit_price) == (D(7), D(99))


def test_a_late_creation_does_not_undo_an_amendment() -> None:
    order = after(amended(quantity="7"), created("10", "100"))
    assert (order.quantity, order.limit_price, order.side) == (D(7), D(100), "BUY")


def test_a_fill_published_twice_counts_once_and_is_known_as_a_repeat() -> None:
    twice = after(created(), filled("f1", "4", "100", "6"), filled("f1", "4", "100", "6"))
    assert (twice.filled_quantity, twice.event_count) == (D(4), 3)
    assert is_repeat(twice, filled("f1", "4", "100", "6")[1], At("trading.events:2", 2))


def test_a_fill_delivered_again_is_the_fill_that_was_counted_and_no_repeat() -> None:
    """A worker that crashed between the state and the fill's way on must send it on again."""
    order = after(created(), filled("f1", "4", "100", "6"))
    type, data = filled("f1", "4", "100", "6")
    again = apply_event(order, type, data, 5, At("trading.events:2", 1))
    assert again is order
    assert not is_repeat(again, data, At("trading.events:2", 1))


def test_an_order_of_very_many_fills_stays_bounded() -> None:
    order = after(*(filled(f"f{number}", "1", "100", "1") for number in range(FILL_IDS_MAX + 5)))
    assert order.filled_quantity == FILL_IDS_MAX + 5
    assert len(order.fill_ids) == FILL_IDS_MAX
    assert "f4" not in order.fill_ids and "f5" in order.fill_ids


def test_an_order_survives_its_record() -> None:
    order = after(created(), ACCEPTED, filled("f1", "4", "100", "6"), CANCELLED)
    assert order_of(order_data(order)) == order
    assert order.reason == "expired"
