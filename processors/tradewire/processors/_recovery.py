"""Recovery of tables: what a changelog has is applied here, and whether Faust sees that it is done is watched.

Faust would take the records through a queue, which it clears whenever flow is resumed, into buffers that it may apply
after newer states. Here a fetch is applied at once, with its offset in the same atomic write.

Faust waits for the record before the end offset, and can wait for ever.

The last offset of a changelog may be the end of a transaction, or a record that compaction or a deletion has taken: the
pinned Faust waits for it (it looks at the consumer's position only with ``exactly_once``). Or the record was fetched
and lost on its way. From inside both look alike: the consumer stands at the end, the table does not. So the changelog
is read beside Faust: what is there is fetched again, and only if nothing is there the partition counts as recovered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka.errors import IllegalStateError
from confluent_kafka import Consumer, KafkaError, TopicPartition
from faust.exceptions import ConsumerNotStarted
from faust.tables.recovery import ServiceStopped
from faust.types import TP

from tradewire.core.logs import get_logger
from tradewire.core.settings import KafkaSettings
from tradewire.processors._faust_store import write_states
from tradewire.processors.liveness import Progress

_log = get_logger(__name__)

_LOOK_S: Final = 0.5
# Looks in a row that must find the same: what has been fetched is in the table by then.
_LOOKS: Final = 5
_TIMEOUT_S: Final = 30.0
_PROBE_S: Final = 10.0


def has_record(kafka: KafkaSettings, tp: TP, first: int, last: int) -> bool:
    """Whether a reader of committed records is given any from ``first`` to ``last``. Blocks; reads without a group.

    Raises:
        TimeoutError: the broker does not say.
    """
    consumer = Consumer(
        {
            **kafka.client_config(),
            # librdkafka wants a group's name even where no group is used.
            "group.id": "tradewire-recovery",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        },
        logger=logging.getLogger("librdkafka"),
    )
    try:
        consumer.assign([TopicPartition(tp.topic, tp.partition, first)])
        deadline = time.monotonic() + _PROBE_S
        while time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is None:
                continue
            error = message.error()
            if error is None:
                return int(message.offset() or 0) <= last
            if error.code() == KafkaError._PARTITION_EOF:
                return False
        raise TimeoutError(f"{tp.topic}/{tp.partition} could not be read from offset {first}")
    finally:
        consumer.close()


def apply_changelog(recovery: Any, tp: TP, rows: list[Any]) -> None:
    """Writes records of a changelog to the local store, those that lie behind what it has; others change nothing.

    Nothing is written of a partition that this assignment does not have.

    Raises:
        Exception: RocksDB's, which has none of its own: the store cannot be written.
    """
    if tp not in recovery.active_tps:
        return
    has = recovery.active_offsets.get(tp)
    new = [(row.key, row.value) for row in rows if has is None or row.offset > has]
    if new:
        write_states(recovery.tp_to_table[tp].data, tp.partition, new, rows[-1].offset)
        recovery.active_offsets[tp] = rows[-1].offset


def end_recovery(recovery: Any) -> None:
    """Tells Faust's recovery that the tables are whole, if they are and it waits for that.

    A pulse: a signal that is left standing would end the next recovery before it has begun.
    """
    if not recovery.need_recovery():
        recovery.flush_buffers()  # empty, unless it was Faust that applied the records
        recovery.signal_recovery_end.set()
        recovery.signal_recovery_end.clear()


class RecoveryWatch:
    """Looks at a Faust app again and again: ends recoveries that are over, and says that one is going on.

    ``waits`` is a number that grows while the worker waits for a schema, which keeps it from committing as well;
    ``working_on`` what else does. ``is_recovering`` knows of recoveries that Faust takes for ended.
    """

    def __init__(
        self,
        app: Any,
        kafka: KafkaSettings,
        progress: Progress,
        waits: Callable[[], float],
        working_on: Callable[[], str] = str,
        is_recovering: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app = app
        self._kafka = kafka
        self._progress = progress
        self._waits = waits
        self._working_on = working_on
        self._is_recovering = is_recovering
        self._seen: dict[TP, tuple[int, int]] = {}
        self._said = ""

    async def run(self) -> None:
        """Never returns. Must be cancelled before the app stops."""
        waited = self._waits()
        while True:
            await asyncio.sleep(_LOOK_S)
            recovery = self._app.tables._recovery  # the property would make one
            waited, before = self._waits(), waited
            if recovery is not None and (recovery.in_recovery or self._is_recovering()):
                try:
                    await asyncio.wait_for(self._finish(recovery), _TIMEOUT_S)
                    # The signal may have come before Faust waited for it.
                    end_recovery(recovery)
                except (IllegalStateError, TimeoutError, ServiceStopped, ConsumerNotStarted) as error:
                    # A rebalance has come in between; the next look is at another recovery.
                    _log.info("recovery could not be looked at", reason=repr(error))
                self._say(f"recovery: {recovery.active_remaining_total()} left")
            elif waited > before:
                self._say(f"schema: waited {waited:.0f} times")
            else:
                self._seen.clear()
                self._say(self._working_on())

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
            if self._seen[tp][1] < _LOOKS:
                continue
            del self._seen[tp]
            place = {"topic": tp.topic, "partition": tp.partition, "offset": offset}
            missed = await asyncio.to_thread(has_record, self._kafka, tp, offset + 1, highwater)
            if offsets.get(tp) != offset or recovery.active_highwaters.get(tp) != highwater:
                continue
            if missed:
                _log.warning("records of a changelog were fetched and dropped, they are read again", **place)
                await self._app.consumer.seek_wait({tp: offset + 1})
            else:
                _log.warning("no record at the end of a changelog", **place, end=highwater)
                offsets[tp] = highwater

    def _say(self, on: str) -> None:
        if on == self._said:
            return
        self._said = on
        if on:
            self._progress.working(on)
        else:
            self._progress.idle()
