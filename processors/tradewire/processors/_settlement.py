"""Steps 2 to 5 of a batch (see ``_engine``): confirmed, deferred states, local store, claims. One after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from tradewire.processors._batch import Batch, StateStore, WrittenState
from tradewire.processors._outbox import Outbox
from tradewire.processors.ledger import Ledger
from tradewire.processors.metrics import WorkerMetrics
from tradewire.processors.parking.facts import Write
from tradewire.processors.records import Forward
from tradewire.processors.tables import Table

# Batches between fold and settlement. More would only add latency: the producer is busy with two.
IN_FLIGHT_MAX: Final = 4


class Settlement:
    """A queue of folded batches, settled in order by a task of its own; an error in it ends the process by ``leave``.

    ``on_stored`` is called with the number of each batch whose states are in the local store.
    """

    def __init__(
        self,
        outbox: Outbox,
        store: StateStore,
        *,
        metrics: WorkerMetrics,
        leave: Callable[[str], None],
        on_stored: Callable[[int], None],
    ) -> None:
        self.ledger: Ledger[Any] = Ledger()
        self.settled_number = 0
        self._outbox = outbox
        self._store = store
        self._metrics = metrics
        self._leave = leave
        self._on_stored = on_stored
        self._queue: asyncio.Queue[Batch] = asyncio.Queue()
        self._busy = 0
        self._done = asyncio.Condition()
        self.task: asyncio.Task[None] | None = None
        self.facts_of: Callable[[Iterable[Write]], list[Forward]] = lambda _: []

    def begin(self) -> None:
        """A batch is begun: ``drained`` waits for it until it is settled or ``end`` is called."""
        if self.task is None:
            self.task = asyncio.create_task(self._settle_all())
        self._busy += 1

    async def end(self) -> None:
        """A batch that was begun is done with."""
        async with self._done:
            self._busy -= 1
            self._done.notify_all()

    async def hand_over(self, batch: Batch) -> None:
        """Queues a batch whose records are sent; blocks while ``IN_FLIGHT_MAX`` are not settled."""
        await self._queue.put(batch)
        async with self._done:
            await self._done.wait_for(lambda: self._busy < IN_FLIGHT_MAX)

    async def drained(self, timeout_s: float) -> bool:
        """Waits until every batch is settled; False if the time did not suffice."""
        try:
            async with asyncio.timeout(timeout_s), self._done:
                await self._done.wait_for(lambda: self._busy == 0)
        except TimeoutError:
            return False
        return True

    async def settled(self, number: int) -> None:
        """Waits until the batch of that number, and so all before it, are settled."""
        async with self._done:
            await self._done.wait_for(lambda: self.settled_number >= number)

    def send(self, batch: Batch, states: list[WrittenState]) -> None:
        """Sends states with the batch's present delivery."""
        for state in states:
            self._outbox.state(
                batch.delivery, state.table.topic, state.partition, state.key, state.value, state.headers
            )
            batch.outputs[state.table.topic] += 1
        batch.sent += len(states)

    async def _settle_all(self) -> None:
        try:
            while True:
                await self._settle(await self._queue.get())
        except Exception as error:
            self._leave(f"a batch could not be settled: {error!r}")
            raise

    async def _settle(self, batch: Batch) -> None:
        await batch.delivery.wait(batch.sent)
        if batch.deferred:
            offsets, batch.sent = batch.delivery.offsets, 0
            batch.delivery = self._outbox.delivery()
            batch.delivery.offsets.update(offsets)
            self.send(batch, batch.deferred)
            await batch.delivery.wait(batch.sent)
        self._store_states(batch)
        if batch.facts:
            await self._send_facts(batch)
        for claim in batch.claims:
            self.ledger.settle(claim)
        self.settled_number = batch.number
        self._on_stored(batch.number)
        self._metrics.confirm_seconds.observe(time.perf_counter() - batch.folded_at)
        for topic, count in batch.outputs.items():
            self._metrics.outputs.labels(topic).inc(count)
        await self.end()

    async def _send_facts(self, batch: Batch) -> None:
        """The states of parked keys: after everything that they say is done, in a delivery of their own."""
        delivery, records = self._outbox.delivery(), self.facts_of(batch.facts.values())
        for record in records:
            self._outbox.forward(delivery, record)
            batch.outputs[record.topic] += 1
        await delivery.wait(len(records))

    def _store_states(self, batch: Batch) -> None:
        by_place: dict[tuple[str, int], tuple[Table, list[tuple[bytes, bytes | None]]]] = {}
        for state in (*batch.states, *batch.deferred):
            place = (state.table.name, state.partition)
            by_place.setdefault(place, (state.table, []))[1].append((state.key, state.value))
        for (_, partition), (table, states) in by_place.items():
            self._store.store(table, partition, states, batch.delivery.offsets.get((table.topic, partition)))
