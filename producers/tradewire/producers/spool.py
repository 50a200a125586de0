"""The spool: while no broker answers, accepted events wait on disk, and reach Kafka once and in order afterwards.

What a publisher with ``publisher.spool_folder`` promises. An event that ``publish`` accepts while the breaker is not
closed is on disk before it returns. Events that librdkafka held when the breaker opened are copied to disk at once, and
go on being delivered from memory. From then on each reaches Kafka exactly once, and in order per subject (and lane),
also when the process is killed at any moment and another publisher takes the folder over. Not promised: events accepted
before the breaker has opened, while the process is killed before the copy is done (up to ``breaker_stall_ms`` when a
broker hangs; at once when its connections break) are in memory only, as they are without a spool.

The protocol, and what a crash after each step leaves:

A1. An event is accepted while the breaker is not closed: its row is committed.  *On disk, not in Kafka: drained later.*
B1. The breaker opens. Rows of everything librdkafka holds, numbered before those of A1, are committed together with a
    base: for each partition the offset behind the last confirmed one.  *On disk and perhaps in Kafka: R1 decides.*
D1. A broker answers. Before the first row of a topic is handed over, its partitions' ends are committed as base.
    *As A1, but R1 knows from where on to look.*
D2. Rows are handed to librdkafka in order; idempotent, it writes each once and never gives up.  *R1 decides.*
D3. Kafka confirms.  *On disk and in Kafka: R1 finds it.*
D4. The row is deleted, and with the last row the bases.  *Done.*
E.  When every row has been handed over, the breaker closes: events go to librdkafka again, behind the last row.
R1. A publisher that finds rows at its start, and before D1, reads the topics from the bases to their ends and deletes
    the rows whose ids it meets there.  *Repeated.* It needs READ on those topics.

A drain through a transactional producer was considered: readers that do not ask for read_committed would see the
records of its aborted transactions. What remains without one: a produce request of a killed process that a cut network
delivers after R1 has read gives a second record with the same event id, which consumers drop as they drop any.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message

from tradewire.core import PublishError, get_logger
from tradewire.core.failpoints import failpoint
from tradewire.core.settings import Settings
from tradewire.producers._handed import PERMANENT, Handed, id_of
from tradewire.producers._lanes import Lane
from tradewire.producers._ledger import Settle
from tradewire.producers._route import OutHeader
from tradewire.producers._spool_store import Base, Row, SpoolStore, pack, unpack
from tradewire.producers._tail import CLOCK_DIFFERENCE_MS, ends_of, ids_since
from tradewire.producers.delivery import delivery_error, principal_of
from tradewire.producers.errors import LeftInSpool, PublisherClosed, SpoolFull

_log = get_logger(__name__)
# Rows with librdkafka at once while draining: enough for full batches, few enough for memory.
_HANDED_MAX: Final = 20_000
_ROWS_AT_ONCE: Final = 500
# Who publishes meanwhile gets a turn after so many rows: a drain that takes the lock for every row, or never lets go of
# the interpreter, lets a fifth of 5,000 events a second in.
_ROWS_A_TURN: Final = 25
_TURN_SECONDS: Final = 0.0005


class Spool:
    """Between ``publish`` and librdkafka. ``produce`` is for any thread, ``reported`` for librdkafka's reports, the
    rest for the one guard thread, and for ``close`` once that has ended.
    """

    def __init__(self, settings: Settings, orphan: Callable[..., None]) -> None:
        """``orphan``, with the id before a report, is told about events of an earlier process. Raises SpoolUnusable."""
        limits = settings.publisher
        assert limits.spool_folder is not None
        self._kafka, self._bytes_max, self._orphan = settings.kafka, limits.spool_bytes_max, orphan
        self._principal = principal_of(settings.kafka)
        self._store = SpoolStore(limits.spool_folder, limits.spool_synchronous)
        self._turn, self._disk = threading.Lock(), threading.Lock()
        self._held: dict[Handed, None] = {}
        self._copying: list[Handed] = []
        self._waiting: dict[int, Settle] = {}
        self._confirmed: deque[int] = deque()
        self._refused: deque[tuple[int, str]] = deque()
        self._refusals: deque[tuple[Settle, PublishError]] = deque()
        self._parked: set[int] = set()
        self._copy_bases: dict[str, Base] = {}
        self._ends: dict[tuple[str, str, int], int] = {}
        self._next, self._handed_upto = self._store.last_seq + 1, 0
        self._unverified = self._store.rows > 0
        self._old_upto = self._store.last_seq
        self._closed = False
        self.waiting = self._store.rows
        self.direct = not self._unverified
        self.reports = self.accepted = self.left = self.turned_away = 0
        self._seen = (0, 0)
        self.now_ms = time.time_ns() // 1_000_000

    @property
    def rows(self) -> int:
        """Events on disk."""
        return self._store.rows

    @property
    def size(self) -> int:
        """Bytes on disk that count against ``spool_bytes_max``."""
        return self._store.size

    @property
    def refused(self) -> int:
        """Events that Kafka will never take; they are kept in the file for somebody to look at."""
        return self._store.refused

    @property
    def unprotected(self) -> int:
        """Events that are in memory only, though the breaker is open; 0 once they are copied."""
        return len(self._copying)

    @property
    def protects(self) -> bool:
        """Whether every event that was accepted and is not settled is on disk."""
        return not self.direct and not self._copying

    def produce(self, lane: Lane, topic: str, value: bytes, key: str, settle: Settle, headers: list[OutHeader]) -> None:
        """Hands an event over, or stores it.

        Raises:
            BufferError, KafkaException: as ``Producer.produce``.
            SpoolFull, PublisherClosed: it was not taken.
        """
        with self._turn:
            if self._closed:
                raise PublisherClosed("this publisher is closed; make a new one")
            if not self.direct:
                self._accept(Row(self._next, lane.name, topic, key, id_of(headers), value, pack(headers)), settle)
                return
            handed = Handed(self.reported, lane.name, topic, key, value, headers, settle, None, self.now_ms)
            self._held[handed] = None
            try:
                lane.produce(topic, value, key, -1, handed, None, 0, headers)
            except BaseException:
                self._held.pop(handed, None)
                raise

    def _accept(self, row: Row, settle: Settle) -> None:
        if self._store.size + row.size > self._bytes_max:
            self.turned_away += 1
            raise SpoolFull(
                f"no broker answers, and the spool holds {self._store.rows} events in {self._store.size} bytes "
                f"(publisher.spool_bytes_max {self._bytes_max}; {self._store.refused} of them were refused by Kafka)",
                event_id=row.id,
            )
        with self._disk:
            try:
                self._store.append(row)
            except sqlite3.Error as error:
                self.turned_away += 1
                raise SpoolFull(f"no broker answers, and {self._store.file}: {error}", event_id=row.id) from error
        failpoint("spool.accepted")
        self._next += 1
        self.accepted += 1
        self.waiting += 1
        self._waiting[row.seq] = settle

    def reported(self, handed: Handed, error: KafkaError | None, message: Message) -> None:
        """The delivery report of an event."""
        self._held.pop(handed, None)
        self.reports += 1
        # One that failed for the time being goes to disk with the others, if it is on its way there.
        handed.done = error is None or error.code() in PERMANENT
        if error is None:
            self._ends[handed.lane, str(message.topic()), int(message.partition() or 0)] = int(message.offset() or 0)
            if handed.seq is not None:
                self._confirmed.append(handed.seq)
            handed.settle(None, message)
        elif error.code() in PERMANENT:
            if handed.seq is not None:
                self._refused.append((handed.seq, error.str()))
            handed.settle(error, message)
        elif handed.seq is not None or self._rescue(handed):
            self._leave(handed.settle, handed.id, message)
        else:
            handed.settle(error, message)

    def _rescue(self, handed: Handed) -> bool:
        """Stores an event whose producer has failed for good."""
        with self._turn, self._disk:
            if self._closed:
                return False
            handed.seq, self._next = self._next, self._next + 1
            # It may be in Kafka: only R1 of the next publisher may decide.
            self._parked.add(handed.seq)
            try:
                self._store.append_all([handed.row], self._bases([handed]))
            except sqlite3.Error:
                _log.exception("an event could not be spooled", event_id=handed.id)
                return False
        return True

    def _leave(self, settle: Settle, event_id: str, message: Message | None) -> None:
        self.left += 1
        settle(
            LeftInSpool(
                f"event {event_id} lies in the spool ({self._store.file}); the next publisher with this folder "
                "delivers it: do not publish it again",
                event_id=event_id,
            ),
            message,
        )

    def open(self) -> None:
        """B1, first half: from now on events are stored; what librdkafka holds gets numbers before them."""
        with self._turn:
            self.direct = False
            for handed in list(self._held):
                if handed.seq is None:
                    handed.seq, self._next = self._next, self._next + 1
                    self._copying.append(handed)
            if self._copying:
                self._handed_upto = max(self._handed_upto, self._next - 1)

    def copy(self) -> None:
        """B1, second half, and again where it failed: raises sqlite3.Error, and the rest stays in memory only."""
        while self._copying:
            # Once for all chunks: what is not confirmed when this is computed lies behind it.
            self._copy_bases = self._copy_bases or self._bases(self._copying)
            some = self._copying[:_ROWS_AT_ONCE]
            rows = [handed.row for handed in some if not handed.done]
            with self._disk:
                self._store.append_all(rows, self._copy_bases)
            # Confirmed meanwhile: the report may have come before its row.
            self._confirmed.extend(handed.seq for handed in some if handed.done and handed.seq is not None)
            del self._copying[: len(some)]
            failpoint("spool.copied")
        self._copy_bases = {}

    def _bases(self, handed: Sequence[Handed]) -> dict[str, Base]:
        """Behind what was confirmed last. A partition of which nothing was confirmed is looked up by time instead."""
        lanes: dict[str, set[str]] = {}
        first_ms: dict[str, int] = {}
        for one in handed:
            lanes.setdefault(one.topic, set()).add(one.lane)
            first_ms.setdefault(one.topic, one.at_ms)
        bases: dict[str, Base] = {}
        known = list(self._ends)
        for topic, used in lanes.items():
            partitions = {partition for _, other, partition in known if other == topic}
            offsets = {
                partition: min(self._ends[lane, topic, partition] for lane in used) + 1
                for partition in partitions
                if all((lane, topic, partition) in self._ends for lane in used)
            }
            bases[topic] = Base(offsets, first_ms[topic] - CLOCK_DIFFERENCE_MS)
        return bases

    def sweep(self) -> None:
        """D4: deletes what Kafka has, sets aside what it will never take."""
        while self._confirmed:
            some = [self._confirmed.popleft() for _ in range(min(len(self._confirmed), _ROWS_AT_ONCE))]
            failpoint("spool.confirmed")
            with self._disk:
                self._store.delete(some)
            failpoint("spool.deleted")
        while self._refusals:
            settle, error = self._refusals.popleft()
            settle(error, None)
        while self._refused:
            seq, reason = self._refused.popleft()
            _log.error("Kafka refuses a spooled event; it is kept, see `tradewire spool list`", seq=seq, reason=reason)
            with self._disk:
                self._store.refuse(seq, reason)

    def verify(self, ending: Callable[[], bool]) -> None:
        """R1. Raises KafkaException, KafkaUnavailable (also when ``ending``): not done, nothing may be handed over."""
        if not self._unverified:
            return
        with self._disk:
            seqs, bases = self._store.seqs_of_ids(), self._store.bases()
        found = set(ids_since(self._kafka, bases, ending))
        there = [seq for id in found for seq in seqs.get(id, ()) if seq <= self._old_upto]
        with self._disk:
            before = self._store.rows
            self._store.delete(there)
            gone = before - self._store.rows
        with self._turn:
            self.waiting -= gone
        self._unverified = False
        _log.info("spool of an earlier process", already_in_kafka=gone, to_deliver=before - gone)

    def drain(self, lane_of: Callable[[str], Lane]) -> int:
        """D1 and D2: hands some rows over and returns how many; 0 when there are none, or no room.

        Raises:
            KafkaException: a broker did not answer, or the producer has failed for good; the rest stays.
        """
        with self._disk:
            rows = self._store.batch(self._handed_upto, min(_ROWS_AT_ONCE, max(0, _HANDED_MAX - len(self._held))))
            new = sorted({row.topic for row in rows} - self._store.bases().keys())
        if new:
            bases = ends_of(self._kafka, new)
            with self._disk:
                self._store.add_bases(bases)
            failpoint("spool.based")
        before, self._seen = self._seen, (self.accepted, self.waiting)
        # Not while more come in than go out: then they wait, as the spool must become empty one day.
        gives_way = self._seen[0] != before[0] and self._seen[1] <= before[1]
        for low in range(0, len(rows), _ROWS_A_TURN):
            if gives_way:
                time.sleep(_TURN_SECONDS)
            with self._turn:
                for number, row in enumerate(rows[low : low + _ROWS_A_TURN], low):
                    if not self._hand_over(row, lane_of(row.lane)):
                        return number
        return len(rows)

    def _hand_over(self, row: Row, lane: Lane) -> bool:
        if row.seq in self._parked:
            self._handed_upto = row.seq
            return True
        settle = self._waiting.get(row.seq) or partial(self._orphan, row.id)
        headers = unpack(row.headers)
        handed = Handed(self.reported, lane.name, row.topic, row.key, row.value, headers, settle, row.seq, self.now_ms)
        self._held[handed] = None
        try:
            lane.produce(row.topic, row.value, row.key, -1, handed, None, 0, headers)
        except BufferError:
            self._held.pop(handed, None)
            return False
        except KafkaException as error:
            self._held.pop(handed, None)
            if error.args[0].code() not in PERMANENT:
                raise
            self._refused.append((row.seq, error.args[0].str()))
            self._refusals.append((settle, delivery_error(error.args[0], row.topic, row.id, self._principal)))
        self._waiting.pop(row.seq, None)
        self._handed_upto = row.seq
        self.waiting -= 1
        failpoint("spool.handed")
        return True

    @property
    def drained(self) -> bool:
        """Whether ``close_breaker`` may succeed."""
        return self.waiting <= _ROWS_AT_ONCE and not self._unverified

    def close_breaker(self, lane_of: Callable[[str], Lane]) -> bool:
        """E: hands the last rows over while ``publish`` waits, so that events may go to librdkafka again behind them.

        False if there are too many still, or if one cannot be handed over. Raises as ``drain``.
        """
        with self._turn:
            if not self.drained:
                return False
            with self._disk:
                rows = self._store.batch(self._handed_upto, self.waiting + len(self._parked))
                if {row.topic for row in rows} - self._store.bases().keys():
                    return False
            self.direct = all(self._hand_over(row, lane_of(row.lane)) for row in rows) and not self.waiting
            return self.direct

    def leave(self) -> None:
        """For ``close``: takes no more, and puts on disk what librdkafka still holds."""
        self.open()
        with self._turn:
            self._closed = True
        try:
            self.copy()
        except sqlite3.Error:
            for handed in self._copying:
                handed.seq = None  # so that its report says unknown
            _log.exception("events could not be spooled at close", events=len(self._copying))

    def close(self) -> None:
        """Settles what stays as left in the spool, and frees the folder."""
        self.sweep()
        with self._turn:
            waiting, self._waiting = self._waiting, {}
        with self._disk:
            ids = {row.seq: row.id for row in self._rows()} if waiting else {}
            for seq, settle in waiting.items():
                self._leave(settle, ids.get(seq, "?"), None)
            self._store.close()

    def _rows(self) -> Iterable[Row]:
        after = 0
        while rows := self._store.batch(after, _ROWS_AT_ONCE):
            yield from rows
            after = rows[-1].seq

    def forked(self) -> None:
        """For the child: nothing of this is its own."""
        self._store.forked()

    @property
    def connection(self) -> object:
        """SQLite's, which must not be closed by a forked child."""
        return self._store.connection
