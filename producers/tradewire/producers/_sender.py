"""The hot path of a publisher: routes, lanes, envelope headers, a queue with bounded waiting."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from confluent_kafka import KafkaError, KafkaException

from tradewire.core import NS_PER_SECOND, PublishError, Settings, TradewireError, get_logger
from tradewire.producers._announce import announce
from tradewire.producers._guard import Guard
from tradewire.producers._lanes import BULK, URGENT, Lane
from tradewire.producers._ledger import Ledger, Settle
from tradewire.producers._refusals import bad_attribute, refusal, too_large
from tradewire.producers._route import CE_CONTENT_TYPE, CE_SPEC_VERSION, OutHeader, Route, rare_headers
from tradewire.producers.breaker import BreakerState
from tradewire.producers.delivery import delivery_error, principal_of
from tradewire.producers.errors import PublisherForked, QueueFull
from tradewire.producers.spool import Spool
from tradewire.producers.telemetry import TracedSettle, Tracing
from tradewire.schemas import Contract, format_time_ns

_log = get_logger(__name__)
# A thread that publishes serves reports itself every so many events; see ``_client.serve``.
_SERVE_EVERY: Final = 64
_FLUSH_SLICE_SECONDS: Final = 0.1


class Sender:
    """What ``Publisher`` is made of. Thread-safe."""

    # What a producer of this kind of publisher has besides; and whether outages are watched.
    _watched: ClassVar[bool] = True

    def __init__(self, settings: Settings, contract: Contract | None, source: str | None) -> None:
        self.contract = contract if contract is not None else Contract.load(settings)
        self.source = source or settings.publisher.source
        self.ledger = Ledger(principal_of(settings.kafka))
        # False where somebody else waits for room, tries again and counts.
        self.counts_full = True
        self._settings = settings
        self._servers = settings.kafka.bootstrap_servers
        self._limits = settings.publisher
        self._bytes_max = settings.publisher.event_bytes_max
        self._routes: dict[str, Route] = {}
        # Why publishing is refused; None while it is not.
        self._refusal: PublishError | None = None
        # The digits of the current second and its text: one tuple, so that threads see both or neither.
        self._second = ("none yet", "")
        self._tracing = Tracing(self._limits.tracing, self._servers, settings.kafka.client_id)
        # Asked anew now and then, as a service may configure its traces after it has made its publisher.
        self._traces = self._tracing.is_on()
        self._lanes: dict[str, Lane] = {}
        self._making_lane = threading.Lock()
        self.spool: Spool | None = None
        if settings.publisher.spool_folder is not None and self._watched:
            self.spool = Spool(settings, self._settle)
        self._guard = Guard(
            settings.publisher,
            self.spool,
            lambda: tuple(self._lanes.values()),
            self._lane,
            lambda: sum(route.published for route in self.routes()),
            lambda outage: announce(self.contract, self._lane(BULK), self.source, outage),
        )
        try:
            self._lane(BULK)
        except BaseException:
            if self.spool is not None:
                self.spool.close()
            raise
        if self._watched:
            self._guard.start()

    def _extra_config(self) -> dict[str, Any]:
        # With a spool nothing that librdkafka has is ever given up: it alone can write it once and only once.
        return {"message.timeout.ms": 0} if self.spool is not None else {}

    def _lane(self, name: str) -> Lane:
        """A lane; the urgent one is made when an urgent type is first published or prepared."""
        lane = self._lanes.get(name)
        if lane is None:
            with self._making_lane:
                lane = self._lanes.get(name)
                if lane is None:
                    lane = Lane(name, self._settings, self._extra_config(), self._guard.on_error)
                    self._lanes = self._lanes | {name: lane}
        return lane

    def _route(self, type: str) -> Route:
        urgent = self.contract.topics.of_type(self.contract.catalogue[type]).is_urgent(type)
        lane = self._lane(URGENT if urgent and self._watched else BULK)
        spool = self.spool
        if spool is None:
            return Route(self.contract, type, lane, lane.produce)

        def by_spool(
            topic: str, value: bytes, key: str, _partition: int, settle: Settle, _alias: None, _time: int,
            headers: list[OutHeader],
        ) -> None:  # fmt: skip
            spool.produce(lane, topic, value, key, settle, headers)

        return Route(self.contract, type, lane, by_spool)

    def prepare(self, *types: str) -> None:
        """Looks up the schema ids of event types now, so that their first ``publish`` does not wait for the registry.

        For an urgent type (``urgent`` in ``topics.yaml``) it also makes the second producer that such events have.

        Raises:
            UnknownEventType, ContractError (not registered), RegistryUnavailable, PublisherClosed, PublisherForked.
        """
        for type in types:
            if self._refusal is not None:
                raise self._refusal.with_traceback(None)
            if type not in self._routes:
                self._routes.setdefault(type, self._route(type))

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
        traced: Settle | None = None
        try:
            route = self._routes.get(type)
            if route is None:
                self.prepare(type)
                route = self._routes[type]
            value = route.encode(data)
            if not subject or not isinstance(subject, str):
                raise ValueError("subject")
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
            if self._traces:
                settle = traced = self._traced(route, subject, value, headers, settle)
            if not route.published % _SERVE_EVERY:
                if route.lane.turns.due():
                    route.lane.poll(0)
                settle = self.ledger.timed(settle)
                self._traces = self._tracing.is_on()
            try:
                # By position, as keywords cost a third more: topic, value, key, partition, callback, (its alias), time.
                route.produce(route.topic, value, subject, -1, settle, None, 0, headers)
            except BufferError:
                self._wait_for_room(route, value, subject, headers, settle)
            except KafkaException as error:
                raise refusal(error.args[0], route, subject, self._bytes_max, self.ledger.principal) from error
        except (AttributeError, TypeError, ValueError) as error:
            attributes = {
                "subject": subject, "source": source, "time_ns": time_ns, "id": id, "correlation_id": correlation_id,
                "causation_id": causation_id, "sequence": sequence, "tags": tags,
            }  # fmt: skip
            raise self._refused(bad_attribute(type, attributes, error), traced) from error
        except TradewireError as error:
            self._refused(error, traced)
            raise
        # No call stands between reading and writing, so no other thread gets in.
        route.published += 1
        if self._refusal is not None:  # closed by another thread meanwhile, which may have missed this event
            self._give_up(0.0)

    def _refused(self, error: TradewireError, traced: Settle | None) -> TradewireError:
        if self.counts_full or not isinstance(error, QueueFull):
            self.ledger.refuse(error)
            if isinstance(traced, TracedSettle):
                traced.refused(error)
        return error

    def _traced(self, route: Route, subject: str, value: bytes, headers: list[OutHeader], settle: Settle) -> Settle:
        """Events without a handle have no span of their own: they carry the active one."""
        if isinstance(settle, partial):
            self._tracing.inject(headers)
            return settle
        return self._tracing.begin(route, subject, value, headers, settle)

    def _time_text(self, time_ns: int, digits: str) -> str:
        """The text of a time; all but its nanoseconds is kept for the other events of the same second."""
        if time_ns < 0:
            raise ValueError("time_ns")
        text = format_time_ns(time_ns)
        if time_ns >= NS_PER_SECOND:
            self._second = (digits[:-9], text[:20])
        return text

    def _wait_for_room(
        self, route: Route, value: bytes, subject: str, headers: list[OutHeader], settle: Settle
    ) -> None:
        deadline = time.monotonic() + self._limits.block_ms_max / 1000
        while time.monotonic() < deadline and self._refusal is None:
            route.lane.poll(0.005)
            try:
                route.produce(route.topic, value, subject, -1, settle, None, 0, headers)
            except BufferError:
                continue
            except KafkaException as error:
                raise refusal(error.args[0], route, subject, self._bytes_max, self.ledger.principal) from error
            return
        raise self._refusal or QueueFull(
            f"{route.type} of {subject}: the queue ({len(route.lane.producer)} events) had no room for "
            f"{self._limits.block_ms_max} ms (publisher.block_ms_max): is the broker away or too slow?",
            type=route.type,
            subject=subject,
        )

    def _settle(self, event_id: str, error: KafkaError | PublishError | None, message: Any) -> None:
        """Delivery report of an event without a handle: ``partial(self._settle, id)``. A report has no headers."""
        if error is None:
            return
        if isinstance(error, KafkaError):
            topic = str(message.topic())
            self.ledger.failed(event_id, delivery_error(error, topic, event_id, self.ledger.principal))
        else:
            self.ledger.failed(event_id, error)

    @property
    def pending(self) -> int:
        """Events whose delivery is not settled yet, those in the spool among them.

        For a moment also librdkafka's own news, a lost connection for instance, until its thread has read them.
        """
        waiting = self.spool.waiting if self.spool is not None else 0
        return sum(len(lane.producer) for lane in self._lanes.values()) + waiting

    @property
    def breaker_state(self) -> BreakerState:
        """Whether brokers answer, as far as this publisher has noticed."""
        return self._guard.breaker.state

    def routes(self) -> Sequence[Route]:
        """The event types published so far, with their topics and counts."""
        return list(self._routes.values())

    def _wait_settled(self, timeout: float, *, leave: bool) -> int:
        """Waits until nothing is pending; with ``leave`` not for what is safe in the spool while no broker answers."""
        deadline = time.monotonic() + timeout
        while True:
            for lane in self._lanes.values():
                left = max(0.0, deadline - time.monotonic())
                lane.flush(left if self.spool is None else min(left, _FLUSH_SLICE_SECONDS))
            if not self.pending or time.monotonic() >= deadline:
                return self.pending
            if leave and self.spool is not None and self._guard.breaker.away:
                return self.pending
            time.sleep(0.005)

    def _end(self, timeout: float, give_up_seconds: float) -> None:
        """The steps of closing, once ``_refusal`` keeps new events out."""
        self._wait_settled(timeout, leave=True)
        if self._watched:
            self._guard.stop()
        if self.spool is not None:
            self.spool.leave()
        self._give_up(give_up_seconds)
        for lane in self._lanes.values():
            lane.stop()
        if self.spool is not None:
            self.spool.close()

    def _give_up(self, timeout: float) -> None:
        for lane in self._lanes.values():
            lane.give_up(timeout)

    def _forked(self) -> None:
        self._refusal = PublisherForked(
            "this publisher was made before fork() and its threads are not in this process: make one after the fork"
        )
        # Destroying them here would wait for threads that do not exist; they are left alone until the process ends.
        for lane in self._lanes.values():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(lane.producer))
        if self.spool is not None:
            self.spool.forked()
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.spool.connection))
