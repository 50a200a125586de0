"""Subscribing from a service: handlers, a group of its own, acknowledgement after the work. Without Faust."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self

from prometheus_client import REGISTRY, CollectorRegistry

from tradewire.core.errors import KafkaUnavailable, ProcessingError, SettingsError
from tradewire.core.logs import get_logger
from tradewire.core.settings import Settings
from tradewire.processors._lanes import HandlerLoop
from tradewire.processors._session import Membership, Session
from tradewire.processors.parking import ParkingLot
from tradewire.processors.subscriber_metrics import SubscriberMetrics
from tradewire.processors.subscriptions import Handler, Subscription, Subscriptions
from tradewire.schemas import Contract

_log = get_logger(__name__)

_AWAY_S: Final = 1.0


class SubscriberStopped(ProcessingError):
    """Raised when a subscriber is used that has ended or runs already; make a new one."""


class Subscriber:
    """Calls handlers with the events of their types: every event at least once, those of a key one after the other.

    One thread polls Kafka, ``subscriber.concurrency`` threads call handlers; async handlers run on one event loop. What
    happens to an event, and what a crash after each step leaves behind:

    1. it is read, and waits in the queue of its key.               It is read again.
    2. its handlers have done their work; or                        All of them are called again, by this process or
                                                                    by whoever has the partition then.
       it is parked, and its letter confirmed (``ParkingLot``).      It is read again and known as a letter.
    3. the offset is committed, up to the oldest event of the       Nothing is read again.
       partition whose work is not done.

    - **Order**: by key (``subscriber.order`` "partition": by partition). A key that waits for a retry, or is parked,
      holds up no other. Handlers of different keys run at the same time, so they must be thread-safe for
      ``concurrency`` above 1.
    - **Failover**: a classic consumer group with the cooperative-sticky assignor: a member that dies or joins moves its
      partitions alone; the others keep their queues and go on. A partition that leaves gets ``revoke_wait_ms`` for the
      calls that run, then what is done is committed. Of a partition that was lost nothing is committed; calls that
      still run then may overlap with those of the new owner. All members of a group have the same handlers.
    - **Slow handlers** cost no membership: Kafka is polled on, and reading is paused where the buffer is full.
    - **Repeats** by event id within ``dedupe_rows`` offsets are passed over; see ``tradewire.processors.dedupe``.
    - **Absent parts**: without a broker nothing is read, and commits are made up for later. Without the registry
      events whose schema is not known yet wait. A letter that cannot be written ends the subscriber, which has then
      acknowledged nothing of what it could not park.

    >>> with Subscriber(settings, note_order, group="notes"):       # in a thread, until the block ends
    ...     ...
    >>> Subscriber(settings, note_order, group="notes").run()       # here, until SIGTERM
    """

    def __init__(
        self,
        settings: Settings,
        *handlers: object,
        group: str,
        contract: Contract | None = None,
        instance_id: str | None = None,
        before_commit: Callable[[], object] | None = None,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        """``handlers`` are what ``subscribe`` has marked: functions, objects, modules. Does not talk to Kafka yet.

        ``instance_id`` names a static member (KIP-345): it comes back to its partitions at once after a restart. It
        joins as ``static_name(instance_id, topics)`` of the topics that its handlers need at the start: with other
        topics it comes as another member, and gets partitions when the session of the one before has ended.
        ``before_commit`` is called before each commit, on the polling thread, after the work that is to be committed: a
        publisher's ``flush``, so that nothing is acknowledged before what its handlers published is settled. If it
        returns anything but None, False or 0 the commit is put off; what it raises ends the subscriber.

        Raises:
            SubscriptionInvalid: a handler has a pattern that matches nothing, or takes no event.
            UnknownEventType: no topic is declared for a type that it matches.
            SettingsError: the group has no name.
        """
        if not group:
            raise SettingsError("a subscriber needs the name of its group: members of one group share the events")
        self.group = group
        contract = contract or Contract.load(settings)
        self.subscriptions = Subscriptions(contract.catalogue, *handlers, check=contract.topic_of)
        self.ready = threading.Event()
        self.failure: BaseException | None = None
        self._stopping = threading.Event()
        self._member = Membership(
            settings,
            group,
            contract,
            self.subscriptions,
            SubscriberMetrics.of(registry),
            instance_id,
            before_commit,
            self._stopping,
            self.ready,
        )
        self._session: Session | None = None
        self._began = threading.Lock()
        self._thread: threading.Thread | None = None

    # --- handlers

    def subscribe(self, handler: Handler, *patterns: str, **options: Any) -> Subscription:
        """Subscribes one more handler, also while the subscriber runs; options as those of ``@subscribe``.

        It gets the events whose handling begins from now on. A topic that this group has not read yet is joined within
        a second or so, from ``subscriber.begin`` on.

        Raises:
            SubscriptionInvalid: as for ``Subscriptions.subscribe``.
            UnknownEventType: no topic is declared for a type that a pattern matches.
        """
        return self.subscriptions.subscribe(handler, *patterns, **options)

    def unsubscribe(self, subscription: Subscription) -> bool:
        """Ends a subscription: no call begins any more, one that runs goes on. False if it had ended.

        Its topic is read on: events that nobody handles are acknowledged, so a handler that comes back later does not
        find what came meanwhile.
        """
        return self.subscriptions.unsubscribe(subscription)

    # --- life

    def run(self, *, handle_signals: bool = True) -> None:
        """Subscribes until ``stop``, in this thread; SIGTERM and SIGINT are a ``stop`` if this is the main thread.

        After ``stop`` calls that run get ``stop_wait_ms``, what is done is committed, and the group is left.

        Raises:
            EventsGone: a partition cannot go on without a human.
            ParkingFull, ParkingUnconfirmed: an event could not be parked; it is not acknowledged.
            ProcessingError: the consumer was fenced or failed for good.
            BaseException: what a handler raised that is no Exception; its event is not acknowledged.
            SubscriberStopped: it has run before.
        """
        with self._signals(handle_signals):
            self._run(HandlerLoop())

    async def serve(self) -> None:
        """``run`` beside the caller's event loop, on which async handlers then run. Cancelling it is a ``stop``."""
        loop = asyncio.get_running_loop()
        running = asyncio.ensure_future(asyncio.to_thread(self._run, HandlerLoop(loop)))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            self.stop()
            await running
            raise

    def start(self) -> Self:
        """``run`` in a thread of its own; what ends it early is in ``failure`` and raised by ``close``."""
        self._thread = threading.Thread(target=self._run_kept, name=f"tradewire-subscriber-{self.group}", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Asks it to end; returns at once. From any thread, signal handler or handler."""
        self._stopping.set()

    def close(self) -> None:
        """``stop``, and waits for the thread of ``start``; raises what ended it early."""
        self.stop()
        if self._thread is not None:
            self._thread.join()
        if self.failure is not None:
            raise self.failure

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()
        if self.failure is not None and error is None:
            raise self.failure

    @property
    def assignment(self) -> frozenset[tuple[str, int]]:
        """The partitions (topic, number) that this member has now."""
        return frozenset() if self._session is None else frozenset(self._session.owned)

    @contextmanager
    def _signals(self, wanted: bool) -> Iterator[None]:
        if not wanted or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.stop()

    def _run_kept(self) -> None:
        try:
            self._run(HandlerLoop())
        except BaseException as error:  # raised by close
            self.failure = error

    def _run(self, loop: HandlerLoop) -> None:
        if not self._began.acquire(blocking=False):
            raise SubscriberStopped(f"the subscriber of group {self.group} has run before: make a new one")
        try:
            lot = self._open_lot()
            if lot is not None:
                self._session = Session(self._member, lot, loop)
                self._session.run()
        except BaseException as error:
            _log.critical("subscriber ends", group=self.group, reason=repr(error))
            raise
        finally:
            loop.close()

    def _open_lot(self) -> ParkingLot | None:
        """Waits for a broker; None if it was told to stop before one answered."""
        member = self._member
        while not self._stopping.is_set():
            try:
                return ParkingLot(
                    member.settings.kafka,
                    self.group,
                    parked_per_key_max=member.settings.subscriber.parked_per_key_max,
                    topics=member.contract.topics,
                    metrics=member.metrics.parking,
                )
            except KafkaUnavailable as error:
                _log.warning("waiting for a broker", group=self.group, reason=str(error))
                self._stopping.wait(_AWAY_S)
        return None
