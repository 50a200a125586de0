"""Full disks: what could not be written is told by folder and cause, nothing is lost, and all goes on with room."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sinks.arena import Arena, make_arena
from tests.sinks.test_retention_run import filled, later_ms, replayed, rows_of, with_policy
from tests.small_disk import SmallDisk, small_disk_or_skip
from tests.waiting import http_answers, wait_until

from tradewire.core import Settings, new_id
from tradewire.core.errors import ReplayError
from tradewire.operations.stack import free_ports, start_child
from tradewire.schemas import Contract
from tradewire.sinks.audit import Auditor, AuditRange
from tradewire.sinks.folders import cause_of
from tradewire.sinks.replay import OffsetRange, Replay
from tradewire.sinks.retention import Retention

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk_or_skip(tmp_path / "disk", 1) as made:
        yield made


def test_a_replay_to_a_file_without_room_says_so_leaves_nothing_and_works_with_room(
    arena: Arena, disk: SmallDisk
) -> None:
    topic = arena.topic("market")
    arena.send(topic, arena.events(200), 0)
    file = disk.folder / "replayed.jsonl"
    with Replay(arena.settings) as replay:
        disk.fill()
        with pytest.raises(
            ReplayError, match=f"No space left.*{disk.folder} is full: make room.*Nothing of it is left"
        ):
            replay.to_file(OffsetRange(topic, 0, 0), file)
        assert ["filler"] == [left.name for left in disk.folder.iterdir()]
        disk.empty()

        assert 200 == replay.to_file(OffsetRange(topic, 0, 0), file).digest.records
        with pytest.raises(ReplayError, match=f"{disk.folder}/missing is no folder: make it"):
            replay.to_file(OffsetRange(topic, 0, 0), disk.folder / "missing" / "file")
    assert 200 == len(file.read_text().splitlines())


def test_archives_that_find_no_room_delete_nothing_and_the_next_run_does_all(arena: Arena, disk: SmallDisk) -> None:
    """The disk is full in the middle of four archives: what is there stays whole, and is not relied on."""
    topic = filled(arena)
    with with_policy(arena, topics={topic: {"keep_days": 30}}):
        folder = arena.settings.retention.model_copy(update={"archive_folder": disk.folder})
        arena.settings = arena.settings.model_copy(update={"retention": folder})
    expected = replayed(arena, topic)
    before = rows_of(arena, topic)
    with Retention(arena.settings, arena.sink_contract(), archive_offsets=64) as retention:
        disk.fill()
        with (disk.folder / "filler").open("r+b") as filler:
            filler.truncate(filler.seek(0, 2) - 24_576)
        (failed,) = retention.run(now_ms=later_ms())
        retention.told([failed])

        assert failed.error is not None
        for said in (f"{topic}[0]", "retention.archive_folder", str(disk.folder), "No space left", "make room"):
            assert said in str(failed.error)
        assert (0, before) == (failed.deleted, rows_of(arena, topic))
        assert [] == list(disk.folder.rglob("*.part"))
        assert Auditor(arena.settings, arena.sink_contract()).run(AuditRange([topic], None, 0)).equal
        disk.empty()

        (done,) = retention.run(now_ms=later_ms())
        retention.told([done])
    assert (200, 200, None) == (done.deleted, done.archived, done.error)
    assert [0, 0, 0, 0] == rows_of(arena, topic)
    assert expected == replayed(arena, topic)


@pytest.mark.slow
@pytest.mark.chaos
def test_a_sink_waits_for_room_in_clickhouse_says_so_and_stores_all_once(
    settings: Settings, contract: Contract, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    own = settings.model_copy(update={"clickhouse": settings.clickhouse.model_copy(update={"port": port})})
    with small_disk_or_skip(tmp_path / "disk", 96) as disk:
        command = [sys.executable, "-m", "tradewire.operations.clickhouse_server", "--port", str(port)]
        command += ["--data", str(disk.folder / "data"), "--no-query-log"]
        engine = start_child(command, name="clickhouse", log_file=tmp_path / "clickhouse.log")
        arena = make_arena(own, contract, tmp_path, new_id()[-12:], "tradewire")
        try:
            wait_until(lambda: http_answers(f"http://127.0.0.1:{port}/ping"), within_s=120, alive=engine.poll)
            arena.send(arena.topic("market"), arena.events(300), 0)
            sink = arena.start()
            wait_until(sink.is_assigned, within_s=120, alive=sink.process.poll)
            wait_until(arena.all_stored, within_s=120, alive=sink.process.poll)
            disk.fill()
            arena.send(arena.topic("market"), arena.events(300), 0)
            # The batch may be stored in one table and not in the other: the same token puts it where it is missing.
            wait_until(lambda: "NOT_ENOUGH_SPACE" in sink.text(), within_s=120, alive=sink.process.poll)
            assert "The disk of its data folder" in sink.text()
            disk.empty()
            wait_until(arena.all_stored, within_s=120, alive=sink.process.poll)

            assert sink.stop() == 0
            assert arena.expected() == arena.stored()
            for table in ("market_trade_reported", "market_quote_updated"):
                assert [(300, 300)] == arena.query(f"SELECT count(), uniqExact(offset) FROM tradewire.{table}")
        finally:
            arena.close()
            engine.kill()


def test_a_cause_is_named_only_where_there_is_one() -> None:
    folder = Path("archive")

    assert "; this user may not write to archive: change its owner or rights" in cause_of(OSError(13, "x"), folder)
    assert "" == cause_of(OSError(5, "Input/output error"), folder)
