"""Order-free sums of stretches of offsets: what both sides compute, and which stretches differ. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

BUCKET_OFFSETS: Final = 10_000


class BucketSum(NamedTuple):
    """Rows of one bucket: how many, the sum of their offsets, the XOR of their hashes.

    A lost, doubled or moved row alters the first two; an altered row alters the third. XOR alone would not see a row
    that is there three times, and a count alone not a loss beside a duplicate.
    """

    rows: int
    offsets: int
    hash: int


NOTHING: Final = BucketSum(0, 0, 0)


class Buckets:
    """Sums of one side, by number: bucket ``n`` holds the offsets ``n * width`` to ``(n + 1) * width - 1``."""

    def __init__(self, width: int = BUCKET_OFFSETS) -> None:
        self.width = width
        self._sums: dict[int, BucketSum] = {}

    def add(self, rows: Iterable[tuple[int, int]]) -> None:
        """Adds rows as (offset, hash), in any order."""
        width, sums = self.width, self._sums
        number, count, offsets, hashed = -1, 0, 0, 0
        for offset, hash in rows:
            if offset // width != number:
                if count:
                    sums[number] = _plus(sums.get(number, NOTHING), count, offsets, hashed)
                number, count, offsets, hashed = offset // width, 0, 0, 0
            count += 1
            offsets += offset
            hashed ^= hash
        if count:
            sums[number] = _plus(sums.get(number, NOTHING), count, offsets, hashed)

    def take(self) -> Mapping[int, BucketSum]:
        """The sums so far; begins anew."""
        taken, self._sums = self._sums, {}
        return taken


def _plus(before: BucketSum, rows: int, offsets: int, hash: int) -> BucketSum:
    return BucketSum(before.rows + rows, before.offsets + offsets, before.hash ^ hash)


def differing(left: Mapping[int, BucketSum], right: Mapping[int, BucketSum]) -> list[int]:
    """The buckets that are not the same on both sides; one that a side lacks is empty there."""
    numbers = left.keys() | right.keys()
    return sorted(number for number in numbers if left.get(number, NOTHING) != right.get(number, NOTHING))


def stretches(lo: int, end: int, width: int, buckets: int) -> Iterator[tuple[int, int]]:
    """A range, ``end`` exclusive, cut at bucket borders into stretches of at most so many buckets."""
    step = width * buckets
    while lo < end:
        cut = min(end, (lo // step + 1) * step)
        yield lo, cut
        lo = cut
