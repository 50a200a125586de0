"""What happens to one record: decoded, checked for repeats, handed to its handlers, retried. No Kafka, no threads.

The contract with a handler, whatever calls it:

- It gets one ``Event`` of the newest version of its type. While it runs the event's flow is current: what it publishes
  joins the flow and names the event as its cause; its log lines carry both; its spans belong to the publisher's trace.
- Handlers of an event are called one after the other. One that raises is called again by its ``RetryPolicy``; those
  before it, which are done, are not; those after it wait.
- When a handler gives up, or the record cannot be read, the event is parked. A re-drive calls all its handlers again.
- At least once: a process that ends in between leaves the event to be handled again, by all its handlers.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Final

from tradewire.core.correlation import correlation
from tradewire.core.errors import RegistryUnavailable, TradewireError, UnknownSchemaId
from tradewire.core.logs import get_logger
from tradewire.processors.dedupe import DedupeWindow
from tradewire.processors.records import REPLAY_HEADER, RawRecord
from tradewire.processors.retries import GiveUp, RetryPolicy
from tradewire.processors.subscriber_metrics import SubscriberMetrics
from tradewire.processors.subscriptions import Subscription, Subscriptions
from tradewire.processors.tracing import ConsumerTracing
from tradewire.schemas import Codec, Event, Header, read_event

_log = get_logger(__name__)

_TYPE_HEADER: Final = "ce_type"
_ID_HEADER: Final = "ce_id"
SCHEMA_WAIT_S: Final = 0.25


class HandlerCancelled(TradewireError):
    """Raised when an ``async`` handler was cancelled from within; it is called again."""

    retriable = True


@dataclass(frozen=True, slots=True)
class Done:
    """The work of the record is done, or there was none."""


@dataclass(frozen=True, slots=True)
class Again:
    """Come back with the same job after ``delay_s``."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Park:
    """The record cannot be handled; nobody will be called for it before a human has looked at it."""

    error: BaseException
    attempts: int


Outcome = Done | Again | Park
DONE: Final = Done()
# Runs what an async handler returned, to its end, and returns when it has ended.
Await = Callable[[Awaitable[Any]], None]


@dataclass(slots=True, eq=False)
class Job:
    """A record on its way through its handlers. ``at`` is the first of them that is not done.

    ``is_letter``: it was parked and is re-driven. Then it is a repeat only of what this process itself has handled:
    what lies before the committed offset need not be done, as it may be parked.
    """

    record: RawRecord
    window: DedupeWindow
    is_letter: bool = False
    event: Event | None = None
    identity: str = ""
    handlers: Sequence[Subscription] | None = None
    at: int = 0
    attempts: int = 0
    failing_since: float | None = None
    waiting_since: float | None = None


class Handling:
    """Takes jobs to their next outcome. Thread-safe for different jobs of different keys."""

    def __init__(
        self,
        codec: Codec,
        subscriptions: Subscriptions,
        policy: RetryPolicy,
        *,
        group: str,
        run: Await,
        metrics: SubscriberMetrics,
        tracing: ConsumerTracing,
        unknown_schema_wait_s: float = 60.0,
        compacted: frozenset[str] = frozenset(),
        random: Random | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._codec = codec
        self._subscriptions = subscriptions
        self._policy = policy
        self._group = group
        self._run = run
        self._metrics = metrics
        # Looked up once: finding the series of a label costs as much as counting.
        self._events = cache(lambda type: metrics.events.labels(group, type))
        self._reached = cache(lambda topic: metrics.reached_seconds.labels(group, topic))
        self._handled = cache(lambda handler: metrics.handling_seconds.labels(group, handler))
        self._tracing = tracing
        self._unknown_schema_wait_s = unknown_schema_wait_s
        self._compacted = compacted
        self._random = random or Random()
        self._now = now

    def passes_over(self, record: RawRecord) -> str | None:
        """Why a record concerns no handler, told from its headers alone; None if it may concern one.

        What is of no concern is not decoded: it can neither poison this group nor wait for a registry.
        """
        if record.value is None and record.topic in self._compacted:
            return "tombstone"
        type, replayed = None, False
        for name, value in record.headers:
            if name == _TYPE_HEADER:
                type = value
            elif name == REPLAY_HEADER:
                replayed = True
        if type is None or self._subscriptions.of(type.decode(errors="replace"), is_replayed=replayed):
            return None
        return "no_handler"

    def attempt(self, job: Job) -> Outcome:
        """Takes a job as far as it goes now. Blocks for as long as a handler runs.

        Raises:
            BaseException: what a handler raised that is no Exception (SystemExit); the record is not done.
        """
        if job.event is None:
            outcome = self._read(job)
            if outcome is not None:
                return outcome
        assert job.event is not None and job.handlers is not None
        while job.at < len(job.handlers):
            subscription = job.handlers[job.at]
            if self._subscriptions.holds(subscription):
                failed = self._call(job, subscription)
                if failed is not None:
                    return failed
            job.at += 1
            job.attempts, job.failing_since = 0, None
        job.window.remember(job.identity, job.record.offset)
        self._events(job.event.type).inc()
        return DONE

    def _read(self, job: Job) -> Outcome | None:
        record = job.record
        try:
            event = read_event(
                self._codec,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                timestamp_ms=record.timestamp,
                value=record.value,
                headers=list(record.headers),
            )
        except (RegistryUnavailable, UnknownSchemaId) as error:
            return self._hold(job, error)
        except Exception as error:  # whatever a record's bytes do to a reader, the other keys have to go on
            return Park(error, 1)
        replay = _replay_id(record.headers)
        job.identity = _identity(event.id, replay)
        seen = job.window.repeated(job.identity, record.offset)
        if seen is not None and (seen.is_mine or not job.is_letter):
            job.window.remember(job.identity, record.offset, is_mine=False)
            self._metrics.passed_over.labels(self._group, "repeat").inc()
            return DONE
        job.event = event
        job.handlers = self._subscriptions.of(event.type, is_replayed=replay is not None)
        if not job.handlers:
            self._metrics.passed_over.labels(self._group, "no_handler").inc()
            return DONE
        self._reached(record.topic).observe(max(0.0, time.time() - record.timestamp / 1000))
        return None

    def _hold(self, job: Job, error: TradewireError) -> Outcome:
        """The record may be fine: it waits without end for a registry, and as long as the setting says for an id."""
        now = self._now()
        if job.waiting_since is None:
            job.waiting_since = now
            _log.warning("waiting for a schema", reason=str(error), topic=job.record.topic, offset=job.record.offset)
        self._metrics.registry_waits.labels(self._group).inc()
        if isinstance(error, UnknownSchemaId) and now - job.waiting_since >= self._unknown_schema_wait_s:
            return Park(error, 1)
        return Again(SCHEMA_WAIT_S)

    def _call(self, job: Job, subscription: Subscription) -> Outcome | None:
        event = job.event
        assert event is not None
        started = time.perf_counter()
        with correlation(event.correlation_id, event.id):
            try:
                with self._tracing.of(event, job.record, subscription.name):
                    returned = subscription.handler(event)
                    if inspect.isawaitable(returned):
                        self._run(returned)
                return None
            except Exception as error:
                return self._failed(job, subscription, error)
            finally:
                self._handled(subscription.name).observe(time.perf_counter() - started)

    def _failed(self, job: Job, subscription: Subscription, error: Exception) -> Outcome:
        now = self._now()
        job.attempts += 1
        if job.failing_since is None:
            job.failing_since = now
        policy = subscription.retry or self._policy
        decided = policy.after(error, job.attempts, now - job.failing_since, self._random)
        record = job.record
        said = {
            "handler": subscription.name,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "attempts": job.attempts,
            "error": repr(error),
        }
        if isinstance(decided, GiveUp):
            _log.error("handler gave up", why=decided.reason, exc_info=error, **said)
            return Park(error, job.attempts)
        self._metrics.retries.labels(self._group, subscription.name, type(error).__name__).inc()
        _log.warning("handler failed, called again", again_in_s=round(decided.delay_s, 3), **said)
        return Again(decided.delay_s)


def _replay_id(headers: Sequence[Header]) -> bytes | None:
    for name, value in headers:
        if name == REPLAY_HEADER:
            return value or b""
    return None


def _identity(event_id: str, replay: bytes | None) -> str:
    """What repeats are told by: a replayed event is another one than its original, and than that of another replay."""
    return event_id if replay is None else f"{event_id} {replay.decode(errors='replace')}"


def identity_of(headers: Sequence[Header]) -> str | None:
    """The same of a record that is not decoded; None if its headers do not name its id."""
    id = next((value for name, value in headers if name == _ID_HEADER), None)
    return None if id is None else _identity(id.decode(errors="replace"), _replay_id(headers))
