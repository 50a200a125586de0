"""The synchronous publisher: one librdkafka producer, one thread that serves its delivery reports."""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tradewire.core import (
    NS_PER_SECOND,
    KafkaUnavailable,
    PublishError,
    Settings,
    TradewireError,
    current_correlation,
    derived_id,
    get_logger,
    new_id,
)
from tradewire.producers._client import Turns, serve
from tradewire.producers._client import producer_config as producer_config
from tradewire.producers._ledger import Ledger, Settle
from tradewire.producers._refusals import refusal, too_large
from tradewire.producers._route import CE_CONTENT_TYPE, CE_SPEC_VERSION, OutHeader, Route, rare_headers
from tradewire.producers.delivery import Delivery, delivery_error
from tradewire.producers.errors import (
    DeliveryUnknown,
    PublisherClosed,
    PublisherFailed,
    PublisherForked,
    QueueFull,
)
from tradewire.producers.metrics import METRICS
from tradewire.schemas import Contract, Event, format_time_ns

_log = get_logger(__name__)
# librdkafka's own lines, which it would otherwise write to stderr past every log setting.
_kafka_log: Final = logging.getLogger("tradewire.kafka")
_EXIT_FLUSH_SECONDS: Final = 10.0
# A thread that publishes serves reports itself every so many events; see ``_client.serve``.
_SERVE_EVERY: Final = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a publisher knows of its events. ``unknown_ids`` holds the first thousand of the ``unknown`` ones."""

    published: int
    unknown: int
    unknown_ids: tuple[str, ...]
    per_type: Mapping[str, int]


class Publisher:
    """Publishes events to Kafka. Thread-safe; not usable in a forked child.

    Order: events of one subject reach their partition in the order in which ``publish`` took them, also across retries.
    Waiting: ``publish`` never waits for the network, except once per event type for its schema id (see ``prepare``);
    when the local queue is full it waits at most ``publisher.block_ms_max``. Loss: an event taken is in memory only
    until its delivery is settled; ``close`` (or leaving the ``with`` block) waits for that and says what remained
    unknown. A publisher that is never closed is closed at exit.
    """

    def __init__(self, settings: Settings, contract: Contract | None = None, *, source: str | None = None) -> None:
        """Starts a producer; does not wait for a broker. ``source`` is the events' own, where they name none.

        Raises:
            SchemaFileError: a file of the catalogue is at fault.
            PublisherFailed: librdkafka refuses the settings; quotes it.
        """
        self.contract = contract if contract is not None else Contract.load(settings)
        self.source = source or settings.publisher.source
        self.ledger = Ledger()
        # False where somebody else waits for room, tries again and counts.
        self.counts_full = True
        self._servers = settings.kafka.bootstrap_servers
        self._limits = settings.publisher
        self._bytes_max = settings.publisher.event_bytes_max
        try:
            self._producer = Producer(producer_config(settings.kafka, settings.publisher), logger=_kafka_log)
        except KafkaException as error:
            raise PublisherFailed(f"{self._servers}: no producer with these settings: {error.args[0].str()}") from error
        self._produce = self._producer.produce
        self._routes: dict[str, Route] = {}
        # Why publishing is refused; None while it is not.
        self._refusal: PublishError | None = None
        # The digits of the current second and its text: one tuple, so that threads see both or neither.
        self._second = ("none yet", "")
        self._stop = threading.Event()
        self._turns = Turns()
        self._poller = threading.Thread(
            target=serve, args=(self._producer, self._turns, self._stop), name="tradewire-publisher", daemon=True
        )
        self._poller.start()
        METRICS.opened(self)

    def prepare(self, *types: str) -> None:
        """Looks up the schema ids of event types now, so that their first ``publish`` does not wait for the registry.

        Raises:
            UnknownEventType, ContractError (not registered), RegistryUnavailable, PublisherClosed, PublisherForked.
        """
        for type in types:
            if self._refusal is not None:
                raise self._refusal.with_traceback(None)
            if type not in self._routes:
                self._routes[type] = Route(self.contract, type)

    def publish(
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
        """Validates, encodes and queues one event, and returns its handle.

        ``subject`` is the aggregate id and the record's key. Without ``time_ns`` the event occurred now. Without
        ``correlation_id`` the event joins the current flow (``tradewire.core.correlation``) with its cause; outside a
        flow it starts one, whose correlation id is the event's own id. ``idempotency_key`` makes the id a function of
        type, subject and key: publishing again gives the same event.

        Raises:
            EventInvalid, UnknownEventType: the event breaks the contract.
            QueueFull, EventTooLarge, PublisherClosed, PublisherForked, PublisherFailed.
            ContractError, RegistryUnavailable: the schema id could not be looked up, on first use of a type.
            After any of these nothing of the event has reached Kafka.
        """
        if id is None:
            id = new_id() if idempotency_key is None else derived_id(type, subject, idempotency_key)
        if correlation_id is None:
            current = current_correlation()
            if current is None:
                correlation_id = id
            else:
                correlation_id = current.correlation_id
                if causation_id is None:
                    causation_id = current.causation_id
        if time_ns is None:
            time_ns = time.time_ns()
        delivery = Delivery(id, self.ledger)
        self._send(
            type, data, subject, source or self.source, time_ns, id, correlation_id, causation_id, sequence, tags,
            delivery._settle,
        )  # fmt: skip
        return delivery

    def publish_event(self, event: Event) -> Delivery:
        """Publishes a whole event as it is: id, time, correlation and causation are the event's own.

        Raises as ``publish`` does.
        """
        delivery = Delivery(event.id, self.ledger)
        self._send(
            event.type, event.data, event.subject, event.source, event.time_ns, event.id, event.correlation_id,
            event.causation_id, event.sequence, event.tags, delivery._settle,
        )  # fmt: skip
        return delivery

    def publish_many(self, events: Iterable[Event | tuple[str, Mapping[str, Any], str]]) -> int:
        """Publishes events in order and returns how many were taken; makes no handles, so ask ``flush`` or ``close``.

        A tuple is type, data and subject of an event that occurs now and, outside a flow, starts its own. ``outcome``
        has the counts by type.

        Raises as ``publish`` does, at the first event that is refused; those before it are taken.
        """
        send, settle, taken = self._send, self._settle, 0
        for event in events:
            if isinstance(event, tuple):
                type, data, subject = event
                id = new_id()
                flow, cause = current_correlation() or (id, None)
                send(type, data, subject, self.source, time.time_ns(), id, flow, cause, None, None, settle)
                taken += 1
                continue
            send(
                event.type, event.data, event.subject, event.source, event.time_ns, event.id, event.correlation_id,
                event.causation_id, event.sequence, event.tags, settle,
            )  # fmt: skip
            taken += 1
        return taken

    def _send(
        self,
        type: str,
        data: Mapping[str, Any],
        subject: str,
        source: str,
        time_ns: int,
        id: str,
        correlation_id: str,
        causation_id: str | None,
        sequence: int | None,
        tags: Mapping[str, str] | None,
        settle: Settle,
    ) -> None:
        """The hot path. librdkafka takes headers as text and makes UTF-8 of them itself, which is cheaper than here."""
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        try:
            route = self._routes.get(type)
            if route is None:
                self.prepare(type)
                route = self._routes[type]
            value = route.encode(data)
            if len(value) > self._bytes_max:
                raise too_large(route, subject, len(value), self._bytes_max)
            digits, second = str(time_ns), self._second
            in_second = digits[:-9] == second[0]
            headers: list[OutHeader] = [
                CE_SPEC_VERSION,
                ("ce_id", id),
                route.ce_type,
                ("ce_source", source),
                ("ce_time", f"{second[1]}{digits[-9:]}Z" if in_second else self._time_text(time_ns, digits)),
                ("ce_subject", subject),
                ("ce_correlationid", correlation_id),
                CE_CONTENT_TYPE,
            ]
            if causation_id is not None or sequence is not None or tags:
                headers[7:7] = rare_headers(causation_id, sequence, tags)
            if not route.published % _SERVE_EVERY:
                self._producer.poll(0)
                self._turns.taken += 1
                settle = self.ledger.timed(settle)
            try:
                # By position, as keywords cost a third more: topic, value, key, partition, callback, (its alias), time.
                self._produce(route.topic, value, subject, -1, settle, None, 0, headers)
            except BufferError:
                self._wait_for_room(route, value, subject, headers, settle)
            except KafkaException as error:
                raise refusal(error.args[0], route, subject, self._bytes_max) from error
        except TradewireError as error:
            if self.counts_full or not isinstance(error, QueueFull):
                self.ledger.refuse(error)
            raise
        # No call stands between reading and writing, so no other thread gets in.
        route.published += 1
        if self._refusal is not None:  # closed by another thread meanwhile, which may have missed this event
            self._give_up()

    def _time_text(self, time_ns: int, digits: str) -> str:
        """The text of a time; all but its nanoseconds is kept for the other events of the same second."""
        text = format_time_ns(time_ns)
        if time_ns >= NS_PER_SECOND:
            self._second = (digits[:-9], text[:20])
        return text

    def _wait_for_room(
        self, route: Route, value: bytes, subject: str, headers: list[OutHeader], settle: Settle
    ) -> None:
        deadline = time.monotonic() + self._limits.block_ms_max / 1000
        while time.monotonic() < deadline and self._refusal is None:
            self._producer.poll(0.005)
            try:
                self._produce(route.topic, value, subject, -1, settle, None, 0, headers)
            except BufferError:
                continue
            except KafkaException as error:
                raise refusal(error.args[0], route, subject, self._bytes_max) from error
            return
        raise self._refusal or QueueFull(
            f"{route.type} of {subject}: the queue ({len(self._producer)} events) had no room for "
            f"{self._limits.block_ms_max} ms (publisher.block_ms_max): is the broker away or too slow?",
            type=route.type,
            subject=subject,
        )

    def _settle(self, error: KafkaError | None, message: Message) -> None:
        """Delivery report of events without a handle."""
        if error is not None:
            headers: Any = dict(message.headers() or ())
            event_id = (headers.get("ce_id") or b"").decode(errors="replace")
            self.ledger.failed(event_id, delivery_error(error, str(message.topic()), event_id))

    @property
    def outcome(self) -> Outcome:
        """The counts so far. Events still on their way are in ``published`` and not yet in ``unknown``."""
        per_type = {route.type: route.published for route in self.routes()}
        ledger = self.ledger
        return Outcome(sum(per_type.values()), ledger.unknown, tuple(ledger.unknown_ids), per_type)

    @property
    def pending(self) -> int:
        """Events whose delivery is not settled yet."""
        return len(self._producer)

    def routes(self) -> list[Route]:
        """The event types published so far, with their topics and counts."""
        return list(self._routes.values())

    def wait_for_broker(self, timeout: float = 10.0) -> None:
        """Waits until a broker answers; for programs that would rather stop at once than fill their queue.

        Raises:
            KafkaUnavailable: none did within ``timeout`` seconds.
            PublisherClosed, PublisherForked.
        """
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        try:
            self._producer.list_topics(timeout=timeout)
        except KafkaException as error:
            raise KafkaUnavailable(
                f"{self._servers}: no broker answers within {timeout:g} s ({error.args[0].str()}): is Kafka up, and is "
                "kafka.bootstrap_servers right?"
            ) from error

    def flush(self, timeout: float | None = None) -> int:
        """Waits until every event taken so far is settled, at most ``timeout`` seconds; returns how many are not.

        0 does not mean that all were confirmed: see ``outcome``. None waits as long as the delivery timeout.

        Raises:
            PublisherForked.
        """
        if isinstance(self._refusal, PublisherForked):
            raise self._refusal.with_traceback(None)
        left: int = self._producer.flush(self._limits.delivery_timeout_ms / 1000 if timeout is None else timeout)
        return left

    def close(self, timeout: float | None = None) -> Outcome:
        """Takes no more events, waits at most ``timeout`` seconds for deliveries and returns what is known.

        Events not settled by then are given up and count as unknown; their handles raise DeliveryUnknown. Closing again
        returns the same. None waits as long as the delivery timeout. In a forked child nothing is done.
        """
        if self._refusal is None:
            self._refusal = PublisherClosed("this publisher is closed; make a new one")
            self._producer.flush(self._limits.delivery_timeout_ms / 1000 if timeout is None else timeout)
            self._give_up()
            METRICS.closed(self)
            self._stop.set()
            self._poller.join()
        elif isinstance(self._refusal, PublisherClosed):
            self._stop.wait(timeout)
        return self.outcome

    def _give_up(self) -> None:
        self._producer.purge(in_queue=True, in_flight=True, blocking=True)
        self._producer.flush(_EXIT_FLUSH_SECONDS)

    def _forked(self) -> None:
        self._refusal = PublisherForked(
            "this publisher was made before fork() and its threads are not in this process: make one after the fork"
        )
        # Destroying it here would wait for threads that do not exist; it is left alone until the process ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._producer))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome = self.close()
        if outcome.unknown and kind is None:
            raise DeliveryUnknown(
                f"{outcome.unknown} of {outcome.published} events were not confirmed, the first of them "
                f"{outcome.unknown_ids[0]}: publish them again only with the same ids",
                event_ids=outcome.unknown_ids,
            )


def _close_at_exit() -> None:
    for publisher in METRICS.open_publishers():
        if isinstance(publisher, Publisher):
            outcome = publisher.close(_EXIT_FLUSH_SECONDS)
            if outcome.unknown:
                _log.error("events unknown at exit", unknown=outcome.unknown, ids=outcome.unknown_ids[:10])


def _after_fork() -> None:
    METRICS.after_fork()
    for publisher in METRICS.open_publishers():
        if isinstance(publisher, Publisher):
            publisher._forked()
            METRICS.closed(publisher)


atexit.register(_close_at_exit)
os.register_at_fork(after_in_child=_after_fork)
