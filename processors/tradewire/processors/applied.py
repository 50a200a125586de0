"""Which source offsets a state already holds. Delivery is at least once; this makes its effect exactly once.

A position in a source partition is applied only if it lies behind the last one applied from that partition. So a
state is a function of the log alone, however often a part of the log is delivered again. It rests on two facts: a
partition is read in order, and a worker that starts again begins at or before the last offset it has applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Applied = Mapping[str, int]


class At(NamedTuple):
    """A place in the log; ``source`` names the partition as in the ``applied`` field of states."""

    source: str
    offset: int


def source_of(topic: str, partition: int) -> str:
    """``topic:partition``."""
    return f"{topic}:{partition}"


def holds(applied: Applied, at: At) -> bool:
    """Whether the record at ``at`` was applied before: it and all before it in its partition change nothing."""
    return applied.get(at.source, -1) >= at.offset


def advanced(applied: Applied, at: At) -> Applied:
    """``applied`` with ``at`` as the last one of its partition; the mapping given is not changed."""
    return {**applied, at.source: at.offset}
