"""Deadlines in the engine: a crash after any record that it writes loses no alarm and raises none twice.

The engine is the real one; its records go into lists, and a crash is that from some record on nothing is delivered.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.processors.pure import NO_PATTERNS, Record, pure_contract

from tradewire.core import ManualClock
from tradewire.processors._engine import Engine
from tradewire.processors._outbox import Delivery
from tradewire.processors.flow_declarations import DeclaredFlows
from tradewire.processors.flows import Step
from tradewire.processors.folds import Folds
from tradewire.processors.metrics import WorkerMetrics
from tradewire.processors.patterns import Patterns
from tradewire.processors.records import Forward
from tradewire.processors.step_records import FlowStep, StepRecords
from tradewire.processors.tables import FLOW, STEPS_TOPIC, TABLES, TIMER, Table
from tradewire.schemas import decode_headers

CONTRACT = pure_contract()
MS = 1_000_000
START_MS = 1_700_000_000_000
SECOND_MS = 1_000


class _Message:
    def __init__(self, topic: str, offset: int) -> None:
        self._topic, self._offset = topic, offset

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset


class Topics:
    """What was delivered. ``left`` more records will be, then none."""

    def __init__(self) -> None:
        self.logs: dict[str, list[Record]] = defaultdict(list)
        self.left = 1_000_000

    def delivery(self) -> Delivery:
        return Delivery(asyncio.get_running_loop(), _no_failure, lambda: None)

    def forward(self, delivery: Delivery, record: Forward) -> None:
        self._write(delivery.confirm, record.topic, record.key, record.value, record.headers)

    def state(
        self, delivery: Delivery, topic: str, partition: int, key: bytes, value: bytes | None, headers: Any
    ) -> None:
        self._write(delivery.confirm_offset, topic, key, value, headers)

    def _write(self, confirm: Any, topic: str, key: bytes | None, value: bytes | None, headers: Any) -> None:
        if self.left == 0:
            return
        self.left -= 1
        log = self.logs[topic]
        log.append(Record(topic, 0, len(log), START_MS, key, value, tuple(headers)))
        confirm(None, _Message(topic, len(log) - 1))

    def newest(self, table: Table) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for record in self.logs[table.topic]:
            assert record.key is not None
            found.pop(record.key, None)
            if record.value is not None:
                found[record.key] = record.value
        return found

    def said(self) -> list[tuple[str, str]]:
        """Type and id of what lies in ``flow.events``, in order."""
        envelopes = [decode_headers(record.headers) for record in self.logs["flow.events"]]
        return [(envelope.type, envelope.id) for envelope in envelopes]


def _no_failure(reason: str) -> None:
    raise AssertionError(reason)


class Store:
    """The tables, rebuilt from their topics at each start."""

    def __init__(self, topics: Topics) -> None:
        self.tables = {table.name: topics.newest(table) for table in TABLES}

    def load(self, table: Table, partition: int, key: bytes) -> bytes | None:
        return self.tables[table.name].get(key)

    def load_many(self, table: Table, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.load(table, partition, key) for key in keys]

    def scan(self, table: Table, partition: int) -> Iterator[tuple[bytes, bytes]]:
        yield from self.tables[table.name].items()

    def store(
        self, table: Table, partition: int, states: Sequence[tuple[bytes, bytes | None]], offset: int | None
    ) -> None:
        for key, value in states:
            self.tables[table.name].pop(key, None)
            if value is not None:
                self.tables[table.name][key] = value


class Process:
    """One life of a worker: begins with the tables as their topics have them."""

    def __init__(self, topics: Topics, clock: ManualClock, patterns: Patterns = NO_PATTERNS) -> None:
        self.topics = topics
        folds = Folds(
            CONTRACT,
            source="tests",
            candle_interval_ms=60_000,
            flows=DeclaredFlows.load(CONTRACT.catalogue),
            patterns=patterns,
        )
        self.engine = Engine(
            folds,
            topics,  # type: ignore[arg-type]
            Store(topics),
            group="g",
            metrics=WorkerMetrics(CollectorRegistry()),
            leave=_no_failure,
            clock=clock,
        )
        self.engine.resume([(STEPS_TOPIC, 0), ("patterns.events", 0)])

    async def accept(self, *records: Record) -> None:
        await self.engine.accept({("t", record.topic): [record] for record in records})
        await self.settled()

    async def sweep(self) -> int:
        looked_at = await self.engine.sweep()
        await self.settled()
        return looked_at

    async def settled(self) -> None:
        """Waits until all is settled, or cannot be any more."""
        for _ in range(30):
            await asyncio.sleep(0)

    def ends(self) -> None:
        settler = self.engine.settlement.task
        if settler is not None:
            settler.cancel()


def step_record(type: str, at_ms: int, offset: int) -> Record:
    at_ns = (START_MS + at_ms) * MS
    step = Step(f"{type}@{at_ms}", type, "tests", "o1", None, at_ns, at_ns, "trading.events", 0, offset)
    encode = CONTRACT.codec.encoder("flows.steps.recorded", STEPS_TOPIC)
    (record,) = StepRecords(encode, "tests", 1).of([FlowStep("c1", step, False)])
    return Record(STEPS_TOPIC, 0, offset, START_MS + at_ms, record.key, record.value, tuple(record.headers))


CREATED = step_record("trading.order.created", 0, 0)
ACCEPTED = step_record("trading.order.accepted", 700, 1)
FILLED = step_record("trading.order.filled", 900, 2)


def flow_of(topics: Topics) -> dict[str, Any]:
    (value,) = topics.newest(FLOW).values()
    return dict(CONTRACT.codec.decode(value).data)


async def story(topics: Topics, *, crash_after: int | None) -> int:
    """Created, stalled, then accepted and filled; with a crash after so many records, and a new start from then on.

    Returns how many records were written in all.
    """
    clock = ManualClock(START_MS * MS)
    topics.left = 1_000_000 if crash_after is None else crash_after
    process = Process(topics, clock)
    crashed = False
    for now_ms, record in ((0, CREATED), (600, None), (2_000, None), (3_500, ACCEPTED), (3_600, FILLED), (5_000, None)):
        clock.time_ns = (START_MS + now_ms) * MS
        for attempt in range(3):
            if record is not None:
                await process.accept(record)
            else:
                await process.sweep()
            if crashed or topics.left:
                break
            assert attempt < 2
            # Dead. The next one reads what was not settled, and takes up the deadlines.
            crashed, topics.left = True, 1_000_000
            process.ends()
            process = Process(topics, clock)
    # Long after, but long before the order's day is over.
    for now_s in (10, 20, 30):
        clock.time_ns = (START_MS + now_s * SECOND_MS) * MS
        await process.sweep()
    assert process.engine.ledger.open_claims() == 0
    process.ends()
    return sum(map(len, topics.logs.values()))


async def test_a_stall_is_said_repaired_and_completed_once() -> None:
    topics = Topics()
    await story(topics, crash_after=None)
    assert [type for type, _ in topics.said()] == ["flow.run.stalled", "flow.run.repaired", "flow.run.completed"]
    assert flow_of(topics)["status"] == "COMPLETED"
    assert topics.logs["flows.timers"][-1].value is None, "a timer that waits for nothing is deleted"


async def test_a_crash_after_any_record_ends_in_the_same_flow_and_the_same_alarms() -> None:
    undisturbed = Topics()
    written = await story(undisturbed, crash_after=None)
    assert written > 8
    for crash_after in range(1, written):
        topics = Topics()
        await story(topics, crash_after=crash_after)
        assert flow_of(topics) == flow_of(undisturbed), crash_after
        # Said again, if at all, under the same id: whoever dedupes by id hears it once.
        assert list(dict.fromkeys(topics.said())) == undisturbed.said(), crash_after
        assert topics.newest(TIMER) == {}, crash_after


async def test_no_deadline_is_looked_at_while_partitions_are_away() -> None:
    clock, topics = ManualClock(START_MS * MS), Topics()
    process = Process(topics, clock)
    await process.accept(CREATED)
    assert await process.engine.drained(60)
    clock.advance_ms(10_000)
    assert await process.sweep() == 0
    process.engine.forget()
    assert await process.sweep() == 0
    process.engine.resume([(STEPS_TOPIC, 0)])
    assert await process.sweep() == 1
    assert [type for type, _ in topics.said()] == ["flow.run.stalled"]
    process.ends()


async def test_a_worker_that_does_not_own_the_partition_takes_no_deadline_of_it() -> None:
    clock, topics = ManualClock(START_MS * MS), Topics()
    process = Process(topics, clock)
    await process.accept(CREATED)
    process.ends()
    clock.advance_ms(10_000)
    other = Process(topics, clock)
    other.engine.forget()
    other.engine.resume([("market.events", 0)])
    assert await other.sweep() == 0
    other.ends()


@pytest.mark.parametrize("late_ms", [3_000, 60_000])
async def test_a_worker_that_is_behind_raises_no_alarm(late_ms: int) -> None:
    """What it waits for may lie in what it has not read."""
    clock, topics = ManualClock(START_MS * MS), Topics()
    process = Process(topics, clock)
    process.engine.deadlines._held_until = 0.0
    # By the host's clock START_MS is long ago: such a record holds the sweeps.
    await process.accept(CREATED)
    assert process.engine.deadlines._held_until > 0
    process.ends()
