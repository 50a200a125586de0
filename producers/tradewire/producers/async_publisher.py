"""The publisher for asyncio. confluent-kafka's own asyncio producer refuses headers; this bridges delivery reports."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack, overload

from tradewire.core import Settings
from tradewire.producers._typed import taken_apart
from tradewire.producers.breaker import BreakerState
from tradewire.producers.convenience import AsyncConvenienceCalls, Attributes
from tradewire.producers.delivery import Delivery
from tradewire.producers.errors import QueueFull
from tradewire.producers.publisher import Outcome, Publisher
from tradewire.producers.transaction import Transaction, Transactions
from tradewire.schemas import Contract, Event, TypedData

_T = TypeVar("_T")
OneOfMany = Event | TypedData | tuple[str, Mapping[str, Any], str]
_FULL_RETRY_SECONDS: Final = 0.005
# The loop gets a turn after so many events of a bulk call.
_TURN_EVERY: Final = 128


class AsyncPublisher(AsyncConvenienceCalls):
    """``Publisher`` for coroutines: the same order, limits and errors, and it blocks the loop neither for the network
    nor for the spool's disk, which may stand still for a tenth of a second while it is written back: while no broker
    answers, one thread writes events in the order in which they were published.

    ``delivery = await publisher.publish(...)`` returns when the event is queued; ``await delivery`` waits for the
    brokers. Tasks that publish at once get the order in which they were run; the current correlation is the task's own.
    """

    def __init__(self, settings: Settings, contract: Contract | None = None, *, source: str | None = None) -> None:
        """Raises as ``Publisher`` does; needs no running loop."""
        self._block_seconds = settings.publisher.block_ms_max / 1000
        self._prepared: set[str] = set()
        # A full queue is waited for here, on the loop.
        unblocking = settings.publisher.model_copy(update={"block_ms_max": 0})
        self._publisher = Publisher(settings.model_copy(update={"publisher": unblocking}), contract, source=source)
        self._publisher.counts_full = False
        # Its thread starts with the first event that goes by it, and ends with this object.
        self._writer = ThreadPoolExecutor(1, "tradewire-publisher-spool")
        self._written: deque[Future[Any]] = deque()

    @property
    def contract(self) -> Contract:
        return self._publisher.contract

    @property
    def outcome(self) -> Outcome:
        """As of ``Publisher``."""
        return self._publisher.outcome

    @property
    def pending(self) -> int:
        """Events whose delivery is not settled yet."""
        return self._publisher.pending

    @property
    def breaker_state(self) -> BreakerState:
        """As of ``Publisher``."""
        return self._publisher.breaker_state

    async def prepare(self, *types: str) -> None:
        """Looks up schema ids in a thread, so that neither the first publish nor the loop waits for the registry.

        Raises as ``Publisher.prepare`` does.
        """
        await asyncio.to_thread(self._publisher.prepare, *types)
        self._prepared.update(types)

    @overload
    async def publish(
        self, type: TypedData, *, subject: str | None = None, **attributes: Unpack[Attributes]
    ) -> Delivery: ...
    @overload
    async def publish(
        self, type: str, data: Mapping[str, Any], *, subject: str, **attributes: Unpack[Attributes]
    ) -> Delivery: ...
    async def publish(
        self,
        type: str | TypedData,
        data: Mapping[str, Any] | None = None,
        *,
        subject: str | None = None,
        **attributes: Unpack[Attributes],
    ) -> Delivery:
        """Validates, encodes and queues one event; the arguments and errors are those of ``Publisher.publish``.

        Waits, the loop running on, for room in the queue (at most ``publisher.block_ms_max``) and for the schema id of
        a type seen first. Cancelled while it waits, nothing has been taken; cancelled while it is being written to the
        spool, it has perhaps: publish it again only with the same ``idempotency_key`` or ``id``.
        """
        name, fields, key = taken_apart(type, data, subject, self._publisher.contract.catalogue)
        if name not in self._prepared:
            await self.prepare(name)
        if self._by_disk:
            return await self._in_order(lambda: self._publisher.publish(name, fields, subject=key, **attributes))
        try:
            return self._publisher.publish(name, fields, subject=key, **attributes)
        except QueueFull:
            return await self._when_room(lambda: self._publisher.publish(name, fields, subject=key, **attributes))

    async def _publish_draft(self, draft: tuple[str, dict[str, Any], str], attributes: Attributes) -> Delivery:
        type, data, subject = draft
        return await self.publish(type, data, subject=subject, **attributes)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """``Publisher.transaction``; beginning, commit and abort run in threads, and the methods of ``Transaction`` as
        they are: they wait for nothing but, for a type seen first, its schema id (see ``prepare``).

        Cancelled while it begins or in the block, it is aborted; cancelled while it commits, the commit goes on and its
        outcome is unknown here.
        """
        transactions = self._publisher.transactions()
        begun = asyncio.ensure_future(asyncio.to_thread(transactions.begin))
        try:
            transaction = await asyncio.shield(begun)
        except asyncio.CancelledError:
            begun.add_done_callback(lambda done: _abort_in_thread(transactions, done))
            raise
        try:
            yield transaction
        except BaseException:
            await asyncio.shield(asyncio.to_thread(transactions.abort, transaction))
            raise
        await asyncio.shield(asyncio.to_thread(transactions.commit, transaction))

    async def publish_event(self, event: Event) -> Delivery:
        """Publishes a whole event as it is; see ``Publisher.publish_event``."""
        if event.type not in self._prepared:
            await self.prepare(event.type)
        if self._by_disk:
            return await self._in_order(lambda: self._publisher.publish_event(event))
        try:
            return self._publisher.publish_event(event)
        except QueueFull:
            return await self._when_room(lambda: self._publisher.publish_event(event))

    async def publish_many(self, events: Iterable[OneOfMany] | AsyncIterable[OneOfMany]) -> int:
        """Publishes events in order and returns how many were taken; makes no handles (``Publisher.publish_many``)."""
        taken = 0
        if isinstance(events, AsyncIterable):
            async for event in events:
                await self._one_of_many(event, taken)
                taken += 1
        else:
            for event in events:
                await self._one_of_many(event, taken)
                taken += 1
        return taken

    async def publish_columns(self, type: str, columns: Any, *, first_row: int = 0, **envelope: Any) -> int:
        """``Publisher.publish_columns`` in a thread; waits for room on the loop. Cancelled, the thread goes on until
        the queue is full or all rows are taken: ask ``outcome`` how many were.
        """
        row, deadline = first_row, time.monotonic() + self._block_seconds
        while True:
            try:
                call = self._publisher.publish_columns
                return row - first_row + await asyncio.to_thread(call, type, columns, first_row=row, **envelope)
            except QueueFull as error:
                reached = int(str(error.context["row"]))
                if reached > row:
                    row, deadline = reached, time.monotonic() + self._block_seconds
                elif time.monotonic() >= deadline:
                    self._publisher.ledger.refuse(error)
                    raise
                await asyncio.sleep(_FULL_RETRY_SECONDS)

    async def _one_of_many(self, event: OneOfMany, taken: int) -> None:
        name = event.type if isinstance(event, Event) else event[0] if isinstance(event, tuple) else event.event_type
        if name not in self._prepared:
            await self.prepare(name)
        if self._by_disk:
            await self._in_order(lambda: self._publisher.publish_many((event,)))
        else:
            try:
                self._publisher.publish_many((event,))
            except QueueFull:
                await self._when_room(lambda: self._publisher.publish_many((event,)))
        if taken % _TURN_EVERY == _TURN_EVERY - 1:
            await asyncio.sleep(0)

    @property
    def _by_disk(self) -> bool:
        """Whether events go to the spool now, or some that do are not there yet and must not be overtaken."""
        spool, written = self._publisher.spool, self._written
        if spool is None or self._publisher._refusal is not None:
            return False
        while written and written[0].done():
            written.popleft()
        return bool(written) or not spool.direct

    async def _in_order(self, publish: Callable[[], _T]) -> _T:
        """``publish`` in the one thread that may wait for the disk, with the correlation of this task."""
        future = self._writer.submit(copy_context().run, publish)
        self._written.append(future)
        try:
            return await asyncio.wrap_future(future)
        except QueueFull:  # the spool has been left meanwhile
            return await self._when_room(publish)

    async def _when_room(self, publish: Callable[[], _T]) -> _T:
        deadline = time.monotonic() + self._block_seconds
        while True:
            await asyncio.sleep(_FULL_RETRY_SECONDS)
            try:
                return publish()
            except QueueFull as error:
                if time.monotonic() >= deadline:
                    full = QueueFull(
                        f"the queue ({self.pending} events) had no room for {self._block_seconds:g} s "
                        "(publisher.block_ms_max): is the broker away or too slow?",
                        **error.context,
                    )
                    self._publisher.ledger.refuse(full)
                    raise full from None

    async def flush(self, timeout: float | None = None) -> int:
        """``Publisher.flush`` in a thread."""
        return await asyncio.to_thread(self._publisher.flush, timeout)

    async def close(self, timeout: float | None = None) -> Outcome:
        """``Publisher.close`` in a thread. Cancelled, the publisher goes on closing."""
        return await asyncio.to_thread(self._publisher.close, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._publisher.__exit__, kind, error, trace)


def _abort_in_thread(transactions: Transactions, begun: asyncio.Future[Transaction]) -> None:
    if not begun.cancelled() and begun.exception() is None:
        asyncio.get_running_loop().run_in_executor(None, transactions.abort, begun.result())
