"""Which faults a seed makes, when, and for how long: a pure function, so that a seed is a run that can be repeated.

The faults are those of the failure tables of the docs, for the parts that run beside each other. A full disk under the
engine is not among them: a merge that meets it may leave a part with an empty file of marks (engine 26.9), which is
the engine's own loss; what the sink does meanwhile is in ``tests/sinks/test_full_disk.py``.

Three seeds in a row, of which the first is a multiple of three, deal out all faults: each has a third, shuffled anew
every three seeds.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# Three in a row: together they make every fault.
IN_EVERY_RUN: Final = (0, 1, 2)
BEGINS_WITHIN_S: Final = 4.0
# Part, fault, and between how many seconds it lasts. A worker and a sink are given up by their group after six, a
# subscriber after three: what hangs for longer wakes up as a zombie.
FAULTS: Final[tuple[tuple[str, str, float, float], ...]] = (
    ("publisher", "killed", 0.2, 1.0),
    ("publisher", "hung", 1.0, 3.0),
    ("worker", "killed", 0.2, 2.0),
    ("worker", "hung", 6.5, 7.5),
    ("worker", "joined", 4.0, 7.0),
    ("sink", "killed", 0.2, 2.0),
    ("sink", "hung", 6.5, 7.5),
    ("sink", "joined", 4.0, 7.0),
    ("subscriber", "killed", 0.2, 2.0),
    ("subscriber", "hung", 3.5, 5.0),
    ("subscriber", "joined", 4.0, 6.0),
    ("broker", "killed", 0.2, 2.0),
    ("broker", "hung", 2.0, 6.0),
    ("engine", "killed", 0.2, 2.0),
    ("engine", "hung", 2.0, 7.0),
    ("network", "cut", 2.0, 6.0),
    ("network", "deaf", 2.0, 5.0),
    ("network", "slow", 3.0, 6.0),
    ("network", "reset", 0.1, 0.5),
    ("registry", "cut", 3.0, 7.0),
)


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """``part`` is ``what`` from ``begins_s`` after the load has begun until ``ends_s``."""

    begins_s: float
    ends_s: float
    part: str
    what: str

    @property
    def name(self) -> str:
        return f"{self.part} {self.what}"


def schedule(seed: int) -> tuple[Fault, ...]:
    """The faults of a seed in the order in which they begin. They overlap."""
    deck = list(FAULTS)
    random.Random(seed // 3).shuffle(deck)
    draw = random.Random(seed)
    made = []
    for part, what, shortest_s, longest_s in deck[seed % 3 :: 3]:
        begins_s = draw.uniform(0, BEGINS_WITHIN_S)
        made.append(Fault(round(begins_s, 2), round(begins_s + draw.uniform(shortest_s, longest_s), 2), part, what))
    return tuple(sorted(made))


def steps(faults: Iterable[Fault]) -> list[tuple[float, Fault, bool]]:
    """When to do what: the beginning of a fault (True) and its end, in order of time."""
    return sorted(
        [(fault.begins_s, fault, True) for fault in faults] + [(fault.ends_s, fault, False) for fault in faults]
    )


def seeds_of(text: str) -> tuple[int, ...]:
    """``0-19`` or ``7,12`` as seeds.

    Raises:
        ValueError: it is neither; quotes it.
    """
    found: list[int] = []
    for piece in text.split(","):
        first, _, last = piece.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise ValueError(f"{text!r} names no seeds: write them as 0-19 or 7,12")
        found.extend(range(int(first), int(last or first) + 1))
    return tuple(dict.fromkeys(found))
