"""A history of v1 and v2 mixed, folded: read models do not care which service wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tests.processors.pure import PureWorker
from tests.processors.workload import Workload
from tests.schemas.versions import before

from tradewire.processors.records import Forward
from tradewire.schemas import Catalogue, Codec, Contract, Event, EventType, FixedIds, Topics, encode_headers

REJECTED = "trading.order.rejected"
OLD_DATA: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "trading.order.created": lambda data: {name: data[name] for name in data if name != "arrival_price"},
    REJECTED: lambda data: {**{n: data[n] for n in data if n != "text"}, "reason": data["text"]},
}


def written(worker: PureWorker, codec: Codec, event: Event, data: Mapping[str, Any]) -> Forward:
    topic = worker.contract.topic_of(event.type)
    headers = encode_headers(event)
    return Forward(topic, event.subject.encode(), codec.encode(event.type, data, topic), headers)


def fold(events: list[Event], *, old_of: int) -> PureWorker:
    """Folds events of which ``old_of`` in four were written by a service that knows v1 only."""
    worker = PureWorker()
    old = Codec(before(Catalogue.load()), worker.contract.schema_ids)
    for number, event in enumerate(events):
        if number % 4 < old_of and event.type in OLD_DATA:
            worker.append(written(worker, old, event, OLD_DATA[event.type](event.data)))
        else:
            worker.publish(event)
    return worker


def test_orders_positions_and_flows_are_the_same_whoever_wrote() -> None:
    """All of v1, all of v2, and both in turn, give equal states; none becomes a dead letter."""
    events = list(Workload(11, "mixed.").events(600, orders_share=0.5))
    types = {event.type for event in events}
    assert set(OLD_DATA) <= types
    by_new = fold(events, old_of=0)

    for old_of in (2, 4):
        worker = fold(events, old_of=old_of)
        assert by_new.states == worker.states
        assert [] == [topic for topic in worker.logs if topic.startswith("deadletter.")]
    rejected = [order for order in by_new.states["order"].values() if order.status == "REJECTED"]
    assert rejected
    assert {"no"} == {order.reason for order in rejected}


def test_a_record_that_an_upcaster_fails_on_is_a_dead_letter_and_the_others_go_on() -> None:
    """The letter holds the record as it was, and says which upcaster it was."""

    def fails(data: Mapping[str, Any]) -> Mapping[str, Any]:
        raise KeyError("why")

    ours = Catalogue.load()
    first, second = ours[REJECTED].versions
    broken = EventType(REJECTED, (first, replace(second, upcaster=fails)))
    catalogue = Catalogue({**ours, REJECTED: broken})
    ids = FixedIds()
    worker = PureWorker(Contract(catalogue, Topics.load(), ids, Codec(catalogue, ids)))
    old = Codec(before(ours), ids)
    events = list(Workload(12, "bad.").events(200, orders_share=0.9))
    for event in events:
        if event.type == REJECTED:
            record = written(worker, old, event, OLD_DATA[REJECTED](event.data))
            worker.append(record)
        else:
            worker.publish(event)
    letters = worker.logs["deadletter.pure"]

    assert len([event for event in events if event.type == REJECTED]) == len(letters) > 0
    assert record.value == letters[-1].value
    message = dict(letters[-1].headers)["__dlq.errors.message"] or b""
    assert message.startswith(b"UpcastFailed: trading.order.rejected: the upcaster from v1 to v2 raised KeyError")
    assert {"CREATED", "FILLED"} <= {order.status for order in worker.states["order"].values()}
