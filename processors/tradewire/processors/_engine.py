"""Batches of records through the folds and out again: pipelined, and acknowledged only when all of it stands.

A batch is what one fetch brought: while earlier ones are being confirmed the next fetch gathers more, so batches grow
with the load and nothing waits without need. The steps of a batch, and what a crash after each leaves behind:

1. read and fold in memory.                                 Nothing happened; the records are read again.
2. write all outputs and changed states, await delivery.    States hold the offsets that they have applied, so the
                                                            repeat changes nothing that was written and writes the rest.
3. write the deferred states, await delivery.               As 2. A deferred state is never ahead of what it points to.
4. write the states to the local store.                     The store is behind its changelog and catches up at start.
5. settle the claims: the offsets may be committed.         The repeat changes nothing.

What cannot be written ends the process (nothing is committed), as does any error that is nobody's record's fault.

Deadlines are looked at in batches of their own (``sweep``), which go through the same queue and the same steps, without
claims. Nothing is read again after a crash, so nothing may depend on that:

2. outputs stand, the state does not.   The state still waits, its timer stands: it is looked at again after the
                                        restart, and what is said then has the same id.
3. the state stands.                    It waits no more. Its timer is looked at once more, and deleted only when this
                                        batch is known to be settled.

No sweep runs between the loss of a partition and ``resume``, nor while this worker reads what is older than
``BEHIND_S``: what it waits for may lie in what it has not read yet.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from tradewire.core.clock import Clock, SystemClock
from tradewire.core.errors import RegistryUnavailable, TradewireError, UnknownSchemaId
from tradewire.core.logs import get_logger
from tradewire.processors._batch import Batch, StateStore, WrittenState
from tradewire.processors._deadlines import Deadlines
from tradewire.processors._outbox import Outbox
from tradewire.processors._reading import Abandoned, Reader, ReadOrNot
from tradewire.processors._settlement import Settlement
from tradewire.processors._worker_handlers import WorkerHandlers
from tradewire.processors._worker_parking import LETTERS_AT_ONCE, LOOK_INTERVAL_S, Later, WorkerParking
from tradewire.processors.dead_letters import ORPHAN, dead_letter
from tradewire.processors.folds import Folds
from tradewire.processors.ledger import Claim, Ledger
from tradewire.processors.metrics import WorkerMetrics
from tradewire.processors.parking.errors import ParkingFull
from tradewire.processors.parking.reading import DeadLetter
from tradewire.processors.records import RawRecord, Read
from tradewire.processors.states import BatchStates, StateCache
from tradewire.processors.step_records import STEPS
from tradewire.processors.tables import Table
from tradewire.processors.timers import Due, Place

_log = get_logger(__name__)

# States of one partition of a table that stay in memory, up to three times over.
STATES_MAX: Final = 4_000
_SWEEP_INTERVAL_S: Final = 0.1


class Engine:
    """One per worker, on its event loop. ``leave`` is given a reason, ends the process and does not return."""

    def __init__(
        self,
        folds: Folds,
        outbox: Outbox,
        store: StateStore,
        *,
        group: str,
        metrics: WorkerMetrics,
        leave: Callable[[str], None],
        parking: WorkerParking | None = None,
        handlers: WorkerHandlers | None = None,
        clock: Clock | None = None,
        deadline_grace_ms: int = 0,
        unknown_schema_wait_ms: int = 60_000,
    ) -> None:
        self._folds = folds
        self._outbox = outbox
        self._store = store
        self._group = group
        self._metrics = metrics
        self.leave = leave
        self._caches: dict[tuple[str, int], StateCache] = {}
        self._number = 0
        self.reader = Reader(folds, metrics, unknown_schema_wait_ms)
        self.deadlines = Deadlines(folds, store, clock or SystemClock(), deadline_grace_ms)
        self.settlement = Settlement(outbox, store, metrics=metrics, leave=leave, on_stored=self._on_stored)
        self.parking = parking
        self.handlers = handlers
        self._redriving = asyncio.Lock()
        if parking is not None:
            self.settlement.facts_of = parking.facts

    @property
    def ledger(self) -> Ledger[Any]:
        """How far the folds stand."""
        return self.settlement.ledger

    def committable(self, tp: tuple[str, int]) -> int | None:
        """The offset that may be committed: the folds of all records before it stand, and their handlers are done."""
        offset = self.ledger.committable(tp)
        if self.handlers is None or offset is None:
            return offset
        first = self.handlers.first_open(tp)
        return offset if first is None else min(offset, first)

    async def accept(self, records: Mapping[Any, Sequence[RawRecord]]) -> None:
        """Folds records, in offset order per partition, and queues what comes of it. Returns when the next may come.

        Blocks while ``IN_FLIGHT_MAX`` batches are not settled, and while a schema cannot be had: while the registry is
        away (the process ends after ``REGISTRY_WAIT_MS_MAX``, to begin anew), and for ``unknown_schema_wait_ms`` from
        when the registry first answered that it does not know an id; then its records are dead letters. Ends the
        process, with all that precedes it settled, at a record whose key has no room for one more letter.
        """
        if self.handlers is not None:
            records = self.handlers.offer(records, self.ledger)
            if not records:
                return
        self.settlement.begin()
        now_ms = time.time() * 1000
        for rows in records.values():
            age_s = max(0.0, now_ms - rows[0].timestamp) / 1000
            self.deadlines.note_age(age_s)
            self._metrics.handling_seconds.labels(rows[0].topic).observe(age_s)
        claims = [self.ledger.claim(tp, rows[0].offset, rows[-1].offset) for tp, rows in records.items()]
        try:
            await self._fold_on(await self.reader.read(records), claims)
        except Abandoned:
            await self.settlement.end()
        except ParkingFull as full:
            self.leave(str(full))
            raise
        except Exception as error:
            self.leave(f"a batch failed through no record's fault: {error!r}")
            raise

    async def take_over(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Learns what is parked in source partitions that are ours now. Before their first record is accepted.

        Raises:
            KafkaUnavailable: it cannot be learned.
            EventsGone: of a partition with handlers Kafka does not have what is to be read next.
        """
        places = [(topic, partition) for topic, partition in partitions]
        if self.parking is not None:
            await self.parking.take_over(places)
        if self.handlers is not None:
            await self.handlers.take_over(places)

    def resume(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Takes up the deadlines of source partitions (topic, number) that are ours now and whose tables are whole."""
        self.deadlines.take_up(partitions)
        if self.parking is not None:
            self.parking.paused = False

    async def sweep_forever(self) -> None:
        """Sweeps again and again; an error ends the process."""
        try:
            while True:
                await asyncio.sleep(_SWEEP_INTERVAL_S)
                if not self.deadlines.held:
                    await self.sweep()
        except Exception as error:
            self.leave(f"deadlines could not be looked at: {error!r}")
            raise

    async def sweep(self) -> int:
        """Looks at the states whose deadline has come, as one batch; returns how many it looked at.

        Blocks as ``accept`` does. Does nothing before ``resume`` and after ``drained`` or ``forget``.
        """
        now_ns, due = self.deadlines.due()
        if due:
            self.settlement.begin()
            await self.settlement.hand_over(self._look(due, now_ns))
        return len(due)

    def _look(self, due: Sequence[Due], now_ns: int) -> Batch:
        batch, states = self._begin([])
        batch.folded_at = time.perf_counter()
        again: list[tuple[Place, int]] = []
        for place, idle_since in due:
            states.partition = place.partition
            written = idle_since is not None and idle_since <= self.settlement.settled_number
            when_ns = self._folds.look(place, now_ns, states, written=written)
            if when_ns is not None:
                again.append((place, when_ns))
        self._send(batch, states)
        for place, when_ns in again:
            self.deadlines.again(place, when_ns, batch.number)
        return batch

    async def drained(self, timeout_s: float, *, at_end: bool = False) -> bool:
        """Waits until every accepted batch is settled; False if the time did not suffice.

        Batches that wait for a schema are given up, and so are handlers that have not ended in time
        (``subscriber.revoke_wait_ms``, ``stop_wait_ms`` ``at_end``): their records are read again by whoever owns them.
        """
        resting = None
        if self.handlers is not None:
            resting = asyncio.create_task(self.handlers.rest(timeout_s, at_end=at_end))
        self.reader.giving_up = True
        self.deadlines.pause()
        if self.parking is not None:
            self.parking.paused = True
        try:
            settled = await self.settlement.drained(timeout_s)
        finally:
            self.reader.giving_up = False
        if resting is not None:
            await resting
        return settled

    def forget(self) -> None:
        """Drops all claims and all states in memory, on a rebalance: the store is about to be brought up to date."""
        self.ledger.forget()
        self._caches.clear()
        self.deadlines.clear()

    async def release(self) -> None:
        """``forget``, and gives up what handlers have of partitions that go, after the last commit of them."""
        self.forget()
        if self.handlers is not None:
            await self.handlers.release()

    def _begin(self, claims: list[Claim[Any]]) -> tuple[Batch, BatchStates]:
        self._number += 1
        states = BatchStates(self._number, self._caches, self._load, STATES_MAX, self._load_many)
        return Batch(self._number, claims, self._outbox.delivery()), states

    async def _fold_on(self, reads: list[ReadOrNot], claims: list[Claim[Any]]) -> None:
        """Folds and hands over, in one batch but for keys that have no room for one more letter.

        What lies before such a record has to stand, as an operator can only re-drive what is written; then the
        re-drives that are due may make room, here, as a worker that is started again comes to the record at once.

        Raises:
            ParkingFull: they did not; all before the record stands.
            Abandoned: a rebalance came meanwhile.
        """
        halted_at: Any = None
        while True:
            batch, taken, full = self._fold(reads, claims)
            if full is None or self.parking is None:
                await self.settlement.hand_over(batch)
                return
            self.settlement.begin()  # what is left will be a batch of its own
            await self.settlement.hand_over(batch)
            await self.settlement.settled(batch.number)
            at, reads, claims = reads[taken].record, reads[taken:], claims[len(batch.claims) :]
            if halted_at == (at.topic, at.partition, at.offset):
                raise full
            halted_at = (at.topic, at.partition, at.offset)
            await self.redrive(self.parking)
            await self.settlement.settled(self._number)
            if self.reader.giving_up:
                raise Abandoned

    def _fold(self, reads: list[ReadOrNot], claims: list[Claim[Any]]) -> tuple[Batch, int, ParkingFull | None]:
        """The batch, how many of the records it holds, and why not all. ``claims`` are cut where it ends."""
        started = time.perf_counter()
        batch, states = self._begin(claims)
        types: Counter[str] = Counter()
        parking = self.parking
        # The mapping itself: a record that is parked in this batch holds back those behind it.
        parked = () if parking is None else parking.keys
        full: ParkingFull | None = None
        taken = 0
        try:
            for taken, (record, read, unreadable) in enumerate(reads):  # noqa: B007 - it is used behind the loop
                states.partition = record.partition
                if parked and parking is not None and not parking.admits(record, batch, states):
                    continue
                error: Exception | None = unreadable
                if read is not None:
                    types[read.envelope.type if read.envelope is not None else STEPS] += 1
                    error = self._fold_one(read, states)
                if error is not None:
                    if parking is None:
                        states.forward(dead_letter(record, self._group, error))
                    else:
                        parking.park(record, error, batch, states)
                    self._metrics.dead_letters.labels(record.topic).inc()
            taken = len(reads)
        except ParkingFull as found:
            full = found
            batch.claims = self._claims_before(reads[taken].record, claims)
        self._send(batch, states)
        batch.folded_at = time.perf_counter()
        self._metrics.batch_rows.observe(taken)
        self._metrics.fold_seconds.observe(batch.folded_at - started)
        for type, count in types.items():
            self._metrics.events.labels(type).inc(count)
        return batch, taken, full

    def _claims_before(self, record: RawRecord, claims: list[Claim[Any]]) -> list[Claim[Any]]:
        """Cuts ``claims``, of which one holds the record, before it; returns those that lie before it."""
        at = next(n for n, claim in enumerate(claims) if claim.partition == (record.topic, record.partition))
        if claims[at].first < record.offset:
            claims.insert(at + 1, self.ledger.split(claims[at], record.offset))
            at += 1
        return claims[:at]

    async def redrive_forever(self) -> None:
        """Has dead letters folded again whenever an operator asks for it; an error ends the process."""
        try:
            while self.parking is not None:
                await asyncio.sleep(LOOK_INTERVAL_S)
                if not self.parking.paused:
                    await self.redrive(self.parking)
        except Exception as error:
            self.leave(f"dead letters could not be re-driven: {error!r}")
            raise

    async def redrive(self, parking: WorkerParking) -> None:
        """Folds the letters of all keys that are due, each key's in batches of their own. Blocks as ``accept`` does."""
        async with self._redriving:
            await self._redrive(parking)

    async def _redrive(self, parking: WorkerParking) -> None:
        due, writes = await parking.due()
        if writes:
            self.settlement.begin()
            batch, states = self._begin([])
            batch.facts = {write.key: write for write in writes}
            await self._finish(batch, states)
        for key, (request, letters) in due.items():
            taken = LETTERS_AT_ONCE
            while taken == LETTERS_AT_ONCE and not parking.paused:
                self.settlement.begin()
                batch, states = self._begin([])
                states.partition = key.partition
                taken = parking.redrive(key, request, letters, batch, states, self._fold_letter)
                await self._finish(batch, states)

    async def _finish(self, batch: Batch, states: BatchStates) -> None:
        self._send(batch, states)
        batch.folded_at = time.perf_counter()
        await self.settlement.hand_over(batch)

    def _fold_letter(self, letter: DeadLetter, states: BatchStates) -> Exception | None:
        try:
            read = self._folds.read(letter, redriven=True, late=letter.failure.kind == ORPHAN)
        except (RegistryUnavailable, UnknownSchemaId) as error:
            raise Later(str(error)) from error
        except TradewireError as error:
            return error
        return self._fold_one(read, states)

    def _fold_one(self, read: Read, states: BatchStates) -> Exception | None:
        try:
            self._folds.fold(read, states)
        except (RegistryUnavailable, UnknownSchemaId):
            # Of a state, not of the record: folding on without it would begin the state anew.
            raise
        except Exception as error:  # whatever a record does to a fold, the records behind it have to go on
            return error
        return None

    def _send(self, batch: Batch, states: BatchStates) -> None:
        for record in chain(self._folds.step_records(states.steps), states.forwards):
            self._outbox.forward(batch.delivery, record)
            batch.outputs[record.topic] += 1
            batch.sent += 1
        for (table, partition), changes in states.changes.items():
            for key, change in changes.items():
                state = WrittenState(
                    table,
                    partition,
                    key.encode(),
                    self._folds.encode(table, change.state),
                    self._folds.headers(table, key, change.cause),
                )
                (batch.deferred if table.deferred else batch.states).append(state)
                self.deadlines.changed(table, partition, key, change.state)
        self.settlement.send(batch, batch.states)

    def _load(self, table: Table, partition: int, key: str) -> Any:
        value = self._store.load(table, partition, key.encode())
        return None if value is None else self._folds.decode(table, value)

    def _load_many(self, table: Table, partition: int, keys: Sequence[str]) -> list[Any]:
        values = self._store.load_many(table, partition, [key.encode() for key in keys])
        return [None if value is None else self._folds.decode(table, value) for value in values]

    def _on_stored(self, batch: int) -> None:
        for cache in self._caches.values():
            cache.stored(batch)
