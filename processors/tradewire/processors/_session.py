"""One run of a subscriber: the thread that polls Kafka, feeds the lanes, commits, and answers rebalances."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tradewire.core.errors import KafkaUnavailable, ProcessingError
from tradewire.core.failpoints import failpoint
from tradewire.core.logs import get_logger
from tradewire.core.membership import static_config
from tradewire.core.settings import Settings
from tradewire.processors._lanes import HandlerLoop, Lanes
from tradewire.processors._partitions import ConsumedRecord, OwnedPartition, Place, begins, consumer_config, gone
from tradewire.processors._work import (
    Desk,
    RecordWork,
    RedriveWork,
    Unit,
    Work,
    handling_of,
    place_of,
    settle_finished,
    unit_of,
    up_to_what_is_done,
)
from tradewire.processors.dedupe import DedupeWindow
from tradewire.processors.handling import identity_of
from tradewire.processors.parking import ParkingLot
from tradewire.processors.subscriber_metrics import SubscriberMetrics
from tradewire.processors.subscriptions import Subscriptions
from tradewire.schemas import Contract

_log = get_logger(__name__)

_CONSUME_ROWS: Final = 500
_IDLE_S: Final = 0.05
_REDRIVES_S: Final = 0.5
_AWAY_S: Final = 1.0
_COMMIT_REPLY_S: Final = 30.0
_JOIN_S: Final = 2.0


@dataclass(slots=True)
class Membership:
    """What one run is made of."""

    settings: Settings
    group: str
    contract: Contract
    subscriptions: Subscriptions
    metrics: SubscriberMetrics
    instance_id: str | None
    before_commit: Callable[[], object] | None
    stopping: threading.Event
    ready: threading.Event


class Session:
    """Everything here runs on one thread, but ``_work``, which the lanes call."""

    def __init__(self, member: Membership, lot: ParkingLot, loop: HandlerLoop) -> None:
        self._member = member
        self._limits = member.settings.subscriber
        self._group, self._metrics, self._lot, self._loop = member.group, member.metrics, lot, loop
        self._handling = handling_of(
            self._limits,
            member.contract,
            member.subscriptions,
            group=member.group,
            run=loop.run,
            metrics=member.metrics,
        )
        self._desk = Desk(self._handling, lot, member.metrics, member.group)
        self._lanes: Lanes[Unit, Work] = Lanes(self._limits.concurrency, self._work, member.group)
        self._joined_version = member.subscriptions.version
        self._topics = self._subscribed()
        self._consumer = Consumer(
            {
                **consumer_config(member.settings, member.group),
                **static_config(member.instance_id, self._topics),
                "on_commit": self._on_commit,
            },
            logger=None,
        )
        self.owned: dict[Place, OwnedPartition] = {}
        # Kept over rebalances: a partition that comes back finds what this process has done of it.
        self._windows: dict[Place, DedupeWindow] = {}
        self._redrives: set[RedriveWork] = set()
        self._commit_asked_at: float | None = None
        self._commit_at = self._redrives_at = 0.0
        self._is_leaving = False

    def run(self) -> None:
        """Until the member is told to stop, or cannot go on; then what is done is committed and the group is left."""
        self._lanes.start()
        try:
            self._subscribe()
            while not self._member.stopping.is_set():
                self._turn()
        finally:
            self._leave()

    def _turn(self) -> None:
        self._join_topics()
        first = self._consumer.poll(_IDLE_S)
        if first is not None:
            self._take([first, *self._consumer.consume(_CONSUME_ROWS - 1, 0)])
        self._settle()
        now = time.monotonic()
        if now >= self._commit_at:
            self._commit_at = now + self._limits.commit_interval_ms / 1000
            self._commit_soon(now)
        if now >= self._redrives_at:
            self._redrives_at = now + _REDRIVES_S
            self._take_redrives()
        self._throttle()
        if self._lanes.failure is not None:
            raise self._lanes.failure

    def _work(self, work: Work) -> float | None:
        return work.take(self._desk)

    # --- reading

    def _join_topics(self) -> None:
        """Topics are only added: one whose handlers have gone is read on, so that its offsets do not fall behind."""
        version = self._member.subscriptions.version
        if version == self._joined_version:
            return
        # A static member joins with the topics of its name: those that come later count as a change of a live member.
        if self._topics and self._member.instance_id is not None and not self._consumer.memberid():
            return
        self._joined_version = version
        topics = self._topics | self._subscribed()
        if topics != self._topics:
            self._topics = topics
            self._subscribe()

    def _subscribed(self) -> frozenset[str]:
        return frozenset(self._member.contract.topic_of(type) for type in self._member.subscriptions.types)

    def _subscribe(self) -> None:
        if not self._topics:
            return
        topics = sorted(self._topics)
        self._consumer.subscribe(topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        _log.info("subscribed", group=self._group, topics=topics)

    def _take(self, messages: Iterable[Any]) -> None:
        fed: list[tuple[Unit, Work]] = []
        for message in messages:
            if message.error() is not None:
                self._refuse(message)
                continue
            owned = self.owned.get((message.topic(), message.partition()))
            if owned is None:
                continue
            record = ConsumedRecord.of(message)
            if record.offset < owned.begin:
                id = identity_of(record.headers)
                if id is not None:
                    owned.window.remember(id, record.offset, is_mine=False)
                continue
            if record.offset < owned.read_to:
                continue
            claim = owned.claim(record.offset)
            reason = self._handling.passes_over(record)
            if reason is not None:
                owned.settle(claim)
                self._metrics.passed_over.labels(self._group, reason).inc()
                continue
            owned.queued_rows += 1
            unit = unit_of(record.topic, record.partition, record.key, record.offset, self._limits.order)
            fed.append((unit, RecordWork(owned, claim, record)))
        if fed:
            self._lanes.add(fed)

    def _refuse(self, message: Any) -> None:
        error, topic = message.error(), message.topic()
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise gone(topic, message.partition(), str(error))
        # One that comes as a message has the code, and not the flag.
        if error.fatal() or error.code() == KafkaError._FATAL:
            raise ProcessingError(f"the consumer of group {self._group} failed for good: {error}")
        hint = "run `tradewire topics apply`" if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART else ""
        _log.warning("consumer error", group=self._group, topic=topic, error=str(error), hint=hint)

    def _throttle(self) -> None:
        """Stops reading a partition whose buffer is full, and goes on at half of it; polling never stops."""
        rows_max, ahead_max = self._limits.buffer_rows_max, self._limits.ahead_rows_max
        paused = unfinished = 0
        for owned in self.owned.values():
            unfinished += owned.queued_rows
            if owned.throttle(rows_max, ahead_max):
                change = self._consumer.pause if owned.is_paused else self._consumer.resume
                change([TopicPartition(owned.topic, owned.partition)])
            paused += owned.is_paused
        self._metrics.paused_partitions.labels(self._group).set(paused)
        self._metrics.unfinished_rows.labels(self._group).set(unfinished)
        self._metrics.longest_call_seconds.labels(self._group).set(self._lanes.longest_s())

    # --- done work

    def _settle(self) -> None:
        settle_finished(self._lanes.finished, self._redrives)

    def _take_redrives(self) -> None:
        """One batch of them at a time: what is due stays due until it is drained."""
        if self._redrives:
            return
        try:
            due = self._lot.due()
        except KafkaUnavailable as error:
            _log.warning("letters cannot be read now", group=self._group, reason=str(error))
            return
        for redrive in due:
            key = redrive.key
            owned = self.owned.get(key.source)
            if owned is not None:
                work = RedriveWork(owned, redrive)
                self._redrives.add(work)
                # Behind what was read of the key before: that has to become letters first.
                self._lanes.add([(unit_of(*key, self._limits.order), work)])

    # --- committing

    def _due_offsets(self, partitions: Iterable[OwnedPartition]) -> list[TopicPartition]:
        found = [(owned, owned.commit_to()) for owned in partitions]
        offsets = [TopicPartition(owned.topic, owned.partition, to) for owned, to in found if to is not None]
        if not offsets or self._member.before_commit is None:
            return offsets
        left = self._member.before_commit()
        if left:
            _log.warning("commit put off: before_commit is not done", group=self._group, left=left)
            return []
        return offsets

    def _commit_soon(self, now: float) -> None:
        """Asks for a commit; the answer comes to ``_on_commit``. What was not confirmed is asked for again."""
        if self._commit_asked_at is not None and now - self._commit_asked_at < _COMMIT_REPLY_S:
            return
        offsets = self._due_offsets(self.owned.values())
        if not offsets:
            return
        failpoint("subscriber.before_commit")
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
            self._commit_asked_at = now
        except KafkaException as error:
            self._commit_failed(error.args[0])

    def _on_commit(self, error: KafkaError | None, partitions: Sequence[TopicPartition]) -> None:
        self._commit_asked_at = None
        if error is not None and error.code() != KafkaError._NO_OFFSET:
            self._commit_failed(error)
        else:
            self._committed(partitions)

    def _commit_now(self, partitions: Iterable[OwnedPartition]) -> None:
        """Commits and waits for the answer; a failure means that the work is done again by the next owner."""
        offsets = self._due_offsets(partitions)
        if not offsets:
            return
        try:
            self._committed(self._consumer.commit(offsets=offsets, asynchronous=False) or ())
        except KafkaException as error:
            self._commit_failed(error.args[0])

    def _committed(self, partitions: Sequence[TopicPartition]) -> None:
        stands: dict[Place, int] = {}
        for at in partitions:
            owned = self.owned.get((at.topic, at.partition))
            if at.error is not None:
                self._commit_failed(at.error)
            elif owned is not None and at.offset >= 0:
                owned.committed = at.offset
                owned.window.advance(at.offset)
                stands[owned.place] = at.offset
                self._metrics.committed_offset.labels(self._group, *owned.place).set(at.offset)
                ends = self._consumer.get_watermark_offsets(TopicPartition(at.topic, at.partition), cached=True)
                if ends is not None and ends[1] >= 0:
                    self._metrics.lag.labels(self._group, *owned.place).set(max(0, ends[1] - at.offset))
        if stands:
            self._lot.committed(stands)

    def _commit_failed(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            raise ProcessingError(f"the consumer of group {self._group} failed for good: {error}")
        _log.warning("commit failed", group=self._group, error=str(error))

    # --- rebalances

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        found = self._take_over(consumer, partitions) if partitions else []
        for at, first, is_committed in found:
            place = (at.topic, at.partition)
            self.owned[place] = OwnedPartition(
                *place,
                first,
                self._windows.setdefault(place, DedupeWindow(self._limits.dedupe_rows)),
                committed=first if is_committed else None,
                says_begin=self._limits.begin == "latest",
            )
        # Before their first record: one whose key has no room for it would end this member before it had looked.
        self._take_redrives()
        assigned = [at for at, _, _ in found]
        consumer.incremental_assign(assigned)
        # librdkafka keeps a pause over revocation and assignment: a partition that comes back would never be read.
        consumer.resume(assigned)
        self._member.ready.set()
        _log.info("assigned", group=self._group, partitions=len(partitions), of=len(self.owned))

    def _take_over(
        self, consumer: Consumer, partitions: list[TopicPartition]
    ) -> list[tuple[TopicPartition, int, bool]]:
        """Asks until the broker answers: a coordinator that moves takes moments; the group waits for this member."""
        until = time.monotonic() + self._limits.poll_interval_ms_max / 2000
        while True:
            try:
                found = begins(consumer, partitions, begin=self._limits.begin, look_back=self._limits.dedupe_rows)
                self._lot.assigned([(at.topic, at.partition) for at, _, _ in found])
                return found
            except (KafkaException, KafkaUnavailable) as error:
                why = error.args[0] if isinstance(error, KafkaException) else error
                if self._member.stopping.is_set():
                    return []  # they are given back in a moment
                if time.monotonic() > until:
                    raise KafkaUnavailable(f"where group {self._group} stands cannot be read: {why}") from error
                _log.warning("waiting for where the group stands", group=self._group, error=str(why))
                self._member.stopping.wait(_AWAY_S)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = {(at.topic, at.partition) for at in partitions}
        wait_ms = 0 if self._is_leaving else self._limits.revoke_wait_ms
        bound = up_to_what_is_done(self.owned.values())
        self._lanes.finish(lambda unit: place_of(unit) in places, bound, wait_ms / 1000)
        self._settle()
        self._commit_now([self.owned[place] for place in places if place in self.owned])
        self._forget(places)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Somebody else owns them already: nothing of them is committed, and their events are handled again there."""
        places = {(at.topic, at.partition) for at in partitions}
        _log.warning("partitions lost", group=self._group, partitions=len(places))
        self._lanes.drop(lambda unit: place_of(unit) in places)
        self._forget(places)
        consumer.incremental_unassign(partitions)

    def _forget(self, places: set[Place]) -> None:
        for place in places:
            owned = self.owned.pop(place, None)
            if owned is not None:
                owned.close()
                for gauge in (self._metrics.lag, self._metrics.committed_offset):
                    with suppress(KeyError):
                        gauge.remove(self._group, place[0], str(place[1]))
        self._redrives = {work for work in self._redrives if work.owned.is_open}
        self._lot.revoked(places)
        _log.info("revoked", group=self._group, partitions=len(places), left=len(self.owned))

    # --- the end

    def _leave(self) -> None:
        """Lets what runs end, commits it, leaves the group. A handler that does not return in time is left behind."""
        self._is_leaving = True
        bound = up_to_what_is_done(self.owned.values())
        self._lanes.finish(lambda _: True, bound, self._limits.stop_wait_ms / 1000)
        self._lanes.close()
        self._loop.cancel()
        self._lanes.join(_JOIN_S)
        try:
            self._settle()
            self._commit_now(list(self.owned.values()))
        finally:
            self._consumer.close()  # revokes what is left, with nothing more to commit
            self._lot.close()
