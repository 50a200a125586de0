"""What is wrong with the order in which numbered events were found: pure, and named as in Jepsen's list."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence


def anomalies(
    found: Mapping[Hashable, Sequence[int]], sent: Collection[int], unknown: Collection[int] = ()
) -> dict[str, list[int]]:
    """By name of the anomaly, the numbers that have it; nothing if all is well.

    ``found`` has the numbers by key in the order in which they lie; keys share no number. ``unknown`` are those of
    ``sent`` of which nobody was told that they were stored: there once or not at all, both are right.
    """
    counts = Counter(number for numbers in found.values() for number in numbers)
    wrong = {
        "lost-write": sorted(set(sent) - set(unknown) - set(counts)),
        "duplicate": sorted(number for number, count in counts.items() if count > 1),
        "never-sent": sorted(set(counts) - set(sent)),
        "nonmonotonic": sorted(
            after for numbers in found.values() for before, after in itertools.pairwise(numbers)
            if after < before
        ),
    }  # fmt: skip
    return {name: numbers for name, numbers in wrong.items() if numbers}
