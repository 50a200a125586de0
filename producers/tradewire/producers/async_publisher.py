"""The publisher for asyncio. confluent-kafka's own asyncio producer refuses headers; this bridges delivery reports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from tradewire.core import Settings
from tradewire.producers.delivery import Delivery
from tradewire.producers.errors import QueueFull
from tradewire.producers.publisher import Outcome, Publisher
from tradewire.schemas import Contract, Event

_T = TypeVar("_T")
_FULL_RETRY_SECONDS: Final = 0.005
# The loop gets a turn after so many events of a bulk call.
_TURN_EVERY: Final = 128


class AsyncPublisher:
    """``Publisher`` for coroutines: the same order, limits and errors, and it never blocks the loop.

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

    async def prepare(self, *types: str) -> None:
        """Looks up schema ids in a thread, so that neither the first publish nor the loop waits for the registry.

        Raises as ``Publisher.prepare`` does.
        """
        await asyncio.to_thread(self._publisher.prepare, *types)
        self._prepared.update(types)

    async def publish(
        self,
        type: str,
        data: Mapping[str, Any],
        *,
        subject: str,
        source: str | None = None,
        time_ns: int | None = None,
        id: str | None = None,
        idempotency_key: str | None = None,
        sequence: int | None = None,
        tags: Mapping[str, str] | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
    ) -> Delivery:
        """Validates, encodes and queues one event; the arguments and errors are those of ``Publisher.publish``.

        Waits, the loop running on, for room in the queue (at most ``publisher.block_ms_max``) and for the schema id of
        a type seen first. Cancelled while it waits, nothing has been taken.
        """

        def publish() -> Delivery:
            return self._publisher.publish(
                type,
                data,
                subject=subject,
                source=source,
                time_ns=time_ns,
                id=id,
                idempotency_key=idempotency_key,
                sequence=sequence,
                tags=tags,
                correlation_id=correlation_id,
                causation_id=causation_id,
            )

        if type not in self._prepared:
            await self.prepare(type)
        try:
            return publish()
        except QueueFull:
            return await self._when_room(publish)

    async def publish_event(self, event: Event) -> Delivery:
        """Publishes a whole event as it is; see ``Publisher.publish_event``."""
        if event.type not in self._prepared:
            await self.prepare(event.type)
        try:
            return self._publisher.publish_event(event)
        except QueueFull:
            return await self._when_room(lambda: self._publisher.publish_event(event))

    async def publish_many(self, events: Iterable[Event] | AsyncIterable[Event]) -> int:
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

    async def _one_of_many(self, event: Event, taken: int) -> None:
        if event.type not in self._prepared:
            await self.prepare(event.type)
        try:
            self._publisher.publish_many((event,))
        except QueueFull:
            await self._when_room(lambda: self._publisher.publish_many((event,)))
        if taken % _TURN_EVERY == _TURN_EVERY - 1:
            await asyncio.sleep(0)

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
