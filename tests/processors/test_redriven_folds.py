"""Folds of events that come behind later ones of their partition, as a re-drive hands them over."""

from __future__ import annotations

from tests.processors.pure import PureWorker, Record
from tests.processors.workload import Workload

from tradewire.schemas import Event


def fills() -> tuple[list[Event], list[Event]]:
    """The events of two orders of one account and symbol, each with a fill."""
    made = Workload(5, "late.")
    made.accounts, made.symbols = ["acc"], ["SYM"]
    orders: dict[str, list[Event]] = {}
    for event in made.events(60, orders_share=1):
        orders.setdefault(event.subject, []).append(event)
    first, second, *_ = [found for found in orders.values() if found[-1].type == "trading.order.filled"]
    return first, second


def held_back() -> tuple[PureWorker, list[Record]]:
    """The first order's records lie in the log and were not folded; the second's, behind them, were."""
    worker, (first, second) = PureWorker(), fills()
    held = [worker.write(worker.record_of(event)) for event in first]
    for event in second:
        worker.publish(event)
    return worker, held


def fold(worker: PureWorker, records: list[Record], *, late: bool = False) -> None:
    for record in records:
        worker.folds.fold(worker.folds.read(record, redriven=True, late=late), worker)


def test_a_redriven_fill_counts_although_later_fills_of_its_partition_were_applied() -> None:
    worker, held = held_back()
    before = worker.states["position"]["acc:SYM"].fill_count
    fold(worker, held)
    count = sum(dict(record.headers)["ce_type"] == b"trading.order.filled" for record in held)
    assert before + count == worker.states["position"]["acc:SYM"].fill_count
    order = worker.states["order"][(held[0].key or b"").decode()]
    assert ("FILLED", len(held)) == (order.status, order.event_count)


def test_a_redrive_that_is_repeated_after_a_crash_changes_nothing() -> None:
    worker, held = held_back()
    fold(worker, held)
    states = {name: dict(states) for name, states in worker.states.items() if name in ("position", "order")}
    fold(worker, held)
    for name, expected in states.items():
        assert expected == worker.states[name], name


def test_an_orphan_counts_although_later_events_of_its_own_key_were_applied_and_counts_once() -> None:
    worker, (first, _) = PureWorker(), fills()
    created, *others = first
    orphan = worker.write(worker.record_of(created))
    for event in others:
        worker.publish(event)
    key = created.subject
    assert ("UNKNOWN", len(others)) == (worker.states["order"][key].order_type, worker.states["order"][key].event_count)
    for _ in range(2):
        fold(worker, [orphan], late=True)
        order = worker.states["order"][key]
        assert ("LIMIT", len(first)) == (order.order_type, order.event_count)
