"""`tradewire retention` as a user runs it, the events it publishes, and the daily run of the local stack."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.operations.test_audit_command import tradewire
from tests.sinks.arena import Arena, make_arena
from tests.waiting import wait_until

from tradewire.core import Settings, load_settings, new_id
from tradewire.core.errors import SinkError
from tradewire.operations.local_stack import environment_of
from tradewire.operations.retention_daily import due_at_ms, is_due, is_late
from tradewire.operations.retention_events import cleanup_event
from tradewire.schemas import Contract
from tradewire.sinks.retention import Cleaned, CleanupInterrupted, Rule
from tradewire.sinks.store import Store

pytestmark = pytest.mark.timeout(300)
DAY_MS = 86_400_000
MIDNIGHT_MS = 20_000 * DAY_MS


@pytest.mark.parametrize(
    ("now", "last_run", "expected"),
    [
        ("02:59", None, True),
        ("02:59", "-03:01", False),
        ("03:00", "-03:01", True),
        ("03:01", "03:00", False),
        ("23:59", "02:59", True),
        ("02:00", "-02:00", True),
    ],
)
def test_a_run_is_due_once_a_day_and_a_missed_one_is_made_up_for(
    now: str, last_run: str | None, expected: bool
) -> None:
    def at(text: str) -> int:
        hours, minutes = map(int, text.lstrip("-").split(":"))
        return MIDNIGHT_MS + (hours * 60 + minutes) * 60_000 - (DAY_MS if text.startswith("-") else 0)

    assert expected is is_due(at(now), "03:00", at(last_run) if last_run is not None else None)


def test_the_last_due_time_lies_within_a_day() -> None:
    assert MIDNIGHT_MS + 3 * 3_600_000 == due_at_ms(MIDNIGHT_MS + 3 * 3_600_000, "03:00")
    assert MIDNIGHT_MS - 21 * 3_600_000 == due_at_ms(MIDNIGHT_MS + 3 * 3_600_000 - 1, "03:00")


def test_a_run_is_late_an_hour_after_it_was_due() -> None:
    """03:59 is not late yet, 04:00 is; a run of this morning is of no day but this."""
    three, day_before = MIDNIGHT_MS + 3 * 3_600_000, MIDNIGHT_MS - 3_600_000

    assert not is_late(three + 3_599_999, "03:00", day_before)
    assert is_late(three + 3_600_000, "03:00", day_before)
    assert not is_late(three + 3_600_000, "03:00", three + 5_000)
    assert is_late(three, "03:00", None)


def test_events_say_what_was_cleaned_or_why_not() -> None:
    rule = Rule("market.events", "topic", 30 * DAY_MS, True)
    done = Cleaned("id", rule, 5, 200, 200, "/archive/market.events", 17)
    failed = Cleaned("id", rule, 5, 3, 0, None, 17, SinkError("disk full"))

    type, data = cleanup_event(done, manual=True)
    assert ("system.cleanup.completed", 5_000_000, 200) == (type, data["cutoff_ns"], data["archived_count"])
    assert "file:///archive/market.events" == data["archive_uri"]
    type, data = cleanup_event(failed, manual=False, retry_ns=9)
    assert ("system.cleanup.failed", "SinkError", "disk full", 9) == (
        type, data["error_type"], data["message"], data["retry_ns"],
    )  # fmt: skip
    killed = Cleaned("id", rule, 5, 3, 0, None, 0, CleanupInterrupted("killed"))
    type, data = cleanup_event(killed, manual=False, retry_ns=9)
    assert ("system.cleanup.failed", "CleanupInterrupted") == (type, data["error_type"])
    assert data["retry_ns"] > 9


def test_the_local_stack_keeps_archives_beside_its_other_data(tmp_path: Path) -> None:
    plain = load_settings(local={"data_folder": tmp_path})
    given = load_settings(local={"data_folder": tmp_path}, retention={"archive_folder": tmp_path / "else"})

    assert str(tmp_path / "archive") == environment_of(plain)["TRADEWIRE_RETENTION__ARCHIVE_FOLDER"]
    assert str(tmp_path / "else") == environment_of(given)["TRADEWIRE_RETENTION__ARCHIVE_FOLDER"]


def of_cleanups(arena: Arena, topic: str) -> list[tuple[Any, ...]]:
    """The cleanup events of a target that the sink has stored."""
    database = arena.settings.clickhouse.database
    return arena.query(
        f"SELECT deleted_count, archived_count, manual FROM {database}.system_cleanup_completed "
        f"WHERE target = '{topic}'"
    )


def test_plan_run_and_the_daily_run(settings: Settings, contract: Contract, tmp_path: Path, database: str) -> None:
    """40 events that are older than a second go, told by an event; ten later ones go by the daily process."""
    arena = make_arena(settings, contract, tmp_path, new_id()[-12:], database)
    with_system = yaml.safe_load(arena.topics_file.read_text())
    with_system["topics"]["system.events"] = {"domain": "system", "partitions": 4}
    arena.topics_file.write_text(yaml.safe_dump(with_system))
    topic = arena.topic("market")
    policy = tmp_path / "retention.yaml"
    policy.write_text(yaml.safe_dump({"topics": {topic: {"keep_days": 1e-5}}}))
    environment = {
        "COLUMNS": "200",
        "TRADEWIRE_RETENTION__POLICY_FILE": str(policy),
        "TRADEWIRE_RETENTION__ARCHIVE_FOLDER": str(tmp_path / "archive"),
    }
    arena.send(topic, arena.events(40), 0)
    try:
        with arena.running():
            wait_until(arena.all_stored, within_s=120)
        planned = tradewire(arena, "retention", "plan", **environment)
        assert (3, True) == (planned.returncode, topic in planned.stdout), planned.stderr
        ran = tradewire(arena, "retention", "run", **environment)
        assert 0 == ran.returncode, ran.stderr
        nothing = tradewire(arena, "retention", "run", **environment)
        assert (0, True) == (nothing.returncode, "Nothing was due" in " ".join(nothing.stdout.split())), nothing.stderr
        assert [(0,)] == arena.query(f"SELECT count() FROM {database}.events WHERE topic = '{topic}'")
        assert 1 == len(list((tmp_path / "archive").rglob("*.avro")))

        daily_run(arena, topic, environment)
        with arena.running(topics=["system.events"]):
            wait_until(lambda: len(of_cleanups(arena, topic)) == 2, within_s=120)
        assert [(10, 10, False), (40, 40, True)] == sorted(of_cleanups(arena, topic))
    finally:
        arena.close()


def daily_run(arena: Arena, topic: str, environment: dict[str, str]) -> None:
    """The part of the local stack, on a day on which nothing has run yet."""
    database = arena.settings.clickhouse.database
    arena.send(topic, arena.events(10), 0)
    with arena.running():
        wait_until(lambda: arena.query(f"SELECT count() FROM {database}.events WHERE topic = '{topic}'") == [(10,)],
                   within_s=120)  # fmt: skip
    store = Store(arena.settings.clickhouse)
    store.command(f"ALTER TABLE {database}.retention_ledger DELETE WHERE step = 'run' SETTINGS mutations_sync = 2")
    store.close()
    log = arena.folder / "daily.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "tradewire.operations.retention_daily"],
            env={**os.environ, **arena.environment, **environment}, cwd=arena.folder, stdout=stream, stderr=stream,
        )  # fmt: skip
    try:
        wait_until(lambda: "retention_ran" in log.read_text(), within_s=120, alive=process.poll)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(90)
        assert (0, "") == checked(arena, environment)
        store = Store(arena.settings.clickhouse)
        store.command(f"DROP TABLE {database}.retention_ledger SYNC")
        store.close()
        code, said = checked(arena, environment)
        assert (1, True) == (code, "ran never" in said)
    finally:
        process.kill()
        process.wait(30)


def checked(arena: Arena, environment: dict[str, str]) -> tuple[int, str]:
    """What the health check of the daily run says."""
    asked = subprocess.run(
        [sys.executable, "-m", "tradewire.operations.retention_daily", "--check"],
        env={**os.environ, **arena.environment, **environment}, cwd=arena.folder,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return asked.returncode, asked.stderr


def test_a_bad_policy_stops_the_daily_run_at_its_start(arena_environment: dict[str, str], tmp_path: Path) -> None:
    policy = tmp_path / "retention.yaml"
    policy.write_text(yaml.safe_dump({"topics": {"market.event": {"keep_days": 3}}}))
    ended = subprocess.run(
        [sys.executable, "-m", "tradewire.operations.retention_daily"],
        env=arena_environment | {"TRADEWIRE_RETENTION__POLICY_FILE": str(policy)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert (1, True) == (ended.returncode, "did you mean market.events" in ended.stderr), ended.stderr


@pytest.fixture
def arena_environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, "TRADEWIRE_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers}


@pytest.fixture
def database(settings: Settings) -> Any:
    name = f"test_{new_id().replace('-', '')}"
    yield name
    store = Store(settings.clickhouse)
    store.command(f"DROP DATABASE IF EXISTS `{name}` SYNC")
    store.close()
