"""Who serves delivery reports: the publishing thread while it is busy, else the publisher's own. Who waits for whom."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import Producer
from tests.waiting import wait_until

from tradewire.producers import _client
from tradewire.producers._client import Turns, patient_threads


def test_a_thread_serves_reports_only_while_it_publishes_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks every 64 events: within 5 ms that is busy. A slow one leaves its longest calls to the other thread."""
    now = [10_000_000_000]
    monkeypatch.setattr(_client.time, "monotonic_ns", lambda: now[0])
    turns = Turns()
    asked = []
    for step_ns in (0, 4_000_000, 4_999_999, 5_000_000, 12_800_000, 1_000):
        now[0] += step_ns
        asked.append(turns.due())

    assert [False, True, True, False, False, True] == asked
    assert turns.taken == 3


def policies() -> dict[str, int]:
    """The scheduling policy of each thread of this process, by name and number."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            found[f"{(task / 'comm').read_text().strip()} {task.name}"] = os.sched_getscheduler(int(task.name))
    return found


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="this system has no SCHED_BATCH: run on Linux")
def test_threads_of_librdkafka_do_not_push_the_publishing_thread_off_its_processor() -> None:
    """Those that are started later, when brokers become known, neither; the caller's own policy stays."""
    before = policies()
    with patient_threads():
        producer = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "replaced"})
    producer.list_topics(timeout=60)

    def started() -> dict[str, int]:
        """A thread has the name of the one that started it until it names itself."""
        return {name: policy for name, policy in policies().items() if name not in before and name.startswith("rdk:")}

    wait_until(lambda: len(started()) > 3)
    assert {os.SCHED_BATCH} == set(started().values())
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_thread_with_a_policy_of_its_own_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real-time thread would lose its place; a system that refuses is left as it is."""
    monkeypatch.setattr(os, "sched_getscheduler", lambda pid: os.SCHED_FIFO)
    monkeypatch.setattr(os, "sched_setscheduler", lambda *given: pytest.fail(f"changed to {given}"))

    with patient_threads():
        pass
