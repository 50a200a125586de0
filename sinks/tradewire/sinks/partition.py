"""One assigned partition in the sink: what was read of it, and the batch that is under way."""

from __future__ import annotations

import enum
import time
from typing import Any, Final

from tradewire.core.settings import SinkSettings
from tradewire.sinks.batch import Job, Plan
from tradewire.sinks.planner import Planner
from tradewire.sinks.protocol import PartitionProtocol, Phase
from tradewire.sinks.records import RecordColumns

# Fewer rows than this wait for their age, whatever else is going on; more may be worth looking at what is.
_FEW_ROWS: Final = 1_000
# Behind the end of a partition nothing came for so long: what is there does not wait for more.
_BURST_OVER_S: Final = 0.05


class Enough(enum.Enum):
    """What makes a batch, besides its age, by the share of the ceiling of rows.

    What an insert costs by itself, and its part when it is merged, falls with the rows that share it. FULL is for when
    every inserting thread is busy: a batch would only wait, so it may grow on, past its age too.
    """

    FULL = 1
    HALF = 2
    SOME = 5


class AssignedPartition:
    """Buffer, batch and protocol phase of one assignment; thrown away when the assignment ends."""

    def __init__(self, protocol: PartitionProtocol) -> None:
        self.protocol = protocol
        self.buffer = RecordColumns(protocol.topic, protocol.partition)
        self.buffer_bytes = 0
        self.batch: RecordColumns | None = None
        self.plan = Plan()
        self.job: Job | None = None
        # A batch that waits for the registry or for tables is not looked at again before this time.
        self.not_before = 0.0
        # Kafka has no record below it that was not given to ``add``.
        self.read_to = 0
        self._since = 0.0
        self._added = 0.0
        self._next_offset = protocol.position

    def add(self, messages: list[Any]) -> None:
        """Takes messages out of the list; those that were read before (after a pause, say) are left out."""
        if messages[0].offset() < self._next_offset:
            messages = [message for message in messages if message.offset() >= self._next_offset]
            if not messages:
                return
        self._next_offset = messages[-1].offset() + 1
        if not self.buffer:
            self._since = time.monotonic()
        self._added = time.monotonic()
        self.buffer_bytes += sum(map(len, messages))
        self.buffer.drain(messages)

    def cut(self, limits: SinkSettings, now: float, enough: Enough) -> bool:
        """Makes a batch of the buffer's head when one is due, or all of the stored intent is read."""
        if self.batch is not None:
            return True
        rows = self._rows_due(limits, now, enough)
        if rows is None:
            return False
        self.batch = self.buffer.take(rows)
        self.buffer_bytes -= self.batch.value_bytes()
        self._since = now
        return True

    def _rows_due(self, limits: SinkSettings, now: float, enough: Enough) -> int | None:
        if self.protocol.phase is Phase.REPLAYING:
            return self.protocol.ready_rows(self.buffer.offsets)
        rows = len(self.buffer)
        if not rows:
            return None
        if rows < max(1, limits.batch_rows_max // enough.value) and self.buffer_bytes < limits.batch_bytes_max:
            old = (now - self._since) * 1000 >= limits.batch_age_ms_max
            if enough is Enough.FULL:
                due = old and rows < _FEW_ROWS
            else:
                at_end = self.read_to >= self._next_offset and now - self._added >= _BURST_OVER_S
                due = old or (at_end and rows >= _FEW_ROWS)
            if not due:
                return None
        rows = min(rows, limits.batch_rows_max)
        return rows if self.buffer_bytes <= limits.batch_bytes_max else self._rows_within(rows, limits.batch_bytes_max)

    def _rows_within(self, rows: int, bytes_max: int) -> int:
        """The most rows whose values stay within a size; at least one."""
        size = 0
        for row in range(rows):
            size += len(self.buffer.values[row] or b"")
            if size > bytes_max:
                return max(1, row)
        return rows

    def fix(self, planner: Planner) -> Job | None:
        """Decides where the records of the batch go and fixes its boundaries.

        Returns the job when the boundaries are those of the stored intent; otherwise they must be stored first.

        Raises:
            RegistryUnavailable, UnknownSchemaId, ClickHouseUnavailable: nothing is fixed; try again.
            RecordsGone: the records of a stored intent are not there.
        """
        batch, protocol = self.batch, self.protocol
        assert batch is not None
        if protocol.phase is Phase.REPLAYING:
            assert protocol.intent is not None
            self.plan, _ = planner.plan(batch, protocol.intent.dead_schemas)
            protocol.replay(batch.offsets)
            return self.start(replayed=True)
        self.plan, rows = planner.plan(batch, None)
        if rows < len(batch):
            head = batch.take(rows)
            batch.append_all(self.buffer)
            self.batch, self.buffer, self.buffer_bytes = head, batch, batch.value_bytes()
        protocol.intend(self.batch.offsets, self.plan.dead_schemas)  # type: ignore[union-attr]
        return None

    def start(self, *, replayed: bool = False) -> Job:
        """The job of the batch, whose intent is stored."""
        batch, intent = self.batch, self.protocol.intent
        assert batch is not None and intent is not None
        self.batch = None
        self.job = Job(batch, intent, self.plan, replayed)
        return self.job

    def finish(self) -> None:
        """Goes on to the commit when all rows of the batch are stored."""
        if self.job is not None and self.job.finished.is_set():
            self.job = None
            self.protocol.rows_stored()

    def done_to(self) -> int | None:
        """The offset to commit: nothing below it is left to store. None while a batch is under way, or nothing is new.

        It is behind the batch that is stored, and behind what follows it, if that is nothing but ends of transactions.
        """
        behind = 0 if self.buffer or self.batch is not None else self.read_to
        protocol = self.protocol
        if protocol.phase is Phase.COMMITTING and protocol.intent is not None:
            return max(protocol.intent.hi + 1, behind)
        return behind if protocol.phase is Phase.CONSUMING and behind > protocol.position else None

    def cancel(self) -> None:
        """Ends the batch under way; the next owner of the partition does it again."""
        if self.job is not None:
            self.job.cancelled.set()
