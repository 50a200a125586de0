"""`tradewire audit` as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.sinks.arena import Arena, make_arena
from tests.waiting import wait_until

from tradewire.core import Settings, new_id
from tradewire.core.settings import ClickHouseSettings
from tradewire.schemas import Contract
from tradewire.sinks.store import Store

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def filled(
    settings: Settings,
    contract: Contract,
    clickhouse_settings: ClickHouseSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Arena]:
    """60 stored events in a database of their own."""
    database = f"test_{new_id().replace('-', '')}"
    made = make_arena(settings, contract, tmp_path_factory.mktemp("audit"), new_id()[-12:], database)
    made.send(made.topic("market"), made.events(60), 0)
    with made.running():
        wait_until(made.all_stored, within_s=120)
    yield made
    made.close()
    made.drop_database()


def tradewire(arena: Arena, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tradewire.operations.cli", *arguments]
    return subprocess.run(
        command, env=arena.environment | environment, cwd=arena.folder,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_audit_says_in_its_exit_code_whether_all_is_there_and_heals_only_when_told(filled: Arena) -> None:
    """Equal, then three rows are deleted: different, planned, still different, healed."""
    topic = filled.topic("market")
    equal = tradewire(filled, "audit", "--complete", "--columns", "--metrics-file", "audit.prom")
    assert (0, True) == (equal.returncode, "equal: 60 records" in equal.stdout), equal.stderr
    assert "typed columns compared" in equal.stdout
    metrics = (filled.folder / "audit.prom").read_text()
    assert "tradewire_audit_equal 1.0" in metrics
    assert f'tradewire_audit_complete_to{{partition="0",topic="{topic}"}} 60.0' in metrics

    store = Store(filled.settings.clickhouse)
    for table in ("events", "market_trade_reported", "market_quote_updated"):
        store.delete_offsets(table, topic, 0, 7, 9)
    store.close()
    differs = tradewire(filled, "audit", "--topic", topic, "--json", "--heal")
    assert 1 == differs.returncode, differs.stderr
    report = json.loads(differs.stdout)
    assert [{"anomaly": "lost-write", "from": 7, "to": 9, "offsets": 3}] == report["partitions"][0]["findings"]
    assert (False, 7) == (report["equal"], report["partitions"][0]["complete_to"])
    assert "nothing was changed" in differs.stderr

    healed = tradewire(filled, "audit", "--topic", topic, "--heal", "--yes")
    assert (0, True) == (healed.returncode, "3 inserted" in healed.stderr), healed.stderr


def test_a_terminal_shows_how_far_it_is_and_a_file_does_not(filled: Arena) -> None:
    """A bar for each partition, on stderr, with the offsets read of all there are; stdout has the report alone."""
    topic = filled.topic("market")
    command = [sys.executable, "-m", "tradewire.operations.cli", "audit", "--topic", topic, "--json"]
    ours, theirs = pty.openpty()
    shown = bytearray()

    def read() -> None:
        with suppress(OSError):  # the other end is closed
            while piece := os.read(ours, 65_536):
                shown.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    environment = filled.environment | {"TERM": "xterm-256color", "COLUMNS": "120"}
    done = subprocess.run(
        command, env=environment, cwd=filled.folder, stdout=subprocess.PIPE, stderr=theirs, timeout=120, check=False
    )
    os.close(theirs)
    reader.join(30)
    os.close(ours)
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())

    assert (0, True) == (done.returncode, json.loads(done.stdout)["equal"]), said
    assert f"{topic}[0]" in said and "━" in said
    assert "60/60" in said
    assert "━" not in tradewire(filled, "audit", "--topic", topic).stderr


def test_what_cannot_be_audited_has_an_exit_code_of_its_own(filled: Arena) -> None:
    nowhere = tradewire(filled, "audit", "--topic", "no.such.topic")
    assert (2, True) == (nowhere.returncode, "no.such.topic" in nowhere.stderr)

    down = tradewire(filled, "audit", TRADEWIRE_CLICKHOUSE__PORT="9")
    assert (2, True) == (down.returncode, "127.0.0.1:9" in down.stderr)


def test_offsets_without_a_partition_are_refused(filled: Arena) -> None:
    refused = tradewire(filled, "audit", "--from", "3")

    assert (2, True) == (refused.returncode, "--partition" in refused.stderr)
