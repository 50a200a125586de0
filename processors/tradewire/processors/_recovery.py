"""Recovery of tables, watched: Faust waits for the record before the end offset, which need not be one.

The last offset of a changelog may be the end of a transaction, or a record that compaction or a deletion has taken. The
pinned Faust then waits for ever (it looks at the consumer's position only with ``exactly_once``). Here a partition
whose consumer has stood at the end for some seconds, with nothing left on the way to the table, counts as recovered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiokafka.errors import IllegalStateError
from faust.exceptions import ConsumerNotStarted
from faust.tables.recovery import ServiceStopped
from faust.types import TP

from tradewire.core.logs import get_logger
from tradewire.processors.liveness import Progress

_log = get_logger(__name__)

_LOOK_S: Final = 0.5
# Looks in a row that must find the same: what has been fetched is in the table by then, or in the queue to it.
_LOOKS: Final = 5
_TIMEOUT_S: Final = 5.0


class RecoveryWatch:
    """Looks at a Faust app again and again: ends recoveries that are over, and says that one is going on.

    ``waits`` is a number that grows while the worker waits for a schema, which keeps it from committing as well.
    """

    def __init__(self, app: Any, progress: Progress, waits: Callable[[], float]) -> None:
        self._app = app
        self._progress = progress
        self._waits = waits
        self._seen: dict[TP, tuple[int, int]] = {}
        self._said = ""

    async def run(self) -> None:
        """Never returns. Must be cancelled before the app stops."""
        waited = self._waits()
        while True:
            await asyncio.sleep(_LOOK_S)
            recovery = self._app.tables._recovery  # the property would make one
            waited, before = self._waits(), waited
            if recovery is not None and recovery.in_recovery:
                try:
                    await asyncio.wait_for(self._finish(recovery), _TIMEOUT_S)
                except (IllegalStateError, TimeoutError, ServiceStopped, ConsumerNotStarted) as error:
                    # A rebalance has come in between; the next look is at another recovery.
                    _log.info("recovery could not be looked at", reason=repr(error))
                self._say(f"recovery: {recovery.active_remaining_total()} left")
            elif waited > before:
                self._say(f"schema: waited {waited:.0f} times")
            else:
                self._seen.clear()
                self._say("")

    async def _finish(self, recovery: Any) -> None:
        offsets, highwaters = recovery.active_offsets, recovery.active_highwaters
        for tp in list(recovery.active_tps):
            offset, highwater = offsets.get(tp), highwaters.get(tp)
            if offset is None or highwater is None or offset >= highwater:
                self._seen.pop(tp, None)
                continue
            position = await self._app.consumer.position(tp)
            if position is None or position <= highwater or not self._app.tables.changelog_queue.empty():
                self._seen.pop(tp, None)
                continue
            known, looks = self._seen.get(tp, (offset, 0))
            self._seen[tp] = (offset, looks + 1 if known == offset else 1)
            if self._seen[tp][1] >= _LOOKS and offsets.get(tp) == offset:
                place = {"topic": tp.topic, "partition": tp.partition}
                _log.warning("no record at the end of a changelog", **place, offset=highwater)
                offsets[tp] = highwater

    def _say(self, on: str) -> None:
        if on == self._said:
            return
        self._said = on
        if on:
            self._progress.working(on)
        else:
            self._progress.idle()
