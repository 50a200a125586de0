"""Repeats by event id, within a window that is stated in offsets.

An event is a repeat if its id is that of a record at most ``rows`` offsets away in the same partition whose work is
done. Publishers write an event twice only when they do not know whether the first was written, so within moments,
under the same key, which means in the same partition.

What is known after a restart or a rebalance: the reader begins ``rows`` offsets before the committed offset and only
remembers what it finds there; all of that is done. So the rule holds for the new owner as for the old one, with one
limit: work that was done and not yet committed when a process was killed is known to nobody, and is done again (at
most what was done since the last commit). Who cannot have that either keeps the id where the effect is: ``Inbox``.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple


class Seen(NamedTuple):
    """Where an id was read. ``is_mine``: its work was done by this process, not by whoever had the partition before."""

    offset: int
    is_mine: bool


class DedupeWindow:
    """The ids of one partition, from ``rows`` offsets before the last ``advance`` on. Thread-safe."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._lock = threading.Lock()
        # In the order in which their work was done, which is that of their offsets but for the units that were slow.
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    def remember(self, id: str, offset: int, *, is_mine: bool = True) -> None:
        """Writes down that the work of a record is done, a repeat's too: repeats of repeats are found as well."""
        if not self.rows:
            return
        with self._lock:
            before = self._seen.get(id)
            if before is not None:
                offset, is_mine = max(offset, before.offset), is_mine or before.is_mine
            self._seen[id] = Seen(offset, is_mine)
            self._seen.move_to_end(id)

    def repeated(self, id: str, offset: int) -> Seen | None:
        """The record that this one repeats, which may be this very one, read again after a lost assignment."""
        seen = self._seen.get(id)
        return seen if seen is not None and abs(offset - seen.offset) <= self.rows else None

    def advance(self, position: int) -> None:
        """Forgets what no record from ``position`` on can repeat. Nothing below it may be asked for any more."""
        with self._lock:
            while self._seen:
                id, seen = next(iter(self._seen.items()))
                if seen.offset >= position - self.rows:
                    return
                del self._seen[id]

    def __len__(self) -> int:
        return len(self._seen)
