"""The sink's own loop against models of Kafka and ClickHouse: crashes, lost answers, zombies, rebalances, late inserts.

An engine may be killed behind the token of an insert and before its rows: the sink then has to mend them.

Real are the loop and its numbered steps (``Sink``), buffers, batches, protocol, planner, blocks of Avro and the
order of inserts (``write``). Models are the log with the group's offsets, and a table that remembers tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import fastavro
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tradewire.core.errors import ClickHouseUnavailable, SinkError, UnknownSchemaId
from tradewire.core.settings import Settings
from tradewire.schemas import Contract, FixedIds, Header
from tradewire.sinks import batch as batch_module
from tradewire.sinks import sink as sink_module
from tradewire.sinks.batch import Job, write
from tradewire.sinks.protocol import NO_OFFSET
from tradewire.sinks.row_shape import RowShape
from tradewire.sinks.sink import Sink
from tradewire.sinks.tables import NoTarget, Target

TOPIC = "model.events"
PARTITIONS = (0, 1)
ROWS_MAX = 6
AT_ONCE_MAX = 5
KNOWN, UNKNOWN_AT_FIRST = (7, 8), 9
SCHEMA = {"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}]}
SHAPES = {number: RowShape.of(number, None, SCHEMA) for number in (*KNOWN, UNKNOWN_AT_FIRST)}
HEADERS: list[Header] = [
    ("ce_id", b"i"), ("ce_type", b"t"), ("ce_source", b"s"), ("ce_subject", b"a"), ("ce_correlationid", b"c"),
    ("ce_time", b"2026-01-01T00:00:00.000000000Z"),
]  # fmt: skip
# Time decides nothing here: a batch is due as soon as nobody inserts, and nothing is waited for.
_SETTINGS = Settings()
SETTINGS = _SETTINGS.model_copy(
    update={
        "sink": _SETTINGS.sink.model_copy(
            update={"batch_rows_max": ROWS_MAX, "batch_age_ms_max": 10**9, "poll_interval_ms_max": 0}
        )
    }
)
CONTRACT = Contract.load(SETTINGS, schema_ids=FixedIds())
DONE, LOST, AWAY, IN_FLIGHT, TORN = "done", "answer lost", "away", "in flight", "killed behind the token"
OUTCOMES = st.sampled_from((DONE, DONE, LOST, AWAY, IN_FLIGHT, TORN))
COMMITS = st.sampled_from((DONE, DONE, LOST, AWAY))


@dataclass(frozen=True)
class Message:
    """What confluent_kafka gives; every third record is of a schema that nobody knows at first, some are no records."""

    at: int
    of: int

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return self.of

    def offset(self) -> int:
        return self.at

    def error(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, self.at

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        if self.at % 7 == 5:
            return b"no frame"
        schema_id = UNKNOWN_AT_FIRST if self.at % 5 == 3 else KNOWN[self.at % 2]
        return b"\0" + schema_id.to_bytes(4, "big") + b"\2"

    def headers(self) -> list[Header]:
        return HEADERS

    def __len__(self) -> int:
        return 10


@dataclass(frozen=True)
class End(Message):
    """librdkafka's word that a partition was read to here."""

    def error(self) -> KafkaError:  # type: ignore[override]
        return KafkaError(KafkaError._PARTITION_EOF)


@dataclass
class World:
    """The log, the group and the tables; ``window`` is how many tokens a table remembers."""

    window: int = 10_000
    logs: dict[int, list[Message]] = field(default_factory=lambda: {number: [] for number in PARTITIONS})
    ends: dict[int, int] = field(default_factory=lambda: dict.fromkeys(PARTITIONS, 0))
    committed: dict[int, tuple[int, str]] = field(default_factory=dict)
    owner: dict[int, int] = field(default_factory=dict)
    rows: dict[int, list[int]] = field(default_factory=lambda: {number: [] for number in PARTITIONS})
    remembered: list[str] = field(default_factory=list)
    blocks: dict[str, tuple[bytes, Sequence[int]]] = field(default_factory=dict)
    late: list[tuple[str, int]] = field(default_factory=list)
    knows_all: bool = False
    commit_outcome: str = DONE
    insert_outcome: str = DONE

    def insert(self, token: str, partition: int, *, torn: bool = False) -> None:
        """The token first, then the rows, as the engine does it; ``torn`` is one that is killed in between."""
        if token not in self.remembered:
            self.remembered.append(token)
            del self.remembered[: -self.window]
            self.rows[partition] += [] if torn else self.blocks[token][1]


class FakeTables:
    def __init__(self, world: World) -> None:
        self._world = world

    def target(self, key: int, *, was_known: bool = False) -> Target | NoTarget:
        if key == UNKNOWN_AT_FIRST and not self._world.knows_all:
            if was_known:
                raise UnknownSchemaId("asked again later")
            return NoTarget("unknown schema id", "")
        return Target(f"landing_{key}", SHAPES[key], {"events": ""})

    def read_model(self, topic: str) -> None:
        return None


class FakeStore:
    """ClickHouse as one batch sees it."""

    def __init__(self, world: World, job: Job) -> None:
        self._world, self._job = world, job

    def settle(self, prefix: str, *, wait_ms: int) -> None:
        """Whether an insert of the last owner still runs cannot be told: some arrive later nevertheless."""

    def insert_avro(self, table: str, body: bytes, *, token: str, columns: Any = None) -> None:
        job, world = self._job, self._world
        block = (bytes(body), [_offset(row) for row in fastavro.reader(BytesIO(body))])
        assert world.blocks.setdefault(token, block) == block, "one token stands for two blocks: rows would be lost"
        if world.insert_outcome == IN_FLIGHT:
            world.late.append((token, job.batch.partition))
        elif world.insert_outcome != AWAY:
            world.insert(token, job.batch.partition, torn=world.insert_outcome == TORN)
        if world.insert_outcome != DONE:
            raise ClickHouseUnavailable(world.insert_outcome)

    def landing_of(self, landing: str, table: str, select: str) -> str:
        return landing

    def offsets_in(self, table: str, topic: str, partition: int, lo: int, hi: int) -> list[int]:
        return [offset for offset in self._world.rows[partition] if lo <= offset <= hi]


def _offset(row: Any) -> int:
    return int(row["offset"]) if "offset" in row else int.from_bytes(row["offset_bytes"], "little")


class FakeInserter:
    """The inserting thread, which works when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.failure = None

    @property
    def waiting(self) -> int:
        return len(self.jobs)

    @property
    def idle(self) -> bool:
        return not self.jobs

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def step(self, world: World) -> None:
        self.jobs = [job for job in self.jobs if not job.cancelled.is_set()]
        if not self.jobs:
            return
        try:
            write(self.jobs[0], FakeStore(world, self.jobs[0]))  # type: ignore[arg-type]
        except ClickHouseUnavailable:
            return
        self.jobs.pop(0).finished.set()


class FakeConsumer:
    """A member of the group. ``fenced``: the coordinator has given its partitions away and takes no commit of it."""

    def __init__(self, world: World, number: int) -> None:
        self._world, self._number = world, number
        self._positions: dict[int, int] = {}
        self._told: dict[int, int] = {}
        self._paused: set[int] = set()
        self.at_once = 3
        self.fenced = False

    def consume(self, _rows: int, _seconds: float) -> list[Message]:
        found: list[Message] = []
        for partition, position in self._positions.items():
            if partition not in self._paused:
                more = [message for message in self._world.logs[partition] if message.at >= position][: self.at_once]
                found += more
                if more:
                    self._positions[partition] = more[-1].at + 1
                end = self._world.ends[partition]
                if len(more) < self.at_once and self._told.get(partition) != end:
                    self._told[partition] = end
                    found.append(End(end, partition))
        return found

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> Sequence[TopicPartition]:
        world = self._world
        if self.fenced or world.commit_outcome == AWAY:
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))
        self.store(offsets)
        if world.commit_outcome == LOST:
            raise KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT))
        return offsets

    def store(self, offsets: Sequence[TopicPartition]) -> None:
        for at in offsets:
            self._world.committed[at.partition] = (at.offset, at.metadata or "")

    def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        stored = [(at.partition, *self._world.committed.get(at.partition, (NO_OFFSET, ""))) for at in partitions]
        return [TopicPartition(TOPIC, number, offset, metadata=metadata) for number, offset, metadata in stored]

    def get_watermark_offsets(self, at: TopicPartition, **_: Any) -> tuple[int, int]:
        log = self._world.logs[at.partition]
        return (log[0].at if log else 0, self._world.ends[at.partition])

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(TOPIC, number) for number in self._positions]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused |= {at.partition for at in partitions}

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused -= {at.partition for at in partitions}

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._positions |= {at.partition: at.offset for at in partitions}

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        for at in partitions:
            self._positions.pop(at.partition, None)
            self._told.pop(at.partition, None)
            self._paused.discard(at.partition)


class Member:
    """A sink of the group with its own connection to everything."""

    def __init__(self, world: World, number: int, consumer: type[FakeConsumer]) -> None:
        self.number = number
        self.consumer = consumer(world, number)
        self.inserter = FakeInserter()
        self.sink: Any = Sink(SETTINGS, CONTRACT, topics=[TOPIC])
        self.sink._consumer, self.sink._inserter = self.consumer, self.inserter
        self.sink._planner._tables = FakeTables(world)

    def assigned(self, partitions: Sequence[int]) -> None:
        self.sink._on_assign(self.consumer, [TopicPartition(TOPIC, number) for number in partitions])

    def turn(self) -> None:
        for found in self.sink._partitions.values():
            found.not_before = 0.0
        self.sink._turn()

    @property
    def buffered(self) -> int:
        return sum(len(found.buffer) for found in self.sink._partitions.values())


class Silent:
    """A log that takes no time."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_args, **_fields: None


class SinkMachine(RuleBasedStateMachine):
    """Whatever happens, each record is stored at most once, and no commit is ahead; when all is quiet, exactly once."""

    window = 10_000
    consumer: type[FakeConsumer] = FakeConsumer
    mend = staticmethod(batch_module.mend)

    def __init__(self) -> None:
        super().__init__()
        self._mend = batch_module.mend
        batch_module.mend = self.mend
        self.world = World(self.window)
        self.members: list[Member] = []
        self.zombies: list[Member] = []
        self.joined = 0
        self._logs = (sink_module._log, batch_module._log)
        sink_module._log = batch_module._log = Silent()  # type: ignore[assignment]

    @initialize()
    def begin(self) -> None:
        self._owns(self._join(), PARTITIONS)
        for partition in PARTITIONS:
            self.produce(partition, 0, 6)

    def _join(self) -> Member:
        self.joined += 1
        self.members.append(Member(self.world, self.joined, self.consumer))
        return self.members[-1]

    def _owns(self, member: Member, partitions: Sequence[int]) -> None:
        self.world.owner |= dict.fromkeys(partitions, member.number)
        if partitions:
            member.assigned(partitions)

    def _of(self, member: Member) -> list[int]:
        return [number for number, owner in self.world.owner.items() if owner == member.number]

    @rule(partition=st.sampled_from(PARTITIONS), gap=st.integers(0, 2), count=st.integers(1, 6))
    def produce(self, partition: int, gap: int, count: int) -> None:
        """Offsets may have gaps: transaction markers."""
        begin = self.world.ends[partition] + gap
        self.world.logs[partition] += [Message(at, partition) for at in range(begin, begin + count)]
        self.world.ends[partition] = begin + count

    @rule(partition=st.sampled_from(PARTITIONS), count=st.integers(1, 3))
    def end_transactions(self, partition: int, count: int) -> None:
        """Markers, and records that were aborted: nobody is given them."""
        self.world.ends[partition] += count

    @rule(data=st.data(), outcomes=st.lists(COMMITS, min_size=1, max_size=3), at_once=st.integers(1, AT_ONCE_MAX))
    def turn(self, data: st.DataObject, outcomes: Sequence[str], at_once: int) -> None:
        """Turns of the loop: read, finish, cut and fix, commit, throttle. The answer to a commit may be lost."""
        member = data.draw(st.sampled_from(self.members + self.zombies))
        member.consumer.at_once = at_once
        for outcome in outcomes:
            self.world.commit_outcome = outcome
            member.turn()
            assert member.buffered < 2 * ROWS_MAX + len(PARTITIONS) * AT_ONCE_MAX

    @rule(data=st.data(), outcomes=st.lists(OUTCOMES, min_size=1, max_size=3))
    def insert(self, data: st.DataObject, outcomes: Sequence[str]) -> None:
        """An insert may be done, done without an answer, not be done, or be under way for any time."""
        member = data.draw(st.sampled_from(self.members + self.zombies))
        for outcome in outcomes:
            self.world.insert_outcome = outcome
            member.inserter.step(self.world)

    @rule(data=st.data(), in_flight=st.booleans())
    def crash(self, data: st.DataObject, in_flight: bool) -> None:
        """A member ends at any point; an insert that it has sent may still arrive at any later time."""
        member = data.draw(st.sampled_from(self.members))
        if in_flight:
            self.world.insert_outcome = IN_FLIGHT
            member.inserter.step(self.world)
        self._take_over(member)

    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        """A member stops, is replaced, and does not know it when it goes on."""
        member = data.draw(st.sampled_from(self.members))
        self.zombies.append(member)
        member.consumer.fenced = True
        self._take_over(member)

    def _take_over(self, member: Member) -> None:
        left = self._of(member)
        self.members.remove(member)
        self._owns(self.members[0] if self.members else self._join(), left)

    @precondition(lambda self: self.zombies)
    @rule(data=st.data())
    def zombie_learns_of_it(self, data: st.DataObject) -> None:
        """At its next poll: its partitions are lost, nothing of them is committed, and it joins again."""
        zombie = data.draw(st.sampled_from(self.zombies))
        zombie.sink._on_lost(zombie.consumer, zombie.consumer.assignment())
        zombie.consumer.fenced = False
        self.zombies.remove(zombie)
        self.members.append(zombie)

    @rule(data=st.data(), partition=st.sampled_from(PARTITIONS), outcome=COMMITS, new=st.booleans())
    def rebalance(self, data: st.DataObject, partition: int, outcome: str, new: bool) -> None:
        """A partition moves: its owner gives it up knowing, perhaps in the middle of a batch."""
        self.world.commit_outcome = outcome
        owner = next(member for member in self.members if member.number == self.world.owner[partition])
        owner.sink._on_revoke(owner.consumer, [TopicPartition(TOPIC, partition)])
        self._owns(self._join() if new else data.draw(st.sampled_from(self.members)), [partition])

    @precondition(lambda self: self.world.late)
    @rule(data=st.data())
    def late_insert_arrives(self, data: st.DataObject) -> None:
        insert = data.draw(st.sampled_from(self.world.late))
        self.world.late.remove(insert)
        self.world.insert(*insert)

    @rule()
    def the_unknown_schema_is_registered(self) -> None:
        self.world.knows_all = True

    @invariant()
    def nothing_is_stored_twice_or_invented(self) -> None:
        for partition, rows in self.world.rows.items():
            assert len(rows) == len(set(rows)), f"stored twice in {partition}: {rows}"
            assert set(rows) <= {message.at for message in self.world.logs[partition]}

    @invariant()
    def no_commit_is_ahead_of_what_is_stored(self) -> None:
        for partition, (offset, _) in self.world.committed.items():
            expected = {message.at for message in self.world.logs[partition] if message.at < offset}
            assert expected <= set(self.world.rows[partition])

    def teardown(self) -> None:
        """Once faults end, everything is stored, and no intent is left."""
        sink_module._log, batch_module._log = self._logs
        if not self.members:
            batch_module.mend = self._mend
            return
        world, last = self.world, self._join()
        sink_module._log = batch_module._log = Silent()  # type: ignore[assignment]
        try:
            world.knows_all, world.commit_outcome, world.insert_outcome = True, DONE, DONE
            self._owns(last, PARTITIONS)
            for _ in range(30 + 2 * sum(map(len, world.logs.values()))):
                last.turn()
                last.inserter.step(world)
            for insert in world.late:
                world.insert(*insert)
        finally:
            sink_module._log, batch_module._log = self._logs
            batch_module.mend = self._mend
        for partition, log in world.logs.items():
            assert sorted(world.rows[partition]) == [message.at for message in log]
            assert (world.ends[partition], "") == world.committed[partition]


SinkMachine.TestCase.settings = hypothesis_settings(max_examples=100, stateful_step_count=40, deadline=None)
TestSinkLoop = SinkMachine.TestCase


class NoIntents(FakeConsumer):
    """A broker that keeps no metadata: a sink without its third step."""

    def store(self, offsets: Sequence[TopicPartition]) -> None:
        super().store([TopicPartition(TOPIC, at.partition, at.offset, metadata="") for at in offsets])


class NoFence(FakeConsumer):
    """A coordinator that takes commits of anybody."""

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> Sequence[TopicPartition]:
        self.fenced = False
        return super().commit(offsets=offsets, asynchronous=asynchronous)


FAULTY: Mapping[str, Mapping[str, Any]] = {
    "no intents": {"consumer": NoIntents},
    "no fence": {"consumer": NoFence},
    "a window of two tokens": {"window": 2},
    "no mending": {"mend": staticmethod(lambda job, store: None)},
}


@pytest.mark.parametrize("fault", FAULTY)
def test_the_model_finds_a_sink_without_one_of_its_nets(fault: str) -> None:
    """A test of the test: without one of them there must be a run that loses or doubles a record."""
    machine = type("Faulty", (SinkMachine,), dict(FAULTY[fault]))
    machine.TestCase.settings = hypothesis_settings(  # type: ignore[attr-defined]
        max_examples=1_000, stateful_step_count=40, deadline=None, database=None, print_blob=False,
        report_multiple_bugs=False, phases=[Phase.generate], derandomize=True,
    )  # fmt: skip
    with pytest.raises((AssertionError, SinkError)):
        machine.TestCase("runTest").runTest()  # type: ignore[attr-defined]
