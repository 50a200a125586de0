"""`tradewire up`, `status` and `down` as a user runs them: whole stack, own ports, one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import clickhouse_connect
import pytest
from tests.waiting import wait_until

from tradewire.core import Settings, load_settings
from tradewire.operations.stack import free_ports, read_status

EVENTS = 2_000


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a stack of this test's own, as files and environment of its processes give them."""
    kafka, controller, registry, clickhouse, gateway, worker, sink = free_ports(7)
    values = {
        "LOCAL__DATA_FOLDER": tmp_path / "data",
        "LOCAL__KAFKA_PORT": kafka,
        "LOCAL__KAFKA_CONTROLLER_PORT": controller,
        "LOCAL__REGISTRY_PORT": registry,
        "KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka}",
        "REGISTRY__URL": f"http://127.0.0.1:{registry}/apis/ccompat/v7",
        "CLICKHOUSE__PORT": clickhouse,
        "GATEWAY__PORT": gateway,
        "WORKER__METRICS_PORT": worker,
        "WORKER__STANDING_MS_MAX": 5_000,
        "SINK__METRICS_PORT": sink,
    }
    for name, value in values.items():
        monkeypatch.setenv(f"TRADEWIRE_{name}", str(value))
    return load_settings()


def tradewire(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tradewire.operations.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


@contextmanager
def running(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`tradewire up` until the block ends; ready when the block begins."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tradewire.operations.cli", "up"], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: state(settings) == "ready", within_s=170, alive=process.poll)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(90)
        finally:
            process.kill()


def state(settings: Settings) -> str | None:
    status = read_status(settings.local.data_folder)
    return status.state if status is not None else None


def stored(settings: Settings, where: str = "topic != 'flow.events'") -> int:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=settings.clickhouse.port)
    return int(client.command(f"SELECT count() FROM tradewire.events WHERE {where}"))


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_data_survive_a_restart_and_the_stack_can_be_watched_and_ended(stack: Settings, tmp_path: Path) -> None:
    """Ctrl-C ends all parts in order, the next start goes on with what was there, `status` and `down` work beside."""
    with running(stack, tmp_path / "first.log") as first:
        # A part that does not answer in time is shown as unresponsive for a moment.
        wait_until(lambda: tradewire("status").returncode == 0, every_s=0.5)
        assert 0 == tradewire("feed", "simulate", "--events", str(EVENTS)).returncode
        wait_until(lambda: stored(stack) == EVENTS, within_s=120)
    pids = [part.pid for part in read_status(stack.local.data_folder).parts]

    assert 0 == first.returncode
    assert "stopped" == state(stack)
    assert [] == [pid for pid in pids if pid is not None and Path(f"/proc/{pid}").exists()]
    assert 3 == tradewire("status").returncode

    with running(stack, tmp_path / "second.log") as second:
        assert EVENTS == stored(stack)
        assert (
            stored(stack, "topic = 'market.events' AND partition = 3")
            == replayed(settings=stack, topic="market.events", partition=3)
            > 0
        )
        before = restarts(stack, "clickhouse")
        os.kill(part(stack, "clickhouse"), signal.SIGKILL)
        wait_until(lambda: restarts(stack, "clickhouse") > before and state(stack) == "ready", within_s=120)
        assert EVENTS == stored(stack)

        # A worker that hangs is as dead as a dead one: its commits stand under what comes in.
        before = restarts(stack, "worker")
        os.kill(part(stack, "worker"), signal.SIGSTOP)
        assert 0 == tradewire("feed", "simulate", "--events", "100").returncode
        wait_until(lambda: restarts(stack, "worker") > before and state(stack) == "ready", within_s=120)
        assert 0 == tradewire("down").returncode
        assert 0 == second.wait(120)


def part(settings: Settings, name: str) -> int:
    """Its process, once it has one."""
    return wait_until(
        lambda: next(part.pid for part in read_status(settings.local.data_folder).parts if part.name == name) or 0
    )


def restarts(settings: Settings, name: str) -> int:
    return next(part.restarts for part in read_status(settings.local.data_folder).parts if part.name == name)


def replayed(settings: Settings, topic: str, partition: int) -> int:
    """How many records `tradewire replay` prints of a partition."""
    place = ("--topic", topic, "--partition", str(partition))
    done = tradewire("replay", "range", *place, "--from", "0", "--to-stdout")
    assert 0 == done.returncode, done.stderr
    return len(done.stdout.splitlines())
