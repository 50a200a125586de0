"""Lanes wake each other: no work waits while a lane is idle. Threads, but no broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from tests.processors.pure import Record
from tests.waiting import wait_until

from tradewire.processors._lanes import Lanes
from tradewire.processors._partitions import OwnedPartition
from tradewire.processors._work import RecordWork
from tradewire.processors.dedupe import DedupeWindow
from tradewire.processors.parking import Standing

WITHIN_S = 30.0


@contextmanager
def lanes_of(count: int, work: Callable[[str], float | None]) -> Iterator[Lanes[str, str]]:
    lanes: Lanes[str, str] = Lanes(count, work, "test")
    lanes.start()
    try:
        yield lanes
    finally:
        lanes.close()
        lanes.join(WITHIN_S)


def test_items_of_one_call_are_taken_by_all_lanes_at_once() -> None:
    """The one that is woken wakes the next."""
    together = threading.Barrier(4)

    def work(item: str) -> None:
        together.wait(WITHIN_S)

    with lanes_of(4, work) as lanes:
        lanes.add((unit, unit) for unit in "abcd")
        wait_until(lambda: len(lanes.finished) == 4, within_s=WITHIN_S)
        assert lanes.failure is None


def test_a_retry_that_is_due_is_taken_while_other_lanes_are_busy() -> None:
    """Whoever takes work leaves the clock to one that is idle."""
    release, tried = threading.Event(), threading.Event()
    attempts, long = 0, []

    def work(item: str) -> float | None:
        nonlocal attempts
        if item == "long":
            long.append(item)
            release.wait(WITHIN_S)
            return None
        attempts += 1
        if attempts < 3 or len(long) < 2:
            return 0.05
        tried.set()
        return None

    with lanes_of(3, work) as lanes:
        lanes.add([("a", "again"), ("b", "long"), ("c", "long")])
        assert tried.wait(WITHIN_S), "with two lanes busy the third makes the retries"
        wait_until(lambda: {"b", "c"} == set(lanes._running), within_s=WITHIN_S)
        release.set()


def test_work_that_comes_one_by_one_finds_an_idle_lane() -> None:
    """Items of many units, added from several threads, are all done with."""
    done: list[str] = []

    def work(item: str) -> None:
        time.sleep(0.0002)
        done.append(item)

    with lanes_of(4, work) as lanes:
        threads = [
            threading.Thread(
                target=lambda name=name: [lanes.add([(f"{name}{n % 7}", f"{name}{n}")]) for n in range(200)]  # type: ignore[misc]
            )
            for name in "xyz"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: len(lanes.finished) == 600, within_s=WITHIN_S)
        assert 600 == len(set(done))


def test_who_waits_for_the_end_of_calls_is_told_of_it() -> None:
    """``finish`` does not wait for its whole time."""
    begun, release = threading.Event(), threading.Event()

    def work(item: str) -> None:
        begun.set()
        release.wait(WITHIN_S)

    def bound(_: object) -> Callable[[str], bool]:
        # From within: released before, the second would be taken.
        threading.Timer(0.05, release.set).start()
        return lambda item: False

    with lanes_of(1, work) as lanes:
        lanes.add([("a", "first"), ("a", "second")])
        assert begun.wait(WITHIN_S)
        assert lanes.finish(lambda _: True, bound, WITHIN_S)
        assert ["first"] == list(lanes.finished)
        assert 0 == len(lanes)


def test_a_record_that_waited_while_its_partition_was_given_away_is_not_handed_over() -> None:
    """Its key may be parked, which was forgotten with the partition: it would overtake what is parked ahead of it."""
    owned = OwnedPartition("t", 0, 10, DedupeWindow(0), committed=None, says_begin=False)

    class Lot:
        def standing(self, *_: object) -> Standing:
            owned.close()
            return Standing.FREE

    desk: Any = SimpleNamespace(lot=Lot(), handling=None)
    record = Record("t", 0, 10, 0, b"parked", b"", ())
    assert RecordWork(owned, owned.claim(10), record).take(desk) is None


@pytest.mark.parametrize(("rows_max", "ahead_max"), [(4, 1_000), (1_000, 4)])
def test_a_partition_is_held_when_full_and_read_on_at_half(rows_max: int, ahead_max: int) -> None:
    """By what waits, and by how far the oldest unfinished record lies behind."""
    owned = OwnedPartition("t", 0, 10, DedupeWindow(0), committed=None, says_begin=False)
    claims = []
    for offset in range(10, 14):
        assert not owned.throttle(rows_max, ahead_max)
        claims.append(owned.claim(offset))
        owned.queued_rows += 1
    assert (10, 4) == (owned.first_open, owned.ahead_rows)
    assert owned.throttle(rows_max, ahead_max)
    assert owned.is_paused

    changed = []
    for claim in claims:
        owned.settle(claim)
        owned.queued_rows -= 1
        changed.append(owned.throttle(rows_max, ahead_max))
    assert [False, True, False, False] == changed
    assert (None, 0, False) == (owned.first_open, owned.ahead_rows, owned.is_paused)
