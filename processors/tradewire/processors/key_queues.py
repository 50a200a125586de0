"""Work in order per unit (a key of a partition), with as many hands as one likes, and no unit held up by another.

Of a unit one item is out at a time, the oldest. A unit that waits for a retry gives its place to the others. Pure: time
is an argument, locks are the caller's.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Unit = TypeVar("Unit", bound=Hashable)
Item = TypeVar("Item")


@dataclass(slots=True)
class _Line(Generic[Item]):
    items: deque[Item] = field(default_factory=deque)
    is_out: bool = False
    is_dropped: bool = False
    due: float | None = None


class KeyQueues(Generic[Unit, Item]):
    """Items by unit. Units take turns, so a long line of one does not starve the rest. Not thread-safe."""

    def __init__(self) -> None:
        self._lines: dict[Unit, _Line[Item]] = {}
        self._ready: deque[Unit] = deque()
        self._waiting: list[tuple[float, int, Unit]] = []
        self._number = 0
        self._count = 0

    def add(self, unit: Unit, item: Item) -> None:
        """Puts an item behind all others of its unit."""
        line = self._lines.get(unit)
        if line is None:
            line = self._lines[unit] = _Line()
            self._ready.append(unit)
        line.items.append(item)
        self._count += 1

    def take(self, now: float) -> tuple[Unit, Item] | None:
        """The head of a unit that is neither out nor waiting; it stays the head until ``done``. None if all are."""
        while self._waiting and self._waiting[0][0] <= now:
            due, _, unit = heapq.heappop(self._waiting)
            line = self._lines.get(unit)
            if line is not None and line.due == due and not line.is_out:
                line.due = None
                self._ready.append(unit)
        while self._ready:
            unit = self._ready.popleft()
            line = self._lines.get(unit)
            if line is not None and not line.is_out and line.due is None:
                line.is_out = True
                return unit, line.items[0]
        return None

    def done(self, unit: Unit) -> None:
        """The item of ``unit`` that is out is done with; the next of its unit may go."""
        line = self._lines[unit]
        line.items.popleft()
        self._count -= 1
        line.is_out = line.is_dropped = False
        if line.items:
            self._ready.append(unit)
        else:
            del self._lines[unit]

    def again(self, unit: Unit, due: float) -> None:
        """The item of ``unit`` that is out goes out again at ``due``; its unit waits. A dropped one is done with."""
        line = self._lines[unit]
        if line.is_dropped:
            self.done(unit)
            return
        line.is_out = False
        line.due = due
        self._number += 1
        heapq.heappush(self._waiting, (due, self._number, unit))

    def drop(self, chosen: Callable[[Unit], bool]) -> list[Item]:
        """Forgets the items of the chosen units and returns those that were not out.

        What is out stays its unit's head until it comes back, and holds up what is added meanwhile: an old owner's call
        that is still running never overlaps with a new one.
        """
        dropped: list[Item] = []
        for unit in [unit for unit in self._lines if chosen(unit)]:
            line = self._lines[unit]
            kept = [line.items.popleft()] if line.is_out else []
            dropped.extend(line.items)
            self._count -= len(line.items)
            if kept:
                line.items = deque(kept)
                line.is_dropped = True
            else:
                del self._lines[unit]
        return dropped

    def trim(self, chosen: Callable[[Unit], bool], keep: Callable[[Item], bool]) -> None:
        """Forgets, of the chosen units, what waits for a retry and all behind it, and the items that are not kept.

        The kept ones of a unit are its oldest. What is out stays out.
        """
        waiting = {unit for unit, line in self._lines.items() if chosen(unit) and line.due is not None}
        self.drop(lambda unit: unit in waiting)
        for unit in [unit for unit in self._lines if chosen(unit)]:
            line = self._lines[unit]
            while len(line.items) > line.is_out and not keep(line.items[-1]):
                line.items.pop()
                self._count -= 1
            if not line.items:
                del self._lines[unit]

    def is_busy(self, chosen: Callable[[Unit], bool]) -> bool:
        """Whether of the chosen units something is out, or could be taken at once."""
        return any(line.due is None for unit, line in self._lines.items() if chosen(unit))

    @property
    def has_ready(self) -> bool:
        """Whether ``take`` may find more at once. May be True where it will not, never False where it would."""
        return bool(self._ready)

    def next_due(self) -> float | None:
        """When the next waiting unit is due, at the earliest."""
        return self._waiting[0][0] if self._waiting else None

    def __len__(self) -> int:
        return self._count
