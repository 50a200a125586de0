"""Partitions that change hands under load, and a broker that goes away: nothing lost, nothing twice."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from tests.processors.running import Broker, RunningWorker, steps_about
from tests.processors.workload import Workload
from tests.waiting import wait_until

from tradewire.processors import read_progress
from tradewire.processors.worker import EXIT_CRASHED

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(400)]


def test_a_second_worker_joins_under_load_and_takes_over_when_the_first_is_killed(
    broker: Broker, tmp_path: Path
) -> None:
    events = Workload(21, "join.").events(1_000_000, orders_share=0.1)
    published = 0

    def published_some() -> bool:
        """Keeps the load up while something else is waited for."""
        nonlocal published
        published += broker.publish(itertools.islice(events, 30))
        return True

    first = RunningWorker(broker, "pair", tmp_path / "first", batch_rows_max=100, session_timeout_ms=8_000)
    second = RunningWorker(broker, "pair", tmp_path / "second", batch_rows_max=100, session_timeout_ms=8_000)
    with first:
        wait_until(lambda: published_some() and read_progress(first.folder), within_s=60, alive=first.process.poll)
        with second:
            wait_until(
                lambda: published_some() and read_progress(second.folder), within_s=90, alive=second.process.poll
            )
            for _ in range(40):
                published_some()
            first.kill()
            for _ in range(40):
                published_some()
            # The group waits for the dead member until its session ends.
            second.wait_until_done(within_s=150)
            assert second.process.poll() is None
            found, expected = broker.read_models(), broker.folded()
            for table in expected:
                assert found[table] == expected[table], table
            assert steps_about(found, "join.") == published


def test_a_broker_killed_under_load_costs_nothing(broker: Broker, tmp_path: Path) -> None:
    events = Workload(31, "broker.").events(1_000_000, orders_share=0.1)
    worker = RunningWorker(broker, "brokerless", tmp_path / "worker", batch_rows_max=100, session_timeout_ms=8_000)
    broker.publish(itertools.islice(events, 100))
    with worker:
        wait_until(lambda: read_progress(worker.folder), within_s=60, alive=worker.process.poll)
        broker.publish(itertools.islice(events, 3_000))
        broker.kafka.kill()
        broker.kafka.start()
        broker.publish(itertools.islice(events, 1_000))

        def done() -> bool:
            """A worker may end itself on trouble with the broker; whoever supervises it starts it again."""
            if worker.process.poll() is not None:
                assert worker.process.returncode == EXIT_CRASHED
                worker.start()
            return broker.behind(worker.group) == 0

        wait_until(done, within_s=120)
        found, expected = broker.read_models(), broker.folded()
        for table in expected:
            assert found[table] == expected[table], table
