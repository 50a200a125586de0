"""`tradewire replay` and `tradewire sql` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sinks.arena import Arena, make_arena
from tests.waiting import wait_until

from tradewire.core import Settings, new_id
from tradewire.schemas import Contract
from tradewire.sinks.digest import from_line, read_file


@pytest.fixture(scope="module")
def filled(
    settings: Settings, contract: Contract, tmp_path_factory: pytest.TempPathFactory, arena_database: str
) -> Iterator[Arena]:
    """30 stored events."""
    made = make_arena(settings, contract, tmp_path_factory.mktemp("commands"), new_id()[-12:], arena_database)
    made.send(made.topic("market"), made.events(30), 0)
    with made.running():
        wait_until(made.all_stored, within_s=120)
    yield made
    made.close()


def partition_0(arena: Arena, *more: str) -> tuple[str, ...]:
    return ("replay", "range", "--topic", arena.topic("market"), "--partition", "0", *more)


def tradewire(arena: Arena, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tradewire.operations.cli", *arguments]
    return subprocess.run(
        command, env=arena.environment, cwd=arena.folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_range_on_stdout_is_lines_alone(filled: Arena) -> None:
    topic = filled.topic("market")
    done = tradewire(
        filled, "replay", "range", "--topic", topic, "--partition", "0", "--from", "5", "--to", "9", "--to-stdout"
    )

    assert done.returncode == 0, done.stderr
    lines = [from_line(line) for line in done.stdout.splitlines()]
    assert [(topic, 0, offset) for offset in range(5, 10)] == [(at, part, record.offset) for at, part, record in lines]
    assert "sha256" in done.stderr


def test_a_range_into_a_file(filled: Arena, tmp_path: Path) -> None:
    file = tmp_path / "range.jsonl"
    wanted = (
        "replay",
        "range",
        "--topic",
        filled.topic("market"),
        "--partition",
        "0",
        "--from",
        "0",
        "--to-file",
        str(file),
    )

    assert tradewire(filled, *wanted).returncode == 0
    assert 30 == len(list(read_file(file)))
    again = tradewire(filled, *wanted)
    assert (1, True) == (again.returncode, "exists" in again.stderr)


def test_a_dry_run_says_what_would_be_read(filled: Arena) -> None:
    done = tradewire(
        filled, "replay", "range", "--topic", filled.topic("market"), "--partition", "0", "--from", "3", "--dry-run"
    )

    assert (0, "") == (done.returncode, done.stdout)
    assert "at most 27 records" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--from", "0"), 2, "give one of"),
        (("--from", "0", "--to-stdout", "--dry-run"), 2, "give one of"),
        (("--from", "31", "--to-stdout"), 1, "is empty"),
    ],
    ids=["no target", "two targets", "empty range"],
)
def test_what_cannot_be_done_is_said(filled: Arena, more: tuple[str, ...], code: int, said: str) -> None:
    done = tradewire(filled, *partition_0(filled, *more))

    assert (code, "") == (done.returncode, done.stdout)
    assert said in " ".join(done.stderr.split())


def test_sql_in_a_table(filled: Arena) -> None:
    done = tradewire(
        filled, "sql", f"SELECT type, count() AS n FROM events WHERE topic = '{filled.topic('market')}' GROUP BY type"
    )

    assert done.returncode == 0, done.stderr
    assert "market.trade.reported" in done.stdout
    assert "15" in done.stdout


def test_sql_in_a_format(filled: Arena) -> None:
    done = tradewire(filled, "sql", "SELECT 1 AS a, 'ü' AS b", "--format", "JSONEachRow")

    assert (0, {"a": 1, "b": "ü"}) == (done.returncode, json.loads(done.stdout))


def test_sql_that_writes_is_refused(filled: Arena) -> None:
    done = tradewire(filled, "sql", "DROP TABLE events")

    assert (1, "") == (done.returncode, done.stdout)
    assert "error: SQL begins with DROP" in done.stderr


def test_a_cut_answer_says_so(filled: Arena) -> None:
    done = tradewire(filled, "sql", "SELECT number FROM numbers(100)", "--rows-max", "3")

    assert "only the first 3 rows" in " ".join(done.stderr.split())


def test_sql_says_up_to_where_it_is_complete_and_keeps_to_its_memory(filled: Arena) -> None:
    done = tradewire(filled, "sql", "SELECT 1 AS a")
    assert (0, True) == (done.returncode, "complete" in done.stderr), done.stderr

    heavy = "SELECT groupArray(toString(number)) FROM numbers(20000000)"
    refused = tradewire(filled, "sql", heavy, "--memory-mb-max", "50")
    assert (1, True) == (refused.returncode, "code 241" in refused.stderr), refused.stderr


def test_sql_in_a_format_is_cut_at_its_rows(filled: Arena) -> None:
    done = tradewire(filled, "sql", "SELECT number FROM numbers(200000)", "--format", "TSV", "--rows-max", "7")

    assert [str(number) for number in range(7)] == done.stdout.split()
