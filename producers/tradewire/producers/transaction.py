"""All or none, over several topics: Kafka transactions, with what they cannot promise said at each step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Final, Unpack, overload

from confluent_kafka import KafkaError, KafkaException
from prometheus_client import Counter

from tradewire.core import (
    KafkaUnavailable,
    PublishError,
    Settings,
    TradewireError,
    current_correlation,
    derived_id,
    get_logger,
    new_id,
)
from tradewire.producers._lanes import BULK
from tradewire.producers._ledger import Ledger
from tradewire.producers._sender import Sender
from tradewire.producers._typed import taken_apart
from tradewire.producers.convenience import Attributes
from tradewire.producers.delivery import not_authorised
from tradewire.producers.errors import (
    DeliveryUnknown,
    NotAuthorised,
    PublisherClosed,
    PublisherFailed,
    PublisherFenced,
    TransactionAborted,
    TransactionUnknown,
)
from tradewire.producers.metrics import METRICS
from tradewire.schemas import Contract, Event, TypedData

_log = get_logger(__name__)
TRANSACTIONS: Final = Counter(
    "tradewire_publisher_transactions", "Transactions of publishers, by how they ended.", labelnames=["outcome"]
)
_FENCED: Final = (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH)
_GIVE_UP_SECONDS: Final = 1.0


class Transaction:
    """Events that become visible together, or never. Made by ``Publisher.transaction``; for one thread at a time.

    Who reads ``read_committed`` sees all of them or none; who does not, sees them at once and aborted ones for ever.
    Workers, sink and replay of this platform read committed. Events of an open transaction also hold up the readers of
    its partitions, those of other producers included, so keep it short: after ``publisher.transaction_timeout_ms`` the
    broker aborts it.

    ``publish`` neither waits nor gives a handle: the commit confirms all. The spool and the urgent lane are not for
    transactions; while no broker answers they fail. Order per subject is kept within transactions, and not between them
    and what the publisher publishes outside.

    ``publisher.transactional_id`` fences: a later publisher with the same id aborts what an earlier one (hung, killed,
    believed dead) left open, and the earlier one can never commit again. Give every running instance its own. Without
    one, each publisher has a random id, and what a killed one left open holds readers up until its timeout.

    What is true after an exception. When it could not begin: the block has not run. From the block: aborted, or, if the
    broker could not be told, open until its timeout and then aborted. TransactionAborted: aborted. TransactionUnknown
    (the broker did not answer the commit, or the connection broke): committed or aborted, and only a reader can tell.
    PublisherFenced: aborted, unless its commit had just been written when the successor came. The producer is thrown
    away after all but the first three, and the next transaction begins with a new one, which settles the old one first.

    Not covered: librdkafka does not have KIP-890 (librdkafka#5423), so a produce request that the network delays beyond
    the end of its transaction may fall into the next one of the same id (Jepsen, Bufstream 0.1.0). A new producer after
    every unknown end makes that less likely, not impossible.
    """

    __slots__ = ("_sender",)

    def __init__(self, sender: _TransactionalSender) -> None:
        self._sender = sender

    @overload
    def publish(self, type: TypedData, *, subject: str | None = None, **attributes: Unpack[Attributes]) -> str: ...
    @overload
    def publish(self, type: str, data: Mapping[str, Any], *, subject: str, **attributes: Unpack[Attributes]) -> str: ...
    def publish(
        self,
        type: str | TypedData,
        data: Mapping[str, Any] | None = None,
        *,
        subject: str | None = None,
        **attributes: Unpack[Attributes],
    ) -> str:
        """Queues an event as ``Publisher.publish`` does and returns its id.

        Raises as ``Publisher.publish`` does. Leaving the block with the error aborts; an event that was refused and
        whose error was caught is not part of the transaction, the others are.
        """
        name, fields, key = taken_apart(type, data, subject, self._sender.contract.catalogue)
        get: Callable[[str], Any] = attributes.get
        idempotency_key = get("idempotency_key")
        id = get("id") or (new_id() if idempotency_key is None else derived_id(name, key, idempotency_key))
        flow, cause = current_correlation() or (id, None)
        if (given := get("correlation_id")) is not None:
            flow, cause = given, None
        now = get("time_ns")
        self._sender._send(
            name, fields, key, get("source") or self._sender.source, time.time_ns() if now is None else now, id, flow,
            get("causation_id") or cause, get("sequence"), get("tags"), partial(self._sender._settle, id),
        )  # fmt: skip
        return id

    def publish_event(self, event: Event) -> str:
        """Queues a whole event as it is."""
        self._sender._send(
            event.type, event.data, event.subject, event.source, event.time_ns, event.id, event.correlation_id,
            event.causation_id, event.sequence, event.tags, partial(self._sender._settle, event.id),
        )  # fmt: skip
        return event.id

    def publish_many(self, events: Iterable[Event | TypedData]) -> int:
        """Queues events in order and returns how many; raises at the first that is refused."""
        taken = 0
        for event in events:
            if isinstance(event, Event):
                self.publish_event(event)
            else:
                self.publish(event)
            taken += 1
        return taken


class _FirstFailure(Ledger):
    """Of a transaction only the first failure matters; the others follow from it."""

    first: PublishError | None = None

    def failed(self, event_id: str, error: PublishError) -> None:
        # Most are only given up because one failed.
        if self.first is None or type(self.first) is DeliveryUnknown:
            self.first = error


class _TransactionalSender(Sender):
    _watched: ClassVar[bool] = False

    def __init__(self, settings: Settings, contract: Contract, source: str) -> None:
        given = settings.publisher.transactional_id
        self._transactional_id = given or f"{settings.kafka.client_id}-{source}-{new_id()}"
        super().__init__(settings, contract, source)
        self.ledger = self.failures = _FirstFailure(self.ledger.principal)

    def _extra_config(self) -> dict[str, Any]:
        timeout_ms = self._limits.transaction_timeout_ms
        return {
            "transactional.id": self._transactional_id,
            "transaction.timeout.ms": timeout_ms,
            "message.timeout.ms": timeout_ms,
        }


class Transactions:
    """One after the other, on their own producer. ``begin`` waits for its turn; ``commit`` or ``abort`` ends it."""

    def __init__(self, settings: Settings, contract: Contract, source: str) -> None:
        self._settings, self._contract, self._source = settings, contract, source
        self._patience = settings.publisher.transaction_timeout_ms / 1000
        self._turn = threading.Lock()
        self._sender: _TransactionalSender | None = None
        self._closed = False

    def begin(self) -> Transaction:
        """Starts a transaction; makes the producer first where there is none. Blocks. See ``Publisher.transaction``."""
        self._turn.acquire()
        try:
            if self._closed:
                raise PublisherClosed("this publisher is closed; make a new one")
            sender = self._sender or self._new()
            sender.failures.first = None
            try:
                sender._lane(BULK).producer.begin_transaction()
            except KafkaException as error:
                self._discard()
                raise _failed(error.args[0], "cannot begin", sender) from error
            return Transaction(sender)
        except BaseException:
            self._turn.release()
            raise

    def _new(self) -> _TransactionalSender:
        sender = _TransactionalSender(self._settings, self._contract, self._source)
        try:
            self._until_done(sender._lane(BULK).producer.init_transactions)
        except KafkaException as error:
            _throw_away(sender)
            code, said = error.args[0].code(), error.args[0].str()
            if code == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
                principal = sender.ledger.principal
                raise NotAuthorised(
                    f"{principal} may not use transactional id {sender._transactional_id} ({said}): `kafka-acls.sh "
                    f"--add --allow-principal {principal} --operation Write --transactional-id "
                    f"{sender._transactional_id}`"
                ) from error
            if error.args[0].retriable() or code in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT):
                raise KafkaUnavailable(
                    f"{self._settings.kafka.bootstrap_servers}: no transaction could begin within {self._patience:g} s "
                    f"({said}): is Kafka up?"
                ) from error
            raise _failed(error.args[0], "cannot begin", sender) from error
        METRICS.opened(sender)
        self._sender = sender
        return sender

    def _until_done(self, step: Callable[[float], Any]) -> None:
        """Repeats a step that may be repeated, until twice the transaction's timeout: the broker has decided then."""
        deadline = time.monotonic() + 2 * self._patience
        while True:
            try:
                step(max(0.1, min(self._patience, deadline - time.monotonic())))
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() >= deadline:
                    raise
                continue
            return

    def commit(self, transaction: Transaction) -> None:
        """Waits for all deliveries and commits. Raises as ``Publisher.transaction`` says; the turn is over then."""
        sender = transaction._sender
        try:
            self._until_done(sender._lane(BULK).producer.commit_transaction)
            TRANSACTIONS.labels("committed").inc()
        except KafkaException as error:
            kafka, first = error.args[0], sender.failures.first
            if kafka.txn_requires_abort():
                self._abort(sender)
                cause: Exception | None = first
                if first is None or type(first) is DeliveryUnknown:
                    cause = _failed(kafka, kafka.str(), sender)
                raise TransactionAborted(f"aborted: {cause}", code=kafka.name()) from cause
            TRANSACTIONS.labels("unknown").inc()
            self._discard()
            raise _failed(kafka, "may be committed or aborted", sender) from error
        except BaseException:
            self._discard()
            raise
        finally:
            self._turn.release()

    def abort(self, transaction: Transaction) -> None:
        """Gives the transaction up. Never raises: what led here is the error to see."""
        try:
            self._abort(transaction._sender)
        finally:
            self._turn.release()

    def _abort(self, sender: _TransactionalSender) -> None:
        try:
            self._until_done(sender._lane(BULK).producer.abort_transaction)
            TRANSACTIONS.labels("aborted").inc()
        except KafkaException as error:
            TRANSACTIONS.labels("abandoned").inc()
            _log.warning("a transaction is left to its timeout, which aborts it", error=error.args[0].str())
            self._discard()

    def _discard(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            METRICS.closed(sender)
            _throw_away(sender)

    def close(self) -> None:
        """Waits for the transaction at hand, and takes no more."""
        with self._turn:
            self._closed = True
            self._discard()


def _throw_away(sender: _TransactionalSender) -> None:
    sender._refusal = PublisherClosed("this transaction is over")
    sender._end(0.0, _GIVE_UP_SECONDS)


def _failed(error: KafkaError, what: str, sender: _TransactionalSender) -> TradewireError:
    facts: dict[str, object] = {"code": error.name(), "transactional_id": sender._transactional_id}
    if error.code() in _FENCED:
        return PublisherFenced(
            f"another publisher has taken over transactional id {sender._transactional_id}: every running instance "
            "needs its own (publisher.transactional_id)",
            **facts,
        )
    if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        topics = ", ".join(sorted({route.topic for route in sender.routes()}))
        return not_authorised(topics, sender.ledger.principal, error.str(), facts)
    if what == "cannot begin":
        return PublisherFailed(f"the transaction {what}: {error.str()}", **facts)
    return TransactionUnknown(f"the transaction {what}: {error.str()}", **facts)
