"""The demo's comparisons can fail."""

from __future__ import annotations

from tradewire.operations.demo.checks import Check, partition_rows


def test_a_partition_agrees_only_when_all_three_counts_do() -> None:
    """A place that only one of them knows counts as a difference."""
    rows = partition_rows({("t", 0): 2, ("t", 1): 0}, {("t", 0): 2, ("t", 2): 1}, {("t", 0): 2})

    assert [("t", 0, True), ("t", 2, False)] == [(row.topic, row.partition, row.holds) for row in rows]


def test_a_doubled_event_and_a_lost_one_are_seen() -> None:
    """Neither direction of a difference passes."""
    assert [False, False] == [row.holds for row in partition_rows({("t", 0): 1, ("t", 1): 1}, {("t", 0): 1}, {})]
    assert not Check("volume", 1, 2).holds
    assert Check("volume", 1, 1).holds
