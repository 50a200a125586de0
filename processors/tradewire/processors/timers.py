"""Which states to look at when time passes: an index in memory over what the tables hold, made anew on assignment.

It is never the truth. A place that is looked at too early has nothing due and is entered again; after a restart the
index is built from the tables ``TIMED_TABLES``, which are small: they hold what is waited for, not what was.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple


class Place(NamedTuple):
    """A state: table by name, partition, key."""

    table: str
    partition: int
    key: str


class Due(NamedTuple):
    """A place whose time has come. ``idle_since`` is the batch in which nothing was found to wait for there."""

    place: Place
    idle_since: int | None


class Timers:
    """One time per place; the newest entry counts. Not thread-safe: it lives on the worker's event loop."""

    def __init__(self) -> None:
        self._entries: dict[Place, tuple[int, int | None]] = {}
        self._heap: list[tuple[int, Place]] = []

    def enter(self, place: Place, when_ns: int | None, *, idle_since: int | None = None) -> None:
        """Looks at ``place`` when ``when_ns`` has come; never, if None."""
        if when_ns is None:
            self._entries.pop(place, None)
        elif self._entries.get(place) != (when_ns, idle_since):
            self._entries[place] = (when_ns, idle_since)
            heapq.heappush(self._heap, (when_ns, place))

    def due(self, now_ns: int, limit: int) -> Iterator[Due]:
        """Takes out what has come, earliest first, at most ``limit``."""
        while limit and self._heap and self._heap[0][0] <= now_ns:
            when_ns, place = heapq.heappop(self._heap)
            entry = self._entries.get(place)
            if entry is not None and entry[0] == when_ns:
                del self._entries[place]
                limit -= 1
                yield Due(place, entry[1])

    def clear(self) -> None:
        self._entries.clear()
        self._heap.clear()

    def __len__(self) -> int:
        return len(self._entries)
