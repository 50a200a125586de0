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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from tradewire.core.clock import NS_PER_MS, Clock, SystemClock
from tradewire.core.errors import RegistryUnavailable, TradewireError, UnknownSchemaId
from tradewire.core.logs import get_logger
from tradewire.processors._outbox import Delivery, Outbox
from tradewire.processors.dead_letters import dead_letter
from tradewire.processors.folds import Folds
from tradewire.processors.ledger import Claim, Ledger
from tradewire.processors.metrics import WorkerMetrics
from tradewire.processors.records import RawRecord, Read
from tradewire.processors.states import BatchStates, StateCache
from tradewire.processors.tables import TIMED_TABLES, Table
from tradewire.processors.timers import Due, Place, Timers
from tradewire.schemas import Header

_log = get_logger(__name__)

# Batches between fold and settlement. More would only add latency: the producer is busy with two.
IN_FLIGHT_MAX: Final = 4
# States of one partition of a table that stay in memory, up to three times over.
STATES_MAX: Final = 4_000
# Well below the time after which the group takes a consumer that does not fetch for dead.
REGISTRY_WAIT_MS_MAX: Final = 120_000
_REGISTRY_WAIT_MS: Final = 250
# Records older than this say that the worker is behind; for as long after them, and after ``resume``, nothing is due.
BEHIND_S: Final = 2.0
# States looked at in one sweep: a broker that was away for a day leaves many deadlines behind.
SWEEP_ROWS_MAX: Final = 1_000
_SWEEP_INTERVAL_S: Final = 0.1


class StateStore(Protocol):
    """The local copy of the tables; the changelog is the truth."""

    def load(self, table: Table, partition: int, key: bytes) -> bytes | None: ...
    def store(
        self, table: Table, partition: int, states: Sequence[tuple[bytes, bytes | None]], offset: int | None
    ) -> None: ...
    def scan(self, table: Table, partition: int) -> Iterator[tuple[bytes, bytes]]: ...


class Abandoned(Exception):
    """Raised inside the engine when a rebalance takes the partitions of a batch that has not been folded."""


@dataclass(slots=True)
class _State:
    table: Table
    partition: int
    key: bytes
    value: bytes | None
    headers: list[Header]


@dataclass(slots=True)
class _Batch:
    number: int
    claims: list[Claim[Any]]
    delivery: Delivery
    sent: int = 0
    states: list[_State] = field(default_factory=list)
    deferred: list[_State] = field(default_factory=list)
    outputs: Counter[str] = field(default_factory=Counter)
    folded_at: float = 0.0


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
        clock: Clock | None = None,
        deadline_grace_ms: int = 0,
        unknown_schema_wait_ms: int = 60_000,
    ) -> None:
        self.ledger: Ledger[Any] = Ledger()
        self._folds = folds
        self._outbox = outbox
        self._store = store
        self._group = group
        self._metrics = metrics
        self.leave = leave
        self._caches: dict[tuple[str, int], StateCache] = {}
        self._number = 0
        self._busy = 0
        self._giving_up = False
        self._settled = asyncio.Condition()
        self._queue: asyncio.Queue[_Batch] = asyncio.Queue()
        self._settler: asyncio.Task[None] | None = None
        self._settled_number = 0
        self._clock = clock or SystemClock()
        self._grace_ns = deadline_grace_ms * NS_PER_MS
        self._unknown_schema_wait_ms = unknown_schema_wait_ms
        self._unknown_since: dict[str, float] = {}
        self._timers = Timers()
        self._timed = {table.name: table for table in TIMED_TABLES}
        self._sweeping = False
        self._held_until = 0.0

    async def accept(self, records: Mapping[Any, Sequence[RawRecord]]) -> None:
        """Folds records, in offset order per partition, and queues what comes of it. Returns when the next may come.

        Blocks while ``IN_FLIGHT_MAX`` batches are not settled, and while a schema cannot be had: while the registry is
        away (the process ends after ``REGISTRY_WAIT_MS_MAX``, to begin anew), and for ``unknown_schema_wait_ms`` from
        when the registry first answered that it does not know an id; then its records are dead letters.
        """
        if self._settler is None:
            self._settler = asyncio.create_task(self._settle_all())
        self._busy += 1
        now_ms = time.time() * 1000
        for rows in records.values():
            age_s = max(0.0, now_ms - rows[0].timestamp) / 1000
            if age_s > BEHIND_S:
                self._held_until = time.monotonic() + BEHIND_S
            self._metrics.handling_seconds.labels(rows[0].topic).observe(age_s)
        claims = [self.ledger.claim(tp, rows[0].offset, rows[-1].offset) for tp, rows in records.items()]
        try:
            reads = await self._read(records)
            batch = self._fold(reads, claims)
        except Abandoned:
            await self._done_one()
            return
        except Exception as error:
            self.leave(f"a batch failed through no record's fault: {error!r}")
            raise
        await self._hand_over(batch)

    async def _hand_over(self, batch: _Batch) -> None:
        await self._queue.put(batch)
        async with self._settled:
            await self._settled.wait_for(lambda: self._busy < IN_FLIGHT_MAX)

    def resume(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Takes up the deadlines of source partitions (topic, number) that are ours now and whose tables are whole."""
        for topic, partition in partitions:
            for table in TIMED_TABLES:
                if table.source == topic:
                    for key, value in self._store.scan(table, partition):
                        state = self._folds.decode(table, value)
                        place = Place(table.name, partition, key.decode())
                        self._timers.enter(place, self._folds.wakes_at(table, state))
        self._held_until = time.monotonic() + BEHIND_S
        self._sweeping = True
        _log.info("deadlines taken up", waiting=len(self._timers))

    async def sweep_forever(self) -> None:
        """Sweeps again and again; an error ends the process."""
        try:
            while True:
                await asyncio.sleep(_SWEEP_INTERVAL_S)
                if time.monotonic() >= self._held_until:
                    await self.sweep()
        except Exception as error:
            self.leave(f"deadlines could not be looked at: {error!r}")
            raise

    async def sweep(self) -> int:
        """Looks at the states whose deadline has come, as one batch; returns how many it looked at.

        Blocks as ``accept`` does. Does nothing before ``resume`` and after ``drained`` or ``forget``.
        """
        if not self._sweeping:
            return 0
        now_ns = self._clock.now_ns() - self._grace_ns
        due = list(self._timers.due(now_ns, SWEEP_ROWS_MAX))
        if not due:
            return 0
        if self._settler is None:
            self._settler = asyncio.create_task(self._settle_all())
        self._busy += 1
        await self._hand_over(self._look(due, now_ns))
        return len(due)

    def _look(self, due: Sequence[Due], now_ns: int) -> _Batch:
        self._number += 1
        states = BatchStates(self._number, self._caches, self._load, STATES_MAX)
        batch = _Batch(self._number, [], self._outbox.delivery(), folded_at=time.perf_counter())
        again: list[tuple[Place, int]] = []
        for place, idle_since in due:
            states.partition = place.partition
            written = idle_since is not None and idle_since <= self._settled_number
            when_ns = self._folds.look(place, now_ns, states, written=written)
            if when_ns is not None:
                again.append((place, when_ns))
        self._send(batch, states)
        for place, when_ns in again:
            self._timers.enter(place, when_ns, idle_since=self._number)
        return batch

    async def drained(self, timeout_s: float) -> bool:
        """Waits until every accepted batch is settled; False if the time did not suffice.

        Batches that wait for a schema are given up: their records are read again by whoever owns them then.
        """
        self._giving_up = True
        self._sweeping = False
        try:
            async with asyncio.timeout(timeout_s), self._settled:
                await self._settled.wait_for(lambda: self._busy == 0)
        except TimeoutError:
            return False
        finally:
            self._giving_up = False
        return True

    def forget(self) -> None:
        """Drops all claims and all states in memory, on a rebalance: the store is about to be brought up to date."""
        self.ledger.forget()
        self._caches.clear()
        self._timers.clear()
        self._sweeping = False

    async def _read(
        self, records: Mapping[Any, Sequence[RawRecord]]
    ) -> list[tuple[RawRecord, Read | None, TradewireError | None]]:
        waited_ms = 0
        while True:
            try:
                return [self._read_one(record) for rows in records.values() for record in rows]
            except (RegistryUnavailable, UnknownSchemaId) as error:
                if self._giving_up:
                    raise Abandoned from error
                if waited_ms >= REGISTRY_WAIT_MS_MAX:
                    raise
                self._metrics.registry_waits.inc()
                _log.warning("waiting for a schema", reason=str(error), waited_ms=waited_ms)
                await asyncio.sleep(_REGISTRY_WAIT_MS / 1000)
                waited_ms += _REGISTRY_WAIT_MS

    def _read_one(self, record: RawRecord) -> tuple[RawRecord, Read | None, TradewireError | None]:
        try:
            return record, self._folds.read(record), None
        except RegistryUnavailable:
            raise
        except UnknownSchemaId as error:
            now = time.monotonic()
            waited_s = now - self._unknown_since.setdefault(str(error), now)  # the text names the id
            if waited_s * 1000 < self._unknown_schema_wait_ms:
                raise
            return record, None, error
        except TradewireError as error:
            return record, None, error

    def _fold(
        self, reads: list[tuple[RawRecord, Read | None, TradewireError | None]], claims: list[Claim[Any]]
    ) -> _Batch:
        started = time.perf_counter()
        self._number += 1
        states = BatchStates(self._number, self._caches, self._load, STATES_MAX)
        batch = _Batch(self._number, claims, self._outbox.delivery())
        types: Counter[str] = Counter()
        for record, read, unreadable in reads:
            states.partition = record.partition
            error: Exception | None = unreadable
            if read is not None:
                types[read.envelope.type if read.envelope is not None else "flows.step.recorded"] += 1
                error = self._fold_one(read, states)
            if error is not None:
                self._metrics.dead_letters.labels(record.topic).inc()
                _log.error(
                    "dead letter",
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    reason=str(error),
                )
                states.forward(dead_letter(record, self._group, error))
        self._send(batch, states)
        batch.folded_at = time.perf_counter()
        self._metrics.batch_rows.observe(len(reads))
        self._metrics.fold_seconds.observe(batch.folded_at - started)
        for type, count in types.items():
            self._metrics.events.labels(type).inc(count)
        return batch

    def _fold_one(self, read: Read, states: BatchStates) -> Exception | None:
        try:
            self._folds.fold(read, states)
        except (RegistryUnavailable, UnknownSchemaId):
            # Of a state, not of the record: folding on without it would begin the state anew.
            raise
        except Exception as error:  # whatever a record does to a fold, the records behind it have to go on
            return error
        return None

    def _send(self, batch: _Batch, states: BatchStates) -> None:
        for record in states.forwards:
            self._outbox.forward(batch.delivery, record)
            batch.outputs[record.topic] += 1
        batch.sent = len(states.forwards)
        for (table, partition), changes in states.changes.items():
            for key, change in changes.items():
                state = _State(
                    table,
                    partition,
                    key.encode(),
                    self._folds.encode(table, change.state),
                    self._folds.headers(table, key, change.cause),
                )
                (batch.deferred if table.deferred else batch.states).append(state)
                if table.name in self._timed:
                    self._timers.enter(Place(table.name, partition, key), self._folds.wakes_at(table, change.state))
        self._send_states(batch, batch.states)

    def _send_states(self, batch: _Batch, states: list[_State]) -> None:
        for state in states:
            self._outbox.state(
                batch.delivery, state.table.topic, state.partition, state.key, state.value, state.headers
            )
            batch.outputs[state.table.topic] += 1
        batch.sent += len(states)

    def _load(self, table: Table, partition: int, key: str) -> Any:
        value = self._store.load(table, partition, key.encode())
        return None if value is None else self._folds.decode(table, value)

    async def _settle_all(self) -> None:
        try:
            while True:
                await self._settle(await self._queue.get())
        except Exception as error:
            self.leave(f"a batch could not be settled: {error!r}")
            raise

    async def _settle(self, batch: _Batch) -> None:
        await batch.delivery.wait(batch.sent)
        if batch.deferred:
            batch.delivery = self._deferred_delivery(batch)
            await batch.delivery.wait(batch.sent)
        self._store_states(batch)
        for claim in batch.claims:
            self.ledger.settle(claim)
        self._settled_number = batch.number
        for cache in self._caches.values():
            cache.stored(batch.number)
        self._metrics.confirm_seconds.observe(time.perf_counter() - batch.folded_at)
        for topic, count in batch.outputs.items():
            self._metrics.outputs.labels(topic).inc(count)
        await self._done_one()

    def _deferred_delivery(self, batch: _Batch) -> Delivery:
        offsets, batch.sent = batch.delivery.offsets, 0
        batch.delivery = self._outbox.delivery()
        batch.delivery.offsets.update(offsets)
        self._send_states(batch, batch.deferred)
        return batch.delivery

    def _store_states(self, batch: _Batch) -> None:
        by_place: dict[tuple[str, int], tuple[Table, list[tuple[bytes, bytes | None]]]] = {}
        for state in (*batch.states, *batch.deferred):
            place = (state.table.name, state.partition)
            by_place.setdefault(place, (state.table, []))[1].append((state.key, state.value))
        for (_, partition), (table, states) in by_place.items():
            self._store.store(table, partition, states, batch.delivery.offsets.get((table.topic, partition)))

    async def _done_one(self) -> None:
        async with self._settled:
            self._busy -= 1
            self._settled.notify_all()
