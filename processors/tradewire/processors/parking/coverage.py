"""Which source offsets a group has dealt with, as far as that can be known: Kafka keeps the newest offset alone.

The owner of a partition writes down where it began to read and, every few seconds and when it lets go in good order,
how far it has committed. So a commit that jumped (reset by hand, a retention that took what was not read) is
seen as a gap between two ranges. After a crash the end of a range is a few seconds too low: what seems to be a gap may
have been handled. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from tradewire.processors.parking.facts import Coverage

# More jumps than an operator looks back on.
RANGES_MAX: Final = 50


class Gap(NamedTuple):
    """Offsets ``first`` to below ``end`` that no range holds; not ``sure`` if the range before ended in a crash."""

    first: int
    end: int
    sure: bool


def begun(before: Coverage | None, begin: int) -> Coverage:
    """An owner reads on at ``begin``. Behind or in the last range it goes on with it, ahead of it a gap is left."""
    if before is None:
        return Coverage(((begin, begin),), (False,))
    (lo, hi), exact = before.ranges[-1], before.exact
    if begin <= hi:
        return Coverage((*before.ranges[:-1], (min(lo, begin), hi)), (*exact[:-1], False))
    ranges, marks = (*before.ranges, (begin, begin)), (*exact, False)
    return Coverage(ranges[-RANGES_MAX:], marks[-RANGES_MAX:])


def advanced(coverage: Coverage, committed: int, *, exact: bool = False) -> Coverage:
    """The group has committed up to ``committed``; ``exact`` when its owner lets go and has asked the broker."""
    lo, hi = coverage.ranges[-1]
    return replace(
        coverage,
        ranges=(*coverage.ranges[:-1], (lo, max(hi, committed))),
        exact=(*coverage.exact[:-1], exact),
    )


def gaps(coverage: Coverage, committed: int) -> Iterator[Gap]:
    """What was passed over below ``committed``; what lies ahead of the first range was never this group's to read."""
    ends = [*coverage.ranges[1:], (committed, committed)]
    for (_, hi), exact, (lo, _) in zip(coverage.ranges, coverage.exact, ends, strict=True):
        if lo > hi:
            yield Gap(hi, lo, exact)
