"""Retention on the real engine: nothing goes that is not archived and proven, and what went is replayed from there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.sinks.arena import Arena
from tests.sinks.test_audit_damage import broken, command, store_all
from tests.sinks.test_replay import make_topic

from tradewire.core.settings import RetentionSettings
from tradewire.sinks.audit import Auditor, AuditRange, Gap
from tradewire.sinks.digest import digest_of
from tradewire.sinks.replay import OffsetRange, Replay
from tradewire.sinks.retention import ArchiveDiffers, CleanupInterrupted, Retention
from tradewire.sinks.retention import retention as retention_module
from tradewire.sinks.retention.ledger import Entry
from tradewire.sinks.store import Store

pytestmark = pytest.mark.timeout(300)
LATER_MS = 40 * 86_400_000


def with_policy(arena: Arena, **policy: Any) -> Retention:
    """Archives of at most 64 offsets, so that there are several. What other tests left in the ledger is told."""
    file = arena.folder / "retention.yaml"
    file.write_text(yaml.safe_dump(policy))
    retention = RetentionSettings(policy_file=file, archive_folder=arena.folder / "archive")
    arena.settings = arena.settings.model_copy(update={"retention": retention})
    made = Retention(arena.settings, arena.sink_contract(), archive_offsets=64)
    made.ledger.ensure()
    for untold in made.ledger.untold():
        made.ledger.add(Entry("told", untold.cleanup_id, "", 0, 0, 0))
    return made


def later_ms() -> int:
    return time.time_ns() // 1_000_000 + LATER_MS


def replayed(arena: Arena, topic: str) -> Any:
    with Replay(arena.settings) as replay:
        return digest_of(replay.records(OffsetRange(topic, 0, 0, 199)))


def rows_of(arena: Arena, topic: str) -> list[int]:
    database = arena.settings.clickhouse.database
    tables = ("events", "dead_letters", "market_trade_reported", "market_quote_updated")
    return [arena.query(f"SELECT count() FROM {database}.{t} WHERE topic = '{topic}'")[0][0] for t in tables]


def from_clickhouse_alone(arena: Arena, topic: str) -> None:
    """Kafka's retention takes the first 200 records away."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    admin = AdminClient(arena.settings.kafka.client_config())
    for future in admin.delete_records([TopicPartition(topic, 0, 200)]).values():
        future.result(30)


def filled(arena: Arena) -> str:
    topic = arena.topic("market")
    arena.send(topic, [*arena.events(190), *broken(arena.events(10))], 0)
    store_all(arena)
    return topic


def test_what_is_due_is_archived_then_deleted_and_replayed_from_the_archive(arena: Arena) -> None:
    topic = filled(arena)
    with with_policy(arena, topics={topic: {"keep_days": 30}}) as retention:
        assert [()] == [tuple(due.ranges) for due in retention.plan()]
        assert [] == list(retention.run())
        expected = replayed(arena, topic)
        (due,) = retention.plan(now_ms=later_ms())
        assert [(0, 199, 200)] == [(found.lo, found.hi, found.rows) for found in due.ranges]

        (done,) = retention.run(now_ms=later_ms())
        retention.told([done])
        assert (200, 200, None) == (done.deleted, done.archived, done.error)
        assert [0, 0, 0, 0] == rows_of(arena, topic)
        assert [] == list(retention.run(now_ms=later_ms()))
        assert retention.ledger.last_run_ms() is not None
    archives = sorted((arena.folder / "archive" / topic / "00000").iterdir())
    assert 4 == len(archives)

    (report, _) = Auditor(arena.settings, arena.sink_contract()).run(AuditRange([topic], None, 0)).partitions
    assert (True, {Gap.ARCHIVED: 200}) == (report.equal, report.gaps)
    from_clickhouse_alone(arena, topic)
    assert expected == replayed(arena, topic)
    with Replay(arena.settings) as replay:
        target = make_topic(arena, f"{topic}.copy", **{"message.timestamp.type": "CreateTime"})
        result = replay.to_topic(OffsetRange(topic, 0, 0, 199), target, exact=True)
        copied = list(replay.records(OffsetRange(target, 0, 0)))
        assert (200, expected, result.digest) == (len(copied), digest_of(copied), digest_of(copied))
        middle = [record.offset for record in replay.records(OffsetRange(topic, 0, 60, 130))]
        assert (list(range(60, 131)), 71) == (middle, replay.plan(OffsetRange(topic, 0, 60, 130)).records_max)


def test_only_what_is_older_goes_and_the_rest_is_replayed_across_the_border(arena: Arena) -> None:
    topic = arena.topic("market")
    arena.send(topic, arena.events(100), 0)
    store_all(arena)
    arena.send(topic, arena.events(100), 0)
    store_all(arena)
    command(
        arena,
        "ALTER TABLE $events UPDATE recorded_at = recorded_at - INTERVAL 40 DAY "
        f"WHERE topic = '{topic}' AND offset < 70",
    )
    from_clickhouse_alone(arena, topic)
    expected = replayed(arena, topic)
    with with_policy(arena, topics={topic: {"keep_days": 30}}) as retention:
        (done,) = retention.run()

    assert (70, 70) == (done.deleted, done.archived)
    assert [130] == rows_of(arena, topic)[:1]
    assert expected == replayed(arena, topic)


def test_rows_that_are_not_as_they_are_archived_are_not_deleted(arena: Arena) -> None:
    """A row that is stored twice cannot be archived twice: somebody must look first."""
    topic = filled(arena)
    command(arena, f"INSERT INTO $events SELECT * FROM $events WHERE topic = '{topic}' AND offset = 150")
    before = rows_of(arena, topic)
    with with_policy(arena, topics={topic: {"keep_days": 30}}) as retention:
        (done,) = retention.run(now_ms=later_ms())

    assert isinstance(done.error, ArchiveDiffers)
    assert (0, before) == (done.deleted, rows_of(arena, topic))
    assert "128 to 191" in str(done.error)


@pytest.mark.parametrize("damage", ["flipped", "short"])
def test_an_archive_that_reads_back_wrong_deletes_nothing(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    topic = filled(arena)
    write = retention_module.write_archive

    def badly(file: Path, topic: str, partition: int, records: Any) -> int:
        kept = list(records)
        changed = kept[:-1] if damage == "short" else [kept[0]._replace(value=b"other"), *kept[1:]]
        return write(file, topic, partition, changed)

    monkeypatch.setattr(retention_module, "write_archive", badly)
    with with_policy(arena, topics={topic: {"keep_days": 30}}) as retention:
        (done,) = retention.run(now_ms=later_ms())

    assert isinstance(done.error, ArchiveDiffers)
    assert 200 == sum(rows_of(arena, topic)[:2])


def test_a_full_or_missing_archive_folder_deletes_nothing(arena: Arena) -> None:
    topic = filled(arena)
    (arena.folder / "archive").write_text("a file where the folder should be")
    with with_policy(arena, topics={topic: {"keep_days": 30}}) as retention:
        (done,) = retention.run(now_ms=later_ms())

    assert "cannot be written" in str(done.error)
    assert 200 == sum(rows_of(arena, topic)[:2])


def crash_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends before the n-th deletion."""
    delete: Callable[..., None] = Store.delete_offsets
    left = [number]

    def dying(self: Store, *arguments: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        delete(self, *arguments)

    monkeypatch.setattr(Store, "delete_offsets", dying)


@pytest.mark.parametrize("number", [1, 3])
def test_a_run_that_ends_in_the_middle_is_finished_by_the_next(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Before the first table was deleted from, and in the middle of them; replay is whole in between."""
    topic = filled(arena)
    from_clickhouse_alone(arena, topic)
    expected = replayed(arena, topic)
    with with_policy(arena, topics={topic: {"keep_days": 30}}) as retention:
        with monkeypatch.context() as patched:
            crash_at(number, patched)
            with pytest.raises(KeyboardInterrupt):
                retention.run(now_ms=later_ms())
        assert sum(rows_of(arena, topic)) > 0
        assert expected == replayed(arena, topic)
        (killed,) = retention.run()
        assert isinstance(killed.error, CleanupInterrupted), killed
        assert (topic, 200, 200) == (killed.rule.target, killed.deleted, killed.archived)
        assert "ended in the middle" in str(killed.error)
        assert [killed.cleanup_id] == [cleaned.cleanup_id for cleaned in retention.run()]
        retention.told([killed])

        assert [] == list(retention.run())
        assert [0, 0, 0, 0] == rows_of(arena, topic)
        assert () == tuple(retention.ledger.unfinished())
    assert expected == replayed(arena, topic)


def test_a_run_that_ends_while_it_archives_is_told_by_the_next_which_does_it_again(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was deleted; the next run says that it was killed, does the rule, and tells both until they are told."""
    topic = filled(arena)
    with with_policy(arena, topics={topic: {"keep_days": 30}}) as retention:
        with monkeypatch.context() as patched:
            patched.setattr(retention_module, "read_archive", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                retention.run(now_ms=later_ms())
        assert 200 == sum(rows_of(arena, topic)[:2])
        killed, done = retention.run(now_ms=later_ms())
        assert (CleanupInterrupted, 0, 0) == (type(killed.error), killed.deleted, killed.archived)
        assert (None, 200, 200) == (done.error, done.deleted, done.archived)
        assert [0, 0, 0, 0] == rows_of(arena, topic)

        again = retention.run(now_ms=later_ms())
        assert [(killed.cleanup_id, CleanupInterrupted), (done.cleanup_id, type(None))] == [
            (cleaned.cleanup_id, type(cleaned.error)) for cleaned in again
        ]
        assert done == again[1]
        retention.told(again)
        assert [] == list(retention.run(now_ms=later_ms()))


def test_a_waived_archive_and_one_table_alone(arena: Arena) -> None:
    """The typed table is thinned out, its events stay; dead letters go without an archive: the policy says so."""
    topic, letters = arena.topic("market"), arena.topic("deadletter")
    arena.send(topic, arena.events(100), 0)
    arena.send(letters, arena.events(5), 0)
    store_all(arena)
    policy = {
        "topics": {letters: {"keep_days": 30, "archive": False}},
        "tables": {"market_trade_reported": {"keep_days": 30}},
    }
    with with_policy(arena, **policy) as retention:
        done = {cleaned.rule.target: cleaned for cleaned in retention.run(now_ms=later_ms())}

    assert (5, 0, None) == (done[letters].deleted, done[letters].archived, done[letters].error)
    assert 0 == rows_of(arena, letters)[1]
    assert done["market_trade_reported"].deleted >= 50
    assert [100, 0, 0, 50] == rows_of(arena, topic)
    assert not (arena.folder / "archive").exists()
    report = Auditor(arena.settings, arena.sink_contract()).run(AuditRange([topic, letters]))
    assert report.equal
