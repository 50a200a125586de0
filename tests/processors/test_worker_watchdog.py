"""A worker that hangs, under the watchdog: it is ended, started again, and ends with the fold of the log."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka import Producer
from tests.processors.running import Broker, RunningWorker, steps_about
from tests.processors.workload import Workload
from tests.waiting import wait_until

from tradewire.operations.stack import free_ports
from tradewire.operations.watching import WatchedPart
from tradewire.processors.group_watch import GroupWatch
from tradewire.processors.liveness import Membership, read_membership
from tradewire.processors.watchdog import Rules

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(500)]

FAULTY = Path(__file__).with_name("faulty_worker.py")


def member_of(folder: Path, *, other_than: int | None = None) -> Membership:
    """The worker of a folder, once there is one, or another one."""

    def found() -> Membership | None:
        member = read_membership(folder)
        return None if member is None or member.pid == other_than else member

    return wait_until(found, within_s=150)


def test_a_fetch_that_never_returns_and_a_stopped_process_are_ended_and_nothing_is_lost(
    broker: Broker, tmp_path: Path
) -> None:
    events = Workload(61, "hung.").events(1_000_000, orders_share=0.1)
    worker = RunningWorker(broker, "hung", tmp_path / "data", session_timeout_ms=6_000)
    (port,) = free_ports(1)
    command = ["-m", "tradewire.operations.cli", "watchdog", "--folder", str(worker.folder), "--standing-ms", "6000"]
    command += ["--group", "hung", "--every-ms", "500", "--stop-ms", "2000", "--metrics-port", str(port)]
    command += ["--", sys.executable, str(FAULTY)]
    published = broker.publish(itertools.islice(events, 300))
    try:
        worker.start(command, TRADEWIRE_TEST_STUCK=str(tmp_path / "stuck"))
        wait_until((tmp_path / "stuck").exists, within_s=150, alive=worker.process.poll)
        first = member_of(worker.folder)
        published += broker.publish(itertools.islice(events, 300))
        second = member_of(worker.folder, other_than=first.pid)
        assert (second.group, second.instance_id) == (first.group, first.instance_id)
        worker.wait_until_done()

        stopped = stop_the_one_that_runs(worker.folder)
        published += broker.publish(itertools.islice(events, 300))
        member_of(worker.folder, other_than=stopped)
        worker.wait_until_done()

        found, expected = broker.read_models(), broker.folded()
        for table in expected:
            assert found[table] == expected[table], table
        assert steps_about(found, "hung.") == published
        log = worker.log_file.read_text()
        # One that takes longer than these six seconds to begin, on a slow machine, is ended for that as well.
        killed = log.count("hung worker is killed")
        assert killed >= 2
        assert "/0" in log and "committed" in log
        assert killed == restarts_counted(port)
        last = member_of(worker.folder)
        assert worker.stop() == 0
        wait_until(lambda: gone(last.pid), within_s=60)
    finally:
        if worker.process.poll() is None:
            worker.process.terminate()
            worker.process.wait(90)


def stop_the_one_that_runs(folder: Path) -> int:
    """Stops the process of the worker, which may have been started again at any moment; its id."""

    def stopped() -> int | None:
        pid = member_of(folder).pid
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            return None
        return pid

    return wait_until(stopped, within_s=150, every_s=0.2) or 0


def restarts_counted(port: int) -> float:
    """What the watchdog's metrics say of workers that it has ended."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if "watchdog_restarts_total{" in line)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_worker_that_only_has_the_end_of_a_transaction_before_it_does_not_hang(
    broker: Broker, tmp_path: Path
) -> None:
    """Its commit stays below the end offset for ever; there is nothing to read up to it."""
    worker = RunningWorker(broker, "hollow", tmp_path / "data")
    with worker:
        worker.wait_until_done()
        producer = Producer({**broker.settings.kafka.client_config(), "transactional.id": "tests.hollow"})
        producer.init_transactions(90)
        producer.begin_transaction()
        producer.produce("risk.events", b"never seen", b"hollow", partition=0)
        producer.flush(90)
        producer.abort_transaction(90)
        wait_until(worker.is_behind, within_s=60)
        now = [0]

        def now_ms() -> int:
            now[0] += 10_000
            return now[0]

        watch = GroupWatch(broker.settings.kafka, "hollow", folder=worker.folder, rules=Rules(), now_ms=now_ms)
        part = WatchedPart(watch, lambda: None)
        assert [part.pending() for _ in range(20)] == [None] * 20
        assert part._watch._watch.hollow_to
        # Other tests of this broker wait until nothing is left to commit: a record comes behind the transaction.
        broker.produce("risk.events", b"hollow", b"\x07no event", [], partition=0)
        worker.wait_until_done()
