"""Replay against the real broker and the real engine: every target gets the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests import topics
from tests.sinks.arena import Arena
from tests.waiting import wait_until

from tradewire.core.errors import ReplayError
from tradewire.schemas.headers import Header
from tradewire.sinks import raw_history
from tradewire.sinks.ddl import TableOptions, base_statements
from tradewire.sinks.digest import REPLAY_HEADER, digest_of, read_file, without_replay_id
from tradewire.sinks.raw_history import RawHistory
from tradewire.sinks.records import Record
from tradewire.sinks.replay import OffsetRange, RangeInvalid, RecordsMissing, Replay, Segment
from tradewire.sinks.store import Store
from tradewire.sinks.topic_target import TargetInvalid


def odd(record: Record, number: int) -> Record:
    """Repeated, null and empty headers in any order, as other producers may write them."""
    more: list[Header] = [("x", None), ("x", b""), ("x", b"\xff\x00"), ("ce_tags", b'{"n":"%d"}' % number)]
    return record._replace(headers=[more[0], *record.headers, *more[1:]] if number % 3 == 0 else record.headers)


@pytest.fixture
def filled(arena: Arena) -> Arena:
    """120 records in partition 1, a third of them with odd headers."""
    records = [odd(record, number) for number, record in enumerate(arena.events(120))]
    arena.send(arena.topic("market"), records, 1)
    return arena


@pytest.fixture
def replay(filled: Arena) -> Iterator[Replay]:
    with Replay(filled.settings) as found:
        yield found


def make_topic(arena: Arena, name: str, **config: str) -> str:
    return topics.make_topic(arena.settings.kafka, name, 3, config)


def everything(arena: Arena, topic: str, partitions: int = 3) -> list[tuple[int, Record]]:
    with Replay(arena.settings) as replay:
        found = []
        for partition in range(partitions):
            try:
                found += [(partition, record) for record in replay.records(OffsetRange(topic, partition, 0))]
            except RangeInvalid:
                continue
        return found


def test_a_range_is_given_from_its_first_to_its_last_offset(filled: Arena, replay: Replay) -> None:
    records = list(replay.records(OffsetRange(filled.topic("market"), 1, 17, 42)))

    assert list(range(17, 43)) == [record.offset for record in records]
    assert 43 == replay.next_offset


def test_a_file_holds_the_same_bytes_and_can_be_read_back(filled: Arena, replay: Replay, tmp_path: Path) -> None:
    wanted = OffsetRange(filled.topic("market"), 1, 5, 104)
    file = tmp_path / "range.jsonl"

    result = replay.to_file(wanted, file)

    read = list(read_file(file))
    assert {(wanted.topic, 1)} == {(topic, partition) for topic, partition, _ in read}
    assert list(replay.records(wanted)) == [record for _, _, record in read]
    assert digest_of(record for _, _, record in read) == result.digest
    assert (100, 5, 104, 0, 100) == (
        result.digest.records, result.first, result.last, result.from_history, result.from_kafka
    )  # fmt: skip


def test_a_file_is_not_overwritten(filled: Arena, replay: Replay, tmp_path: Path) -> None:
    file = tmp_path / "range.jsonl"
    file.write_text("mine")

    with pytest.raises(ReplayError, match=r"range\.jsonl exists"):
        replay.to_file(OffsetRange(filled.topic("market"), 1, 0), file)

    assert "mine" == file.read_text()


def test_a_failed_replay_leaves_no_file(filled: Arena, replay: Replay, tmp_path: Path) -> None:
    with pytest.raises(RangeInvalid):
        replay.to_file(OffsetRange(filled.topic("market"), 1, 0, 10_000), tmp_path / "x.jsonl")

    assert [] == [found.name for found in tmp_path.iterdir() if "x.jsonl" in found.name]


def test_an_exact_replay_makes_an_equal_partition(filled: Arena, replay: Replay) -> None:
    """Key, value, headers, order, partition number, and the timestamp, since the target takes the producer's."""
    target = make_topic(filled, f"{filled.topic('market')}.copy", **{"message.timestamp.type": "CreateTime"})
    wanted = OffsetRange(filled.topic("market"), 1, 0)
    source = list(replay.records(wanted))

    result = replay.to_topic(wanted, target, exact=True)

    copied = everything(filled, target)
    assert {1} == {partition for partition, _ in copied}
    assert source == [record for _, record in copied]
    assert digest_of(record for _, record in copied) == result.digest


def test_a_replay_marks_its_records_and_keeps_each_aggregate_in_order(filled: Arena, replay: Replay) -> None:
    target = make_topic(filled, f"{filled.topic('market')}.marked")
    wanted = OffsetRange(filled.topic("market"), 1, 0)
    source = list(replay.records(wanted))

    result = replay.to_topic(wanted, target)

    copied = everything(filled, target)
    assert {result.replay_id.encode()} == {dict(record.headers)[REPLAY_HEADER] for _, record in copied}
    partition_of: dict[bytes | None, set[int]] = {}
    for partition, record in copied:
        partition_of.setdefault(record.key, set()).add(partition)
    assert all(len(partitions) == 1 for partitions in partition_of.values())
    for key in partition_of:
        ours = [without_replay_id(record)[2:] for _, record in copied if record.key == key]
        assert [record[2:] for record in source if record.key == key] == ours


@pytest.mark.timeout(300)
def test_what_kafka_has_lost_comes_from_clickhouse_with_an_exact_hand_over(filled: Arena, replay: Replay) -> None:
    topic = filled.topic("market")
    wanted = OffsetRange(topic, 1, 10, 110)
    before = list(replay.records(wanted))
    with filled.running():
        wait_until(filled.all_stored, within_s=90)
    cut(filled, topic, 1, 60)

    result = replay.to_topic(wanted, make_topic(filled, f"{topic}.old"), exact=True)
    after = list(replay.records(wanted))

    assert before == after
    assert digest_of(before) == result.digest
    assert (50, 51) == (result.from_history, result.from_kafka)
    assert [Segment("history", 10, 59), Segment("kafka", 60, 110)] == list(replay.plan(wanted).segments)
    assert 101 == replay.plan(wanted).records_max


def cut(arena: Arena, topic: str, partition: int, before: int) -> None:
    """Deletes records as retention does."""
    admin = AdminClient(arena.settings.kafka.client_config())
    for future in admin.delete_records([TopicPartition(topic, partition, before)]).values():
        future.result(60)


@pytest.mark.timeout(300)
def test_records_that_are_nowhere_are_named(filled: Arena, replay: Replay) -> None:
    """Stored up to 120; of the next 20 Kafka has lost 10 that were never stored."""
    topic = filled.topic("market")
    with filled.running():
        wait_until(filled.all_stored, within_s=90)
    filled.send(topic, filled.events(20), 1)
    cut(filled, topic, 1, 130)

    with pytest.raises(RecordsMissing, match="offsets 120 to 129"):
        list(replay.records(OffsetRange(topic, 1, 100)))
    assert 120 == replay.next_offset

    rest = replay.records(OffsetRange(topic, 1, 100), allow_gaps=True)
    assert [*range(100, 120), *range(130, 140)] == [record.offset for record in rest]


def test_stored_records_far_apart_are_all_read(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """As compaction and retention leave them: ever wider parts of the range are asked for, and none is left out."""
    monkeypatch.setattr(raw_history, "_CHUNK_ROWS", 4)
    offsets = [0, 1, 2, 3, 4, 5, 5_000, 5_001, 5_002, 5_003, 5_004, 70_000, 99_999]
    store = Store(arena.settings.clickhouse)
    store.command(f"CREATE DATABASE IF NOT EXISTS `{store.database}`")
    tables = base_statements(store.database, TableOptions(100))
    for name in ("events", "dead_letters"):
        store.command(tables[name])
    rows = ", ".join(f"('far', 0, {offset})" for offset in offsets)
    store.command(f"INSERT INTO `{store.database}`.events (topic, partition, offset) VALUES {rows}")
    store.close()

    history = RawHistory(arena.settings.clickhouse)
    found = [record.offset for record in history.records("far", 0, 0, 99_999)]
    first = [record.offset for record in history.records("far", 0, 1, 5_001)]
    history.close()

    assert offsets == found
    assert [1, 2, 3, 4, 5, 5_000, 5_001] == first


@pytest.mark.parametrize(
    ("lo", "hi", "said"),
    [(10, 5, "empty"), (120, None, "empty"), (0, 120, "before 120"), (-1, 5, "empty")],
)
def test_a_range_that_is_none_is_refused(filled: Arena, replay: Replay, lo: int, hi: int | None, said: str) -> None:
    with pytest.raises(RangeInvalid, match=said):
        list(replay.records(OffsetRange(filled.topic("market"), 1, lo, hi)))


def test_a_partition_that_does_not_exist_is_named(filled: Arena, replay: Replay) -> None:
    with pytest.raises(RangeInvalid, match=r"\[7\] does not exist"):
        list(replay.records(OffsetRange(filled.topic("market"), 7, 0)))


def test_a_partition_whose_leader_has_not_begun_yet_is_waited_for(arena: Arena) -> None:
    """As of a broker that has just started, or of a topic that has just been made."""
    topic = f"{arena.topic('market')}.many"
    admin = AdminClient(arena.settings.kafka.client_config())
    admin.create_topics([NewTopic(topic, 60, 1)])[topic].result(60)
    wait_until(lambda: len(admin.list_topics(timeout=60).topics[topic].partitions) == 60)

    with Replay(arena.settings) as replay:
        for partition in reversed(range(60)):
            with pytest.raises(RangeInvalid, match="is empty"):
                replay.plan(OffsetRange(topic, partition, 0))


def test_targets_that_would_harm_are_refused(filled: Arena, replay: Replay) -> None:
    topic = filled.topic("market")
    wanted = OffsetRange(topic, 1, 0)

    with pytest.raises(ReplayError, match="is the source"):
        replay.to_topic(wanted, topic)
    with pytest.raises(TargetInvalid, match="does not exist"):
        replay.to_topic(wanted, f"{topic}.nowhere")
    with pytest.raises(TargetInvalid, match="has 1 partitions"):
        replay.to_topic(wanted, filled.topic("trading"), exact=True)
    assert 120 == len(everything(filled, topic, 2))


def test_a_dry_run_reads_nothing(filled: Arena, replay: Replay) -> None:
    plan = replay.plan(OffsetRange(filled.topic("market"), 1, 20, 29))

    assert ([Segment("kafka", 20, 29)], 10) == (list(plan.segments), plan.records_max)
    assert replay.next_offset is None
