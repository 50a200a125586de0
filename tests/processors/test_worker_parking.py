"""The Faust worker and an event that it cannot read: its key waits, all others go on, and a re-drive makes it good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from tests.processors.pure import Record
from tests.processors.running import CONSUMED, Broker, RunningWorker, _LogReader
from tests.processors.workload import Workload
from tests.waiting import wait_until

from tradewire.processors.dead_letters import ORPHAN
from tradewire.processors.declared_work import source_topics
from tradewire.processors.orphans import Orphan, of_worker, recover
from tradewire.processors.parking.facts import Request
from tradewire.processors.parking.operating import Operator, Seen
from tradewire.processors.tables import TABLES
from tradewire.schemas import Event, encode_headers

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(500)]
JUNK = b"this is no frame"


def folded(broker: Broker, corrected: dict[bytes | None, bytes]) -> dict[str, dict[str, Any]]:
    """A plain fold over the logs, with other values in the place of some."""
    reader = _LogReader(broker.contract)
    logs: list[Record] = broker.log(*CONSUMED)
    reader.take(record._replace(value=corrected.get(record.value, record.value)) for record in logs)
    return {
        table.name: {key: dict(table.data_of(state)) for key, state in reader.states[table.name].items()}
        for table in TABLES
    }


def seen_when(operator: Operator, condition: Any) -> Seen:
    """What is parked, once the condition holds of it."""

    def look() -> Seen | None:
        seen = operator.look()
        return seen if condition(seen) else None

    found = wait_until(look, within_s=120)
    assert found is not None
    return found


def test_a_poisoned_order_waits_alone_and_after_its_redrive_the_read_models_are_the_fold_of_the_log(
    own_broker: Broker, tmp_path: Path
) -> None:
    broker = own_broker
    events = list(Workload(31, "park.").events(600, orders_share=0.4))
    fills = [event for event in events if event.type == "trading.order.filled"]
    order = fills[len(fills) // 2].subject
    poisoned = next(event for event in events if event.subject == order)
    good = broker.contract.codec.encode(poisoned.type, poisoned.data, "trading.events")
    mine = [event for event in events if event.subject == order]
    assert poisoned.type == "trading.order.created"

    def publish(batch: list[Event]) -> None:
        for event in batch:
            if event is poisoned:
                broker.produce("trading.events", order.encode(), JUNK, encode_headers(event))
            else:
                broker.publish([event])

    cut = events.index(poisoned) + 2
    broker.publish(events[: cut - 2])
    publish(events[cut - 2 : cut])
    worker = RunningWorker(broker, "parker", tmp_path / "data")
    with worker:
        worker.wait_until_done(150)
        worker.kill()
        worker.start()
        broker.publish(events[cut:])
        worker.wait_until_done(150)
        operator = Operator(broker.settings.kafka, "parker", by="test")
        (parked,) = operator.look().keys.values()
        assert (order.encode(), len(mine)) == (parked.key.key, len(parked.letters))
        assert ["failed", *["parked-behind"] * (len(mine) - 1)] == [letter.failure.kind for letter in parked.letters]
        assert [event.id.encode() for event in mine] == [dict(letter.headers)["ce_id"] for letter in parked.letters]
        found, expected = broker.read_models(), folded(broker, {JUNK: good})
        assert set(expected["order"]) - {order} == set(found["order"])
        for key in found["order"]:
            assert expected["order"][key] == found["order"][key], "a neighbour of the parked key"

        operator.redrive(operator.requests([parked]))
        (parked,) = seen_when(
            operator, lambda seen: all(one.state.attempts == 2 for one in seen.keys.values())
        ).keys.values()
        assert (None, len(mine)) == (parked.request, len(parked.letters)), "it failed again and is still parked"
        operator.edit(parked.letters[0], operator.new_edit(good, None))
        operator.redrive(operator.requests(operator.look().keys.values()))
        seen_when(operator, lambda seen: not seen.keys)
        broker.publish(Workload(32, "more.").events(50))
        worker.wait_until_done(150)
        found, expected = broker.read_models(), folded(broker, {JUNK: good})
        for table in expected:
            assert expected[table] == found[table], table
        assert order in found["order"]
        assert 0 == worker.stop()


def test_events_that_the_worker_never_processed_are_found_by_its_flows_and_recovered_once(
    own_broker: Broker, tmp_path: Path
) -> None:
    broker, group = own_broker, "recoverer"
    made = Workload(41, "orphan.")
    # Offsets can be reset when the session of the member that was stopped has ended.
    worker = RunningWorker(broker, group, tmp_path / "data", session_timeout_ms=12_000)
    with worker:
        broker.publish(made.events(50))
        worker.wait_until_done(150)
        assert worker.stop() == 0
        passed_over = list(made.events(30, orders_share=0.5))
        broker.publish(passed_over)
        to_the_end(broker, group)
        worker.start()
        broker.publish(made.events(20))
        worker.wait_until_done(150)
        operator = Operator(broker.settings.kafka, group, by="test")

        def search() -> set[str]:
            topics = source_topics(broker.contract.topics)
            found = of_worker(broker.settings.kafka, broker.contract, group, topics, 1, operator)
            assert found.unknown == 0
            orphans.extend(found.orphans)
            return {(dict(orphan.headers)["ce_id"] or b"").decode() for orphan in found.orphans}

        orphans: list[Orphan] = []
        assert {event.id for event in passed_over} == search() - {""}
        requests = [(orphan, Request(str(orphan), orphan.offset, "test", 1, orphan=True)) for orphan in orphans]
        recover(broker.settings.kafka, operator, requests)
        # A letter waits for nobody before the worker has met its request as well: what counts is what came of it.
        wait_until(lambda: steps_of(broker, passed_over) >= len(passed_over), within_s=150, every_s=0.2)
        # Of its own it may have parked the order that the other test has poisoned.
        seen_when(operator, lambda seen: len(orphans) == sum(one.failure.kind == ORPHAN for one in seen.settled))
        worker.wait_until_done(150)
        assert set() == search()
        flows = broker.read_models()["flow"]
        for event in passed_over:
            steps = [step["event_id"] for step in flows[event.correlation_id]["steps"]]
            assert steps.count(event.id) == 1
        assert 0 == worker.stop()


def steps_of(broker: Broker, events: list[Event]) -> int:
    """How many of events are a step of their flow."""
    flows = broker.read_models()["flow"]
    found = {step["event_id"] for flow in flows.values() for step in flow["steps"]}
    return len({event.id for event in events} & found)


def to_the_end(broker: Broker, group: str) -> None:
    """What an operator does who resets a group's offsets to the newest."""
    consumer = Consumer({**broker.settings.kafka.client_config(), "group.id": group})
    ends = [
        TopicPartition(place.topic, place.partition, broker.end_of_partition(place))
        for topic in source_topics(broker.contract.topics)
        for place in broker.places(topic)
    ]

    def commit() -> bool:
        """Refused while the group still has its static member."""
        try:
            consumer.commit(offsets=ends, asynchronous=False)
        except KafkaException:
            return False
        return True

    wait_until(commit, within_s=120)
    consumer.close()
