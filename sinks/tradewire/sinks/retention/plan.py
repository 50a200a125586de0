"""What a retention rule means for what is stored now. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tradewire.sinks.retention.policy import Rule


@dataclass(frozen=True, slots=True)
class StoredPartition:
    """What is stored of a partition: ``keep_from`` is the oldest offset that is to be kept, None when none is."""

    topic: str
    partition: int
    rows: int
    offset_min: int
    offset_max: int
    keep_from: int | None


@dataclass(frozen=True, slots=True)
class DueRange:
    """Offsets ``lo`` to ``hi``, both inclusive, that are to go; ``rows`` are stored between them now."""

    topic: str
    partition: int
    lo: int
    hi: int
    rows: int


@dataclass(frozen=True, slots=True)
class Due:
    """Everything that one rule lets go, up to ``cutoff_ms`` of the broker's time."""

    rule: Rule
    cutoff_ms: int
    ranges: Sequence[DueRange]

    @property
    def rows(self) -> int:
        return sum(found.rows for found in self.ranges)


def due_end(stored: StoredPartition, stored_to: int | None) -> int | None:
    """The last offset that may go, inclusive; None when nothing may.

    Records are in the broker's order of time: the first that is to be kept ends the range, whatever lies behind it.
    Nothing above the sink's commit goes: a batch that is under way could be inserted again.
    """
    end = stored.offset_max + 1 if stored.keep_from is None else stored.keep_from
    end = min(end, stored_to or 0)
    return end - 1 if end > stored.offset_min else None


def pieces(lo: int, hi: int, offsets_max: int) -> Iterator[tuple[int, int]]:
    """A range as ranges of at most so many offsets, cut at its multiples: one archive each."""
    while lo <= hi:
        cut = min(hi, (lo // offsets_max + 1) * offsets_max - 1)
        yield lo, cut
        lo = cut + 1
