"""Handlers of events inside the worker: the contract of ``Subscriber``, with Faust's membership in place of its own.

Records that concern a handler go to the lanes as soon as a fetch has brought them: they wait neither for the folds of
their batch nor for its confirmations. What a crash after each step leaves behind is as in ``Subscriber``; the offset is
committed when the folds of a record stand *and* its handlers are done.

Folds and handlers fail apart. Letters of handlers are those of a group of their own, ``<worker.group>.handlers``, while
the worker's group commits for both: a fold that has applied an event must not get it again because a mail could not be
sent, and a re-drive reaches who failed.

All but ``_work`` runs on the worker's event loop. Handlers run in threads of their own, ``async`` ones on an event loop
of their own: code of a service that blocks holds up neither folds nor heartbeats. What waits for Kafka (the lot, at
assignments, re-drives and commits) is called in other threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition
from prometheus_client import REGISTRY, CollectorRegistry

from tradewire.core.errors import KafkaUnavailable
from tradewire.core.logs import get_logger
from tradewire.core.settings import Settings
from tradewire.processors._lanes import HandlerLoop, Lanes
from tradewire.processors._partitions import OwnedPartition, Place, begins
from tradewire.processors._work import (
    Desk,
    RecordWork,
    RedriveWork,
    Unit,
    Work,
    handling_of,
    settle_finished,
    unit_of,
    up_to_what_is_done,
)
from tradewire.processors.dedupe import DedupeWindow
from tradewire.processors.handling import identity_of
from tradewire.processors.ledger import Ledger
from tradewire.processors.parking import ParkingLot
from tradewire.processors.parking.reading import asked, read_to_end, reader_config
from tradewire.processors.records import RawRecord
from tradewire.processors.subscriber_metrics import SubscriberMetrics
from tradewire.processors.subscriptions import SubscriptionInvalid, Subscriptions
from tradewire.schemas import Contract

_log = get_logger(__name__)

_TICK_S: Final = 0.05
_REDRIVES_S: Final = 0.5
_JOIN_S: Final = 2.0


def handlers_group_of(group: str) -> str:
    """The group that the dead letters and the metrics of a worker's handlers are named after."""
    return f"{group}.handlers"


class WorkerHandlers:
    """The handlers of one worker.

    ``readable`` are the topics that it reads and that handlers may have, ``apart`` those that it reads for them alone.
    """

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        subscriptions: Subscriptions,
        readable: Collection[str],
        *,
        apart: Collection[str] = (),
        leave: Callable[[str], None],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        """Makes the topics of dead letters if they are missing, and blocks for that.

        From now on only types of ``readable`` topics can be subscribed to ``subscriptions``.

        Raises:
            SubscriptionInvalid: another one is.
            KafkaUnavailable: no broker answers.
        """
        self._limits = settings.subscriber
        self._kafka = settings.kafka
        self._offsets_group, self.group = settings.worker.group, handlers_group_of(settings.worker.group)
        self._contract, self._subscriptions = contract, subscriptions
        self._readable, self._apart = frozenset(readable), frozenset(apart)
        subscriptions.restrict(self._refuse_unread)
        self._leave = leave
        self._metrics = SubscriberMetrics.of(registry)
        self._loop = HandlerLoop()
        self._handling = handling_of(
            self._limits, contract, subscriptions, group=self.group, run=self._loop.run, metrics=self._metrics
        )
        self._lot = ParkingLot(
            settings.kafka,
            self.group,
            offsets_group=self._offsets_group,
            parked_per_key_max=self._limits.parked_per_key_max,
            topics=contract.topics,
            metrics=self._metrics.parking,
        )
        self._desk = Desk(self._handling, self._lot, self._metrics, self.group)
        self._lanes: Lanes[Unit, Work] = Lanes(self._limits.concurrency, self._work, self.group)
        self._owned: dict[Place, OwnedPartition] = {}
        # Kept over rebalances: a partition that comes back finds what this process has done of it.
        self._windows: dict[Place, DedupeWindow] = {}
        self._redrives: set[RedriveWork] = set()
        self._committed: dict[Place, int] = {}
        self._topics: tuple[int, frozenset[str]] = (-1, frozenset())
        self._turns = 0
        self._is_resting = False
        # Partitions not to be read on for now: their buffer is full.
        self.held: frozenset[Place] = frozenset()

    def _refuse_unread(self, type: str) -> None:
        topic = self._contract.topic_of(type)
        if topic not in self._readable:
            raise SubscriptionInvalid(
                f"{type} cannot be handled in this worker: it does not read {topic}, as it does when worker.handlers "
                "names a handler of that topic when it starts",
                type=type,
                topic=topic,
            )

    @property
    def topics(self) -> frozenset[str]:
        """Topics of types that somebody handles now."""
        version = self._subscriptions.version
        if self._topics[0] != version:
            self._topics = version, topics_of(self._subscriptions, self._contract)
        return self._topics[1]

    # --- records

    def offer(
        self, records: Mapping[Any, Sequence[RawRecord]], ledger: Ledger[Any]
    ) -> Mapping[Any, Sequence[RawRecord]]:
        """Takes what concerns a handler; returns what is to be folded. Nothing else is done with what it leaves out."""
        self.take(records)
        if not self._apart:
            return records
        folded = {}
        for tp, rows in records.items():
            if tp.topic in self._apart:
                ledger.settle(ledger.claim(tp, rows[0].offset, rows[-1].offset))
            else:
                folded[tp] = rows
        return folded

    def take(self, records: Mapping[Any, Sequence[RawRecord]]) -> None:
        """Puts what concerns a handler behind what its key has; never blocks. Partitions must have been taken over."""
        fed: list[tuple[Unit, Work]] = []
        for (topic, partition), rows in records.items():
            if topic not in self.topics:
                continue
            owned = self._owned[topic, partition]
            for record in rows:
                if record.offset < owned.read_to:
                    continue
                reason = self._handling.passes_over(record)
                if reason is not None:
                    self._metrics.passed_over.labels(self.group, reason).inc()
                    continue
                claim = owned.claim(record.offset)
                owned.queued_rows += 1
                unit = unit_of(topic, partition, record.key, record.offset, self._limits.order)
                fed.append((unit, RecordWork(owned, claim, record)))
        if fed:
            self._lanes.add(fed)
            self._throttle()

    def first_open(self, place: Place) -> int | None:
        """The oldest record of a partition whose handlers are not done: the offset must not be committed past it."""
        settle_finished(self._lanes.finished, self._redrives)
        owned = self._owned.get(place)
        return None if owned is None else owned.first_open

    def committed(self, offsets: Mapping[Place, int]) -> None:
        """Tells what the group has committed."""
        for place, offset in offsets.items():
            owned = self._owned.get(place)
            if owned is not None:
                owned.window.advance(offset)
                self._committed[place] = offset

    def working_on(self) -> str:
        """For a watcher, while anything is unfinished: changes as long as calls end, and while one runs.

        A call that runs for longer than ``subscriber.poll_interval_ms_max`` counts as hung: then nothing changes.
        """
        if not len(self._lanes):
            return ""
        longest_s = min(self._lanes.longest_s(), self._limits.poll_interval_ms_max / 1000)
        return f"handlers: {self._turns} calls, the longest for {longest_s:.0f} s"

    def _work(self, work: Work) -> float | None:
        self._turns += 1
        return work.take(self._desk)

    def _throttle(self) -> None:
        unfinished = 0
        for owned in self._owned.values():
            owned.throttle(self._limits.buffer_rows_max, self._limits.ahead_rows_max)
            unfinished += owned.queued_rows
        self.held = frozenset(place for place, owned in self._owned.items() if owned.is_paused)
        self._metrics.paused_partitions.labels(self.group).set(len(self.held))
        self._metrics.unfinished_rows.labels(self.group).set(unfinished)
        self._metrics.longest_call_seconds.labels(self.group).set(self._lanes.longest_s())

    # --- beside the records

    def start(self) -> None:
        """Handlers may be called from now on."""
        self._lanes.start()

    async def run(self) -> None:
        """Looks after done work, full buffers, re-drives and commits, until it is cancelled.

        Ends the process when an event could not be parked, and when a handler raised what is no Exception: the event is
        not acknowledged.
        """
        redrives_at = 0.0
        try:
            while self._lanes.failure is None:
                await asyncio.sleep(_TICK_S)
                if self._is_resting:
                    continue
                settle_finished(self._lanes.finished, self._redrives)
                self._throttle()
                now = time.monotonic()
                if now >= redrives_at:
                    redrives_at = now + _REDRIVES_S
                    await self._take_redrives()
                if self._committed:
                    stands, self._committed = self._committed, {}
                    await asyncio.to_thread(self._lot.committed, stands)
        except Exception as error:
            self._leave(f"handlers cannot go on: {error!r}")
            raise
        self._leave(f"handlers cannot go on: {self._lanes.failure!r}")

    async def _take_redrives(self) -> None:
        """One batch of them at a time: what is due stays due until it is drained."""
        if self._redrives or not self._owned:
            return
        try:
            due = await asyncio.to_thread(self._lot.due)
        except KafkaUnavailable as error:
            _log.warning("letters cannot be read now", group=self.group, reason=str(error))
            return
        for redrive in due:
            key = redrive.key
            owned = self._owned.get(key.source)
            if owned is not None and not self._is_resting:
                work = RedriveWork(owned, redrive)
                self._redrives.add(work)
                # Behind what was read of the key before: that has to become letters first.
                self._lanes.add([(unit_of(*key, self._limits.order), work)])

    # --- rebalances

    async def take_over(self, places: Iterable[Place]) -> None:
        """Learns what is parked of partitions that are this worker's now, and what was done of them before.

        Raises:
            KafkaUnavailable: it cannot be learned.
            EventsGone: what is to be read next was deleted, of a topic that has a handler.
        """
        await self.release()
        ours = [place for place in places if place[0] in self._readable]
        first = await asyncio.to_thread(self._look, ours) if ours else {}
        for place in ours:
            self._owned[place] = OwnedPartition(
                *place, first.get(place, 0), self._window(place), committed=None, says_begin=False
            )
        self._is_resting = False
        # Before their first record: one whose key has no room for it would end the worker before it had looked.
        await self._take_redrives()
        _log.info("handlers have partitions", group=self.group, partitions=len(ours), topics=sorted(self.topics))

    def _look(self, places: Sequence[Place]) -> dict[Place, int]:
        """Where partitions with handlers begin; ids from before there are remembered."""
        self._lot.assigned(places)
        handled = [TopicPartition(*place) for place in places if place[0] in self.topics]
        if not handled:
            return {}
        consumer = Consumer({**reader_config(self._kafka), "group.id": self._offsets_group}, logger=None)
        try:
            found = asked(
                self._kafka,
                lambda: begins(consumer, handled, begin="earliest", look_back=self._limits.dedupe_rows),
            )
        finally:
            consumer.close()
        first = {(at.topic, at.partition): offset for at, offset, _ in found}
        before = [at for at, offset, _ in found if at.offset < offset]
        for message in read_to_end(self._kafka, before, first):
            id = identity_of(message.headers() or ())
            if id is not None:
                place = str(message.topic()), int(message.partition())
                self._window(place).remember(id, int(message.offset()), is_mine=False)
        return first

    def _window(self, place: Place) -> DedupeWindow:
        return self._windows.setdefault(place, DedupeWindow(self._limits.dedupe_rows))

    async def rest(self, timeout_s: float, *, at_end: bool = False) -> None:
        """Lets calls that run end, and forgets what is queued: it is read again by its owner.

        They get as long as the settings say, and at most ``timeout_s``.

        No record may be handed over before ``take_over``.
        """
        self._is_resting = True
        wait_ms = self._limits.stop_wait_ms if at_end else self._limits.revoke_wait_ms
        bound = up_to_what_is_done(self._owned.values())
        await asyncio.to_thread(self._lanes.finish, lambda _: True, bound, min(timeout_s, wait_ms / 1000))

    async def release(self) -> None:
        """Gives all partitions up, after what is done of them was committed. What still runs settles nothing.

        From now on ``first_open`` knows of nothing: the worker's ledger must have been forgotten before.
        """
        places = list(self._owned)
        for owned in self._owned.values():
            owned.close()
        self._owned.clear()
        self._committed.clear()
        self._redrives.clear()
        self.held = frozenset()
        if places:
            await asyncio.to_thread(self._lot.revoked, places)

    # --- the end

    async def end(self) -> None:
        """After ``rest``: no handler begins any more. One that does not return is left behind."""
        self._lanes.close()
        self._loop.cancel()
        await asyncio.to_thread(self._lanes.join, _JOIN_S)

    async def close(self) -> None:
        """After the last commit and ``release``."""
        await asyncio.to_thread(self._lot.close)
        self._loop.close()


def topics_of(subscriptions: Subscriptions, contract: Contract) -> frozenset[str]:
    """The topics of all types that are handled. Raises UnknownEventType."""
    return frozenset(contract.topic_of(type) for type in subscriptions.types)
