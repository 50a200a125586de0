"""When a batch is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tradewire.core.settings import SinkSettings
from tradewire.schemas import Header
from tradewire.sinks.partition import AssignedPartition, Enough
from tradewire.sinks.protocol import PartitionProtocol

BEGAN_S = 1_000.0
LIMITS = SinkSettings(batch_rows_max=10_000, batch_age_ms_max=500)
OLD_S = 60.0


@dataclass(frozen=True)
class Message:
    at: int

    def __len__(self) -> int:
        return 5

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"\0\0\0\0\1"

    def headers(self) -> list[Header]:
        return []


@pytest.fixture(autouse=True)
def _time_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are added at ``BEGAN_S``, however slow the machine is."""
    monkeypatch.setattr("tradewire.sinks.partition.time", Clock(lambda: BEGAN_S))


@dataclass(frozen=True)
class Clock:
    monotonic: Callable[[], float]


def partition_with(rows: int, *, at_end: bool = False) -> AssignedPartition:
    assigned = AssignedPartition(PartitionProtocol("t", 0))
    assigned.add([Message(at) for at in range(rows)])
    assigned.read_to = rows if at_end else 0
    return assigned


@pytest.mark.parametrize(
    ("rows", "enough", "cut"),
    [
        (1_999, Enough.SOME, False),
        (2_000, Enough.SOME, True),
        (4_999, Enough.HALF, False),
        (5_000, Enough.HALF, True),
        (9_999, Enough.FULL, False),
        (10_000, Enough.FULL, True),
    ],
)
def test_a_batch_waits_for_more_rows_the_more_inserts_there_are(rows: int, enough: Enough, cut: bool) -> None:
    assert cut == partition_with(rows).cut(LIMITS, BEGAN_S, enough)


@pytest.mark.parametrize(
    ("rows", "enough", "cut"),
    [(1, Enough.SOME, True), (1, Enough.FULL, True), (4_000, Enough.HALF, True), (4_000, Enough.FULL, False)],
)
def test_an_old_batch_goes_unless_it_can_grow_while_every_thread_inserts(rows: int, enough: Enough, cut: bool) -> None:
    """Few rows go all the same: with many quiet partitions each would wait for the others."""
    assert cut == partition_with(rows).cut(LIMITS, BEGAN_S + OLD_S, enough)


def test_a_burst_that_is_over_does_not_wait_for_its_age() -> None:
    """A thousand rows behind which the partition ends and nothing came for a while; fewer, or more to come, wait."""
    soon = 0.2

    assert partition_with(1_500, at_end=True).cut(LIMITS, BEGAN_S + soon, Enough.HALF)
    assert not partition_with(1_500).cut(LIMITS, BEGAN_S + soon, Enough.HALF)
    assert not partition_with(500, at_end=True).cut(LIMITS, BEGAN_S + soon, Enough.HALF)
    assert not partition_with(1_500, at_end=True).cut(LIMITS, BEGAN_S - soon, Enough.HALF)


def test_a_cut_takes_no_more_than_the_ceiling() -> None:
    assigned = partition_with(12_000)

    assert assigned.cut(LIMITS, BEGAN_S, Enough.FULL)
    assert assigned.batch is not None
    assert (10_000, 2_000) == (len(assigned.batch), len(assigned.buffer))
