"""When which state has to be looked at again, and when nothing may be looked at at all."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

from tradewire.core.clock import NS_PER_MS, Clock
from tradewire.core.logs import get_logger
from tradewire.processors._batch import StateStore
from tradewire.processors.folds import Folds
from tradewire.processors.tables import TIMED_TABLES, Table
from tradewire.processors.timers import Due, Place, Timers

_log = get_logger(__name__)

# Records older than this say that the worker is behind; for as long after them, and after ``take_up``, nothing is due.
BEHIND_S: Final = 2.0
# States looked at in one sweep: a broker that was away for a day leaves many deadlines behind.
SWEEP_ROWS_MAX: Final = 1_000


class Deadlines:
    """The timers of the partitions that are ours, made from the tables by ``take_up`` and dropped by ``stop``."""

    def __init__(self, folds: Folds, store: StateStore, clock: Clock, grace_ms: int) -> None:
        self._folds = folds
        self._store = store
        self._clock = clock
        self._grace_ns = grace_ms * NS_PER_MS
        self._timers = Timers()
        self._timed = {table.name for table in TIMED_TABLES}
        self._running = False
        self._held_until = 0.0

    @property
    def held(self) -> bool:
        """Whether nothing may be looked at now: what is waited for may lie in what has not been read."""
        return time.monotonic() < self._held_until

    def hold(self) -> None:
        """Nothing is due for ``BEHIND_S``."""
        self._held_until = time.monotonic() + BEHIND_S

    def note_age(self, age_s: float) -> None:
        """Takes notice of how old a record is that has just been read."""
        if age_s > BEHIND_S:
            self.hold()

    def take_up(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Makes the timers of source partitions (topic, number) that are ours now and whose tables are whole."""
        for topic, partition in partitions:
            for table in TIMED_TABLES:
                if table.source == topic:
                    for key, value in self._store.scan(table, partition):
                        state = self._folds.decode(table, value)
                        place = Place(table.name, partition, key.decode())
                        self._timers.enter(place, self._folds.wakes_at(table, state))
        self.hold()
        self._running = True
        _log.info("deadlines taken up", waiting=len(self._timers))

    def pause(self) -> None:
        """Nothing is due until ``take_up``."""
        self._running = False

    def clear(self) -> None:
        """Drops all timers and pauses."""
        self._timers.clear()
        self._running = False

    def due(self) -> tuple[int, list[Due]]:
        """The time that counts, and what has come by then, at most ``SWEEP_ROWS_MAX``; nothing while paused."""
        now_ns = self._clock.now_ns() - self._grace_ns
        return now_ns, list(self._timers.due(now_ns, SWEEP_ROWS_MAX)) if self._running else []

    def changed(self, table: Table, partition: int, key: str, state: Any | None) -> None:
        """Takes notice of a changed state (None: deleted), of any table."""
        if table.name in self._timed:
            self._timers.enter(Place(table.name, partition, key), self._folds.wakes_at(table, state))

    def again(self, place: Place, when_ns: int, batch: int) -> None:
        """Looks at ``place`` again, in which batch number ``batch`` has found nothing to wait for."""
        self._timers.enter(place, when_ns, idle_since=batch)
