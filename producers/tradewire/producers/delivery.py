"""The handle of one published event: settled once, by whichever thread serves the publisher's delivery reports."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Final
from weakref import WeakKeyDictionary

from confluent_kafka import KafkaError, Message

from tradewire.core import NS_PER_MS, PublishError, get_logger
from tradewire.core.settings import KafkaSettings
from tradewire.producers._ledger import Ledger
from tradewire.producers.errors import DeliveryUnknown, EventTooLarge, NotAuthorised, TopicMissing
from tradewire.schemas import Position

_TOPIC_MISSING: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
_NOT_AUTHORISED: Final = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
_PURGED: Final = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)
_log = get_logger(__name__)
# Only handles that somebody waits for take it, so one lock for all of them is enough.
_waiting = threading.Lock()


def principal_of(kafka: KafkaSettings) -> str:
    """Whom the brokers take a client with these settings for, as far as the client can know."""
    if kafka.sasl_username:
        return f"User:{kafka.sasl_username}"
    return "the principal of kafka.ssl_certificate_file" if kafka.ssl_certificate_file else "User:ANONYMOUS"


def not_authorised(topic: str, principal: str, said: str, facts: dict[str, object]) -> NotAuthorised:
    """Names principal, topic and the command that grants what is missing."""
    return NotAuthorised(
        f"topic {topic}: {principal} may not write ({said}): `kafka-acls.sh --add --allow-principal {principal} "
        f"--operation Write --topic {topic}`",
        **facts | {"principal": principal},
    )


def delivery_error(error: KafkaError, topic: str, event_id: str, principal: str) -> PublishError:
    """The typed error of a failed delivery report."""
    code = error.code()
    facts: dict[str, object] = {"event_id": event_id, "topic": topic, "code": error.name()}
    if code in _TOPIC_MISSING:
        return TopicMissing(f"topic {topic} does not exist: run `tradewire topics apply` (event {event_id})", **facts)
    if code in _NOT_AUTHORISED:
        return not_authorised(topic, principal, error.str(), facts)
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return EventTooLarge(
            f"topic {topic}: the broker takes no batch as large as the one with event {event_id}: is max.message.bytes "
            "of the topic below publisher.event_bytes_max?",
            **facts,
        )
    cause = "the publisher was closed before the broker answered" if code in _PURGED else error.str()
    return DeliveryUnknown(
        f"topic {topic}: it is unknown whether event {event_id} was written ({cause}); publish it again only with the "
        "same id",
        **facts,
    )


class Delivery:
    """What became of one event. ``await delivery`` in a coroutine, ``result`` in a thread; both may be repeated.

    Not waiting is allowed: ``Publisher.flush`` and ``Publisher.close`` count what was not confirmed.
    """

    __slots__ = ("_callbacks", "_ledger", "_outcome", "event_id")

    def __init__(self, event_id: str, ledger: Ledger) -> None:
        self.event_id = event_id
        self._ledger = ledger
        # The report is kept as it came; taking it apart for every event would cost more than its few bytes.
        self._outcome: Message | PublishError | None = None
        self._callbacks: list[Callable[[], None]] | None = None

    def done(self) -> bool:
        """Whether the outcome, good or bad, is known."""
        return self._outcome is not None

    def result(self, timeout: float | None = None) -> Position:
        """Waits for the brokers' confirmation and returns where the event lies.

        ``timeout`` is in seconds; None waits until the delivery timeout of the publisher settles it. Not from a
        coroutine: it would block the loop.

        Raises:
            DeliveryUnknown: not confirmed; also TopicMissing and NotAuthorised, which say why, and LeftInSpool.
            EventTooLarge: the broker takes no batch of this size.
            TimeoutError: not known yet; the event is still on its way and may be asked for again.
        """
        if self._outcome is None:
            arrived = threading.Event()
            self.add_done_callback(arrived.set)
            if not arrived.wait(timeout):
                raise TimeoutError(f"event {self.event_id} is not confirmed after {timeout} s; it is still on its way")
        return self._position()

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` once when the outcome is known: in a thread of the publisher's choice, or here if it is.

        It must not block: the reports of all other events wait behind it. What it raises is logged.
        """
        with _waiting:
            if self._outcome is None:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                if self._outcome is None:
                    return
                # Settled while the callback was being added; whoever finds the list runs it.
                callbacks, self._callbacks = self._callbacks, None
            else:
                callbacks = [callback]
        _run(callbacks)

    def __await__(self) -> Generator[Any, None, Position]:
        if self._outcome is None:
            loop = asyncio.get_running_loop()
            arrived: asyncio.Future[None] = loop.create_future()
            bridge = _bridge_of(loop)
            self.add_done_callback(lambda: bridge.wake(arrived))
            yield from arrived
        return self._position()

    def _position(self) -> Position:
        if isinstance(self._outcome, PublishError):
            raise self._outcome.with_traceback(None)
        message: Any = self._outcome
        return Position(
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
            recorded_ns=message.timestamp()[1] * NS_PER_MS,
        )

    def _settle(self, error: KafkaError | PublishError | None, message: Any) -> None:
        """Delivery report of librdkafka; on the hot path, so it takes no lock unless somebody waits."""
        if error is None:
            self._outcome = message
        else:
            if isinstance(error, KafkaError):
                error = delivery_error(error, str(message.topic()), self.event_id, self._ledger.principal)
            self._ledger.failed(self.event_id, error)
            self._outcome = error
        if self._callbacks is not None:
            with _waiting:
                callbacks, self._callbacks = self._callbacks, None
            _run(callbacks)

    def __repr__(self) -> str:
        outcome = self._outcome
        known = outcome if outcome is None or isinstance(outcome, PublishError) else self._position()
        return f"Delivery({self.event_id}, {known!r})"


def _run(callbacks: list[Callable[[], None]] | None) -> None:
    for callback in callbacks or ():
        try:
            callback()
        except Exception:  # not the fault of whoever publishes or waits next, in whose thread this may be
            _log.exception("a delivery callback raised")


class _Bridge:
    """Wakes the futures of one loop from other threads, many with one call into the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._arrived: deque[asyncio.Future[None]] = deque()
        self._called = False

    def wake(self, future: asyncio.Future[None]) -> None:
        self._arrived.append(future)
        if not self._called:
            self._called = True
            with suppress(RuntimeError):  # the loop that waited has been closed since
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        # Lowered first: a future that comes while this runs is either seen by it or calls again.
        self._called = False
        while self._arrived:
            future = self._arrived.popleft()
            if not future.done():
                future.set_result(None)


_bridges: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bridge] = WeakKeyDictionary()


def _bridge_of(loop: asyncio.AbstractEventLoop) -> _Bridge:
    bridge = _bridges.get(loop)
    if bridge is None:
        bridge = _bridges[loop] = _Bridge(loop)
    return bridge
