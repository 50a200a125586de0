"""The synchronous publisher."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, Unpack, overload

from confluent_kafka import KafkaException

from tradewire.core import (
    EventInvalid,
    KafkaUnavailable,
    Settings,
    current_correlation,
    derived_id,
    get_logger,
    new_id,
)
from tradewire.producers._client import producer_config as producer_config
from tradewire.producers._column_calls import ColumnCalls
from tradewire.producers._refusals import bad_attribute
from tradewire.producers._sender import Sender
from tradewire.producers._typed import subject_of_data, taken_apart
from tradewire.producers.convenience import Attributes, ConvenienceCalls
from tradewire.producers.delivery import Delivery
from tradewire.producers.errors import DeliveryUnknown, PublisherClosed, PublisherForked
from tradewire.producers.metrics import METRICS
from tradewire.producers.transaction import Transaction, Transactions
from tradewire.schemas import Contract, Event, TypedData

_log = get_logger(__name__)
_EXIT_FLUSH_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a publisher knows of its events. ``unknown_ids`` holds the first thousand of the ``unknown`` ones.

    ``in_spool`` events are on disk, those of earlier processes among them, and are not unknown.
    """

    published: int
    unknown: int
    unknown_ids: tuple[str, ...]
    per_type: Mapping[str, int]
    in_spool: int = 0


class Publisher(ColumnCalls, ConvenienceCalls):
    """Publishes events to Kafka. Thread-safe; not usable in a forked child.

    Order: events of one subject reach their partition in the order in which ``publish`` took them, also across retries
    and through the spool. Types that ``topics.yaml`` calls urgent have a producer, queue and connections of their own,
    and overtake all others; the order of a subject then holds among its urgent events and among its other ones.
    Waiting: ``publish`` never waits for the network, except once per event type for its schema id (see ``prepare``);
    when the local queue is full it waits at most ``publisher.block_ms_max``. Loss: an event taken is in memory only
    until its delivery is settled; ``close`` (or leaving the ``with`` block) waits for that and says what remained
    unknown. With ``publisher.spool_folder`` events wait on disk while no broker answers (see
    ``tradewire.producers.spool``). A publisher that is never closed is closed at exit; a signal that ends the process
    is no exit, see ``exit_on_sigterm``.
    """

    def __init__(self, settings: Settings, contract: Contract | None = None, *, source: str | None = None) -> None:
        """Starts a producer; does not wait for a broker. ``source`` is the events' own, where they name none.

        Raises:
            SchemaFileError: a file of the catalogue is at fault.
            PublisherFailed: librdkafka refuses the settings; quotes it.
            SpoolUnusable: the spool's folder is in use by another publisher, or its file cannot be read.
        """
        super().__init__(settings, contract, source)
        self._ended = threading.Event()
        self._transactions: Transactions | None = None
        METRICS.opened(self)

    @overload
    def publish(self, type: TypedData, *, subject: str | None = None, **attributes: Unpack[Attributes]) -> Delivery: ...
    @overload
    def publish(
        self, type: str, data: Mapping[str, Any], *, subject: str, **attributes: Unpack[Attributes]
    ) -> Delivery: ...
    def publish(
        self,
        type: Any,
        data: Any = None,
        *,
        subject: Any = None,
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

        ``publish(OrderCreated(...))`` or ``publish("trading.order.created", {...}, subject=order_id)``. ``subject`` is
        the aggregate id and the record's key; an object of ``tradewire.schemas.types`` has it in its fields. Without
        ``time_ns`` the event occurred now. Without ``correlation_id`` the event joins the current flow
        (``tradewire.core.correlation``) with its cause; outside a flow it starts one, whose correlation id is the
        event's own id. ``idempotency_key`` makes the id a function of type, subject and key: publishing again gives the
        same event.

        Raises:
            EventInvalid, UnknownEventType: the event breaks the contract, in its data or an attribute; names it.
            QueueFull, SpoolFull, EventTooLarge, PublisherClosed, PublisherForked, PublisherFailed.
            ContractError, RegistryUnavailable: the schema id could not be looked up, on first use of a type.
            After any of these nothing of the event has reached Kafka.
        """
        if data is None or subject is None:
            type, data, subject = taken_apart(type, data, subject, self.contract.catalogue)
        if id is None:
            id = new_id() if idempotency_key is None else _derived(type, subject, idempotency_key)
        elif not id:
            raise EventInvalid(f"{type}: id is empty: consumers know an event by it", field="id")
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

    def _publish_draft(self, draft: tuple[str, dict[str, Any], str], attributes: Attributes) -> Delivery:
        type, data, subject = draft
        return self.publish(type, data, subject=subject, **attributes)

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

    def publish_many(self, events: Iterable[Event | TypedData | tuple[str, Mapping[str, Any], str]]) -> int:
        """Publishes events in order and returns how many were taken; makes no handles, so ask ``flush`` or ``close``.

        A tuple is type, data and subject; it and an object of ``tradewire.schemas.types`` become an event that occurs
        now and, outside a flow, starts its own. ``outcome`` has the counts by type.

        Raises as ``publish`` does, at the first event that is refused; those before it are taken.
        """
        send, settle, taken = self._send, self._settle, 0
        # A report has no headers, so each takes its event's id along.
        for event in events:
            if isinstance(event, Event):
                send(
                    event.type, event.data, event.subject, event.source, event.time_ns, event.id, event.correlation_id,
                    event.causation_id, event.sequence, event.tags, partial(settle, event.id),
                )  # fmt: skip
            else:
                if isinstance(event, tuple):
                    type, data, subject = event
                else:
                    type, data, subject = event.event_type, event.to_data(), subject_of_data(event)
                id = new_id()
                flow, cause = current_correlation() or (id, None)
                now = time.time_ns()
                send(type, data, subject, self.source, now, id, flow, cause, None, None, partial(settle, id))
            taken += 1
        return taken

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All events published in the block become visible together, over all their topics, or none does.

        ``with publisher.transaction() as transaction: transaction.publish(...)``. See ``Transaction`` for what is true
        after an exception, and for the limits. Blocks: for the broker at the start, at the commit and at the abort, and
        while another thread of this publisher has a transaction.

        Raises:
            KafkaUnavailable, NotAuthorised, PublisherFailed: it could not begin; the block was not run.
            TransactionAborted: no event will be visible.
            TransactionUnknown, PublisherFenced: all of them may be visible, or none.
            What the block raises: no event will be visible.
        """
        transactions = self.transactions()
        transaction = transactions.begin()
        try:
            yield transaction
        except BaseException:
            transactions.abort(transaction)
            raise
        transactions.commit(transaction)

    def transactions(self) -> Transactions:
        """Begin, commit and abort as calls of their own; ``transaction`` is the way to use them."""
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        with self._making_lane:
            if self._transactions is None:
                self._transactions = Transactions(self._settings, self.contract, self.source)
            return self._transactions

    @property
    def outcome(self) -> Outcome:
        """The counts so far. Events still on their way are in ``published`` and not yet in ``unknown``."""
        per_type = {route.type: route.published for route in self.routes()}
        ledger = self.ledger
        in_spool = self.spool.rows if self.spool is not None else 0
        return Outcome(sum(per_type.values()), ledger.unknown, tuple(ledger.unknown_ids), per_type, in_spool)

    @property
    def is_safe_on_disk(self) -> bool:
        """Whether every event that was accepted and is not settled lies in the spool: then nobody need wait for it.

        False without a spool, and while brokers answer: events are in memory until they are confirmed.
        """
        return self.spool is not None and self.spool.protects

    @property
    def broker_is_away(self) -> bool:
        """Whether the breaker is open because no broker answers, not only because a spool had events from the start."""
        return self._guard.breaker.away

    def wait_for_broker(self, timeout: float = 10.0) -> None:
        """Waits until a broker answers; for programs that would rather stop at once than fill their queue.

        Raises:
            KafkaUnavailable: none did within ``timeout`` seconds.
            PublisherClosed, PublisherForked.
        """
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        try:
            self._lane("bulk").producer.list_topics(timeout=timeout)
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
        return self._wait_settled(self._limits.delivery_timeout_ms / 1000 if timeout is None else timeout, leave=False)

    def close(self, timeout: float | None = None) -> Outcome:
        """Takes no more events, waits at most ``timeout`` seconds for deliveries and returns what is known.

        Events not settled by then are given up and count as unknown; their handles raise DeliveryUnknown. With a spool
        they are left in it instead (``in_spool``), their handles raise LeftInSpool, and while no broker answers nothing
        is waited for. Closing again returns the same. None waits as long as the delivery timeout. In a forked child
        nothing is done.
        """
        if self._refusal is None:
            self._refusal = PublisherClosed("this publisher is closed; make a new one")
            if self._transactions is not None:
                self._transactions.close()
            patience = self._limits.delivery_timeout_ms / 1000 if timeout is None else timeout
            self._end(patience, _EXIT_FLUSH_SECONDS)
            METRICS.closed(self)
            self._ended.set()
        elif isinstance(self._refusal, PublisherClosed):
            self._ended.wait(timeout)
        return self.outcome

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


def _derived(type: str, subject: str, key: str) -> str:
    try:
        return derived_id(type, subject, key)
    except TypeError as error:  # of the library that makes it
        raise bad_attribute(type, {"subject": subject, "idempotency_key": key}, error) from error


def _close_at_exit() -> None:
    for publisher in METRICS.open_publishers():
        if isinstance(publisher, Publisher):
            outcome = publisher.close(_EXIT_FLUSH_SECONDS)
            if outcome.unknown:
                _log.error("events unknown at exit", unknown=outcome.unknown, ids=outcome.unknown_ids[:10])


def _after_fork() -> None:
    METRICS.after_fork()
    for publisher in METRICS.open_publishers():
        if isinstance(publisher, Sender):
            publisher._forked()
            METRICS.closed(publisher)


atexit.register(_close_at_exit)
os.register_at_fork(after_in_child=_after_fork)
