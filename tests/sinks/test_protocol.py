"""The exactly-once protocol against models of Kafka and ClickHouse: crashes, lost answers, zombies, late inserts."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tradewire.sinks.protocol import NO_OFFSET, ForeignCommit, Intent, PartitionProtocol, Phase, RecordsGone

TOPIC = "t"


@dataclass
class Kafka:
    """One partition and the group's offset for it. ``owner`` is the member that the coordinator lets commit."""

    offsets: list[int] = field(default_factory=list)
    committed: int = NO_OFFSET
    metadata: str = ""
    owner: int = 0

    def commit(self, member: int, offset: int, metadata: str) -> bool:
        if member != self.owner:
            return False
        self.committed, self.metadata = offset, metadata
        return True

    def read(self, begin: int, end: int | None = None) -> list[int]:
        return [offset for offset in self.offsets if offset >= begin and (end is None or offset <= end)]


@dataclass
class ClickHouse:
    """Rows, and the tokens that a table remembers."""

    rows: list[int] = field(default_factory=list)
    tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def insert(self, token: str, offsets: tuple[int, ...]) -> None:
        if token in self.tokens:
            assert self.tokens[token] == offsets, "one token stands for two different blocks: rows would be lost"
            return
        self.tokens[token] = offsets
        self.rows += offsets


@dataclass
class Member:
    """A sink that has the partition, or believes so. ``pending`` are the inserts of its batch that are not done."""

    number: int
    protocol: PartitionProtocol
    buffer: list[int]
    pending: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)


class SinkMachine(RuleBasedStateMachine):
    """Whatever happens, each record is stored at most once; when all is quiet, exactly once."""

    def __init__(self) -> None:
        super().__init__()
        self.kafka, self.clickhouse = Kafka(), ClickHouse()
        self.members: list[Member] = []
        self.zombies: list[Member] = []
        self.late: list[tuple[str, tuple[int, ...]]] = []
        self.joined = 0

    @property
    def owner(self) -> Member:
        return self.members[0]

    @initialize()
    def begin(self) -> None:
        self._join()

    def _join(self) -> None:
        self.joined += 1
        self.kafka.owner = self.joined
        protocol = PartitionProtocol(TOPIC, 0)
        at = protocol.begin(
            self.kafka.committed, self.kafka.metadata, self.kafka.offsets[0] if self.kafka.offsets else 0
        )
        self.members[:] = [Member(self.joined, protocol, self.kafka.read(at, at + 3))]

    @rule(gap=st.integers(1, 3), count=st.integers(1, 6))
    def produce(self, gap: int, count: int) -> None:
        """Offsets may have gaps: transaction markers."""
        end = self.kafka.offsets[-1] if self.kafka.offsets else -gap
        self.kafka.offsets += range(end + gap, end + gap + count)

    @rule(count=st.integers(1, 5))
    def read(self, count: int) -> None:
        member = self.owner
        begin = member.buffer[-1] + 1 if member.buffer else self._next(member)
        member.buffer += self.kafka.read(begin)[:count]

    @staticmethod
    def _next(member: Member) -> int:
        intent = member.protocol.intent
        done = member.protocol.phase in (Phase.INTENDING, Phase.INSERTING, Phase.COMMITTING)
        return intent.hi + 1 if done and intent is not None else member.protocol.position

    def _groups(self, intent: Intent, offsets: list[int]) -> list[tuple[str, tuple[int, ...]]]:
        """Two schema ids in a batch, as the bytes of the records say."""
        groups = [tuple(offset for offset in offsets if offset % 2 == schema) for schema in (0, 1)]
        return [(intent.token(TOPIC, 0, schema, len(group)), group) for schema, group in enumerate(groups) if group]

    @rule(size=st.integers(1, 8))
    def cut(self, size: int) -> None:
        member = self.owner
        protocol = member.protocol
        if protocol.phase is Phase.REPLAYING:
            rows = protocol.ready_rows(member.buffer)
            if rows is not None:
                offsets, member.buffer = member.buffer[:rows], member.buffer[rows:]
                member.pending = self._groups(protocol.replay(offsets), offsets)
        elif protocol.phase is Phase.CONSUMING and member.buffer:
            offsets, member.buffer = member.buffer[:size], member.buffer[size:]
            member.pending = self._groups(protocol.intend(offsets), offsets)

    def _commit_intent(self, member: Member, answered: bool) -> None:
        intent = member.protocol.intent
        if member.protocol.phase is Phase.INTENDING and intent is not None:
            stored = self.kafka.commit(member.number, intent.lo, intent.encode())
            if stored and answered:
                member.protocol.intent_stored()

    @rule(answered=st.booleans())
    def commit_intent(self, answered: bool) -> None:
        """The broker may store it and the answer be lost; the same intent is then committed again."""
        self._commit_intent(self.owner, answered)

    def _insert(self, member: Member, answered: bool) -> None:
        if member.protocol.phase is not Phase.INSERTING:
            return
        if member.pending:
            self.clickhouse.insert(*member.pending[0])
            if answered:
                member.pending.pop(0)
        if not member.pending:
            member.protocol.rows_stored()

    @rule(answered=st.booleans())
    def insert(self, answered: bool) -> None:
        """The insert may be done and its answer be lost; the same insert is then done again."""
        self._insert(self.owner, answered)

    @rule(answered=st.booleans())
    def commit_done(self, answered: bool) -> None:
        protocol = self.owner.protocol
        if protocol.phase is Phase.COMMITTING and protocol.intent is not None:
            stored = self.kafka.commit(self.owner.number, protocol.intent.hi + 1, "")
            if stored and answered:
                protocol.offset_stored()

    @rule(in_flight=st.booleans())
    def crash(self, in_flight: bool) -> None:
        """The owner ends at any point; an insert that it has sent may still arrive at any later time."""
        if in_flight and self.owner.protocol.phase is Phase.INSERTING:
            self.late += self.owner.pending[:1]
        self._join()

    @rule()
    def pause(self) -> None:
        """The owner stops, is replaced, and does not know it when it wakes up."""
        self.zombies.append(self.owner)
        self._join()

    @precondition(lambda self: self.zombies)
    @rule(answered=st.booleans(), data=st.data())
    def zombie_goes_on(self, answered: bool, data: st.DataObject) -> None:
        zombie = data.draw(st.sampled_from(self.zombies))
        if zombie.protocol.phase is Phase.CONSUMING and zombie.buffer:
            offsets, zombie.buffer = zombie.buffer[:2], zombie.buffer[2:]
            zombie.pending = self._groups(zombie.protocol.intend(offsets), offsets)
        self._commit_intent(zombie, answered)
        self._insert(zombie, answered)

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def late_insert_arrives(self, data: st.DataObject) -> None:
        insert = data.draw(st.sampled_from(self.late))
        self.late.remove(insert)
        self.clickhouse.insert(*insert)

    @invariant()
    def nothing_is_stored_twice_or_invented(self) -> None:
        assert len(self.clickhouse.rows) == len(set(self.clickhouse.rows))
        assert set(self.clickhouse.rows) <= set(self.kafka.offsets)

    @invariant()
    def nothing_before_the_committed_offset_is_missing(self) -> None:
        expected = {offset for offset in self.kafka.offsets if offset < self.kafka.committed}
        assert expected <= set(self.clickhouse.rows)

    def teardown(self) -> None:
        """Once faults end, everything is stored."""
        if not self.members:
            return
        self._join()
        for _ in range(20 + 10 * len(self.kafka.offsets)):
            self.read(5)
            self.cut(8)
            self.commit_intent(True)
            self.insert(True)
            self.insert(True)
            self.insert(True)
            self.commit_done(True)
        for insert in self.late:
            self.clickhouse.insert(*insert)
        assert sorted(self.clickhouse.rows) == self.kafka.offsets


SinkMachine.TestCase.settings = hypothesis_settings(max_examples=300, stateful_step_count=40, deadline=None)
TestSinkProtocol = SinkMachine.TestCase


class NoIntent(SinkMachine):
    """The same sink without the first step: it inserts before its boundaries are stored."""

    def _commit_intent(self, member: Member, answered: bool) -> None:
        if member.protocol.phase is Phase.INTENDING:
            member.protocol.intent_stored()


def test_the_model_finds_a_sink_that_does_not_store_its_boundaries() -> None:
    """A test of the test: without intents there must be a run that stores a record twice."""
    NoIntent.TestCase.settings = hypothesis_settings(
        max_examples=500,
        stateful_step_count=40,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        NoIntent.TestCase("runTest").runTest()


def test_an_intent_survives_being_offset_metadata() -> None:
    intent = Intent(5, 2**62, 1_000_000, 3, tuple(range(10**9, 10**9 + 200)))

    assert intent == Intent.decode(intent.encode())
    assert len(intent.encode()) < 4096


@pytest.mark.parametrize("metadata", ["{}", "x", '{"sink":2,"lo":1}', "[]"])
def test_metadata_of_others_are_refused(metadata: str) -> None:
    with pytest.raises(ForeignCommit, match="another consumer"):
        Intent.decode(metadata)


@pytest.mark.parametrize("metadata", ["", None])
def test_no_metadata_is_no_intent(metadata: str | None) -> None:
    assert Intent.decode(metadata) is None


def test_tokens_name_version_partition_range_group_and_rows() -> None:
    assert Intent(3, 9, 5, 1).token("a.b", 2, 77, 4) == "v1:1:a.b:2:3-9:77:4"


def test_a_fresh_group_begins_at_the_oldest_record() -> None:
    assert 17 == PartitionProtocol(TOPIC, 0).begin(NO_OFFSET, None, 17)


def test_records_that_retention_took_before_they_were_stored_stop_the_sink() -> None:
    with pytest.raises(RecordsGone, match="7 offsets are gone"):
        PartitionProtocol(TOPIC, 0).begin(10, "", 17)


def test_a_compacted_topic_may_begin_later() -> None:
    assert 17 == PartitionProtocol(TOPIC, 0, compacted=True).begin(10, "", 17)


def test_an_intent_whose_records_are_not_those_it_counted_stops_the_sink() -> None:
    protocol = PartitionProtocol(TOPIC, 0)
    protocol.begin(5, Intent(5, 8, 4).encode(), 0)

    with pytest.raises(RecordsGone, match="counted 4 records in 5-8, Kafka now has 3"):
        protocol.replay([5, 6, 8])


def test_compaction_may_take_records_of_an_intent() -> None:
    protocol = PartitionProtocol(TOPIC, 0, compacted=True)
    protocol.begin(5, Intent(5, 8, 4).encode(), 0)

    assert 1 == protocol.ready_rows([7, 9, 12])
    assert Intent(5, 8, 4) == protocol.replay([7])


def test_a_replay_waits_until_all_of_its_records_are_read() -> None:
    protocol = PartitionProtocol(TOPIC, 0)
    protocol.begin(5, Intent(5, 8, 4).encode(), 0)

    assert protocol.ready_rows([5, 6, 7]) is None
    assert 4 == protocol.ready_rows([5, 6, 7, 8])


def test_an_offset_that_was_moved_beside_its_intent_is_refused() -> None:
    with pytest.raises(ForeignCommit, match="reset"):
        PartitionProtocol(TOPIC, 0).begin(3, Intent(5, 8, 4).encode(), 0)
