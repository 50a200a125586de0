"""Partitions that change hands under load, and a broker that goes away: nothing lost, nothing twice."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.processors.running import Broker, RunningWorker, steps_about
from tests.processors.workload import Workload
from tests.waiting import wait_until

from tradewire.processors import read_progress
from tradewire.processors.group_watch import GroupWatch
from tradewire.processors.watchdog import Rules

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(700)]


@pytest.fixture(scope="module")
def broker(own_broker: Broker) -> Broker:
    """Of this file alone: workers of later tests would read all that is published here, each from the beginning."""
    return own_broker


def test_workers_join_and_are_killed_under_load_and_nothing_is_lost_or_doubled(broker: Broker, tmp_path: Path) -> None:
    """Two workers; one hangs and is killed with -9 while a third one joins; then one that has lost its folder."""
    events = Workload(21, "join.").events(1_000_000, orders_share=0.1)
    published = 0

    def published_some() -> bool:
        """Keeps the load up while something else is waited for."""
        nonlocal published
        published += broker.publish(itertools.islice(events, 30))
        return True

    def until_it_commits(worker: RunningWorker, *others: RunningWorker) -> None:
        supervised((worker, *others), lambda: published_some() and read_progress(worker.folder), every_s=0.05)

    def until_done(worker: RunningWorker, *others: RunningWorker) -> None:
        supervised((worker, *others), lambda: worker.behind() == 0, every_s=0.2)

    first, second, third = (
        RunningWorker(broker, "scaled", tmp_path / name, batch_rows_max=100, session_timeout_ms=10_000)
        for name in ("first", "second", "third")
    )
    with contextlib.ExitStack() as running:
        running.enter_context(first)
        until_it_commits(first)
        running.enter_context(second)
        until_it_commits(second, first)
        only_the_stopped_one_hangs(broker, first, second, published_some)
        running.enter_context(third)
        for _ in range(20):
            published_some()
        first.kill()
        until_it_commits(third, second)
        # The group waits for the dead member until its session ends.
        until_done(second, third)
        assert_fold_of_the_log(broker, published)

        assert second.stop() == 0
        shutil.rmtree(second.folder)
        second.start()
        until_it_commits(second, third)
        until_done(second, third)
        assert_fold_of_the_log(broker, published)


def supervised(workers: Sequence[RunningWorker], condition: Callable[[], object], *, every_s: float) -> None:
    """Waits until the condition holds; a worker that a machine which stands still for seconds has made end goes on."""

    def look() -> object:
        for worker in workers:
            worker.supervise()
        return condition()

    wait_until(look, within_s=150, every_s=every_s)


def only_the_stopped_one_hangs(
    broker: Broker, stopped: RunningWorker, well: RunningWorker, load: Callable[[], object]
) -> None:
    """Stops one of two workers and looks at both; each watch counts the partitions of its own worker alone."""
    seconds = itertools.count(step=10)
    watches = [
        GroupWatch(
            broker.settings.kafka,
            stopped.group,
            folder=worker.folder,
            rules=Rules(standing_ms_max=30_000),
            now_ms=lambda: 1_000 * next(seconds),
        )
        for worker in (stopped, well)
    ]
    os.kill(stopped.process.pid, signal.SIGSTOP)
    for _ in range(20):
        before = read_progress(well.folder)
        supervised([well], lambda: load() and read_progress(well.folder) != before, every_s=0.05)  # noqa: B023
        of_stopped, of_well = [watch.look() for watch in watches]
        assert of_well is None
        if of_stopped is not None:
            return
    raise AssertionError("the watch does not see that the worker has stopped")


def assert_fold_of_the_log(broker: Broker, published: int) -> None:
    found = broker.assert_fold_of_the_log()
    assert steps_about(found, "join.") == published


def test_a_broker_killed_under_load_costs_nothing(broker: Broker, tmp_path: Path) -> None:
    events = Workload(31, "broker.").events(1_000_000, orders_share=0.1)
    worker = RunningWorker(broker, "brokerless", tmp_path / "worker", batch_rows_max=100, session_timeout_ms=8_000)
    broker.publish(itertools.islice(events, 100))
    with worker:
        supervised([worker], lambda: read_progress(worker.folder), every_s=0.05)
        broker.publish(itertools.islice(events, 1_500))
        broker.kafka.kill()
        broker.kafka.start(timeout_s=150)
        broker.publish(itertools.islice(events, 1_000))
        # It may end itself on trouble with the broker; whoever supervises it starts it again.
        supervised([worker], lambda: worker.behind() == 0, every_s=0.2)
        broker.assert_fold_of_the_log()
