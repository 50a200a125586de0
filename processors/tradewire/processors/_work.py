"""What the lanes of a subscriber work on: records as they were read, and letters that are re-driven."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from tradewire.core.errors import KafkaUnavailable
from tradewire.core.logs import get_logger
from tradewire.core.subscriber_settings import SubscriberSettings
from tradewire.processors._partitions import OwnedPartition
from tradewire.processors.handling import Again, Await, Done, Handling, Job, Outcome, Park
from tradewire.processors.ledger import Claim
from tradewire.processors.parking import DeadLetter, NotOwned, ParkedKey, ParkingLot, Redrive, Standing
from tradewire.processors.records import RawRecord
from tradewire.processors.retries import RetryPolicy
from tradewire.processors.subscriber_metrics import SubscriberMetrics
from tradewire.processors.subscriptions import Subscriptions
from tradewire.processors.tracing import ConsumerTracing
from tradewire.schemas import Contract

_log = get_logger(__name__)
Unit = ParkedKey | tuple[str, int]
_AT_ONCE: Final = 0.0
_KAFKA_AWAY_S: Final = 1.0


class Work(Protocol):
    """An item of a lane: ``take`` goes as far as it can now; None when done with, else when to come back."""

    owned: OwnedPartition

    def take(self, desk: Desk) -> float | None: ...


def handling_of(
    limits: SubscriberSettings,
    contract: Contract,
    subscriptions: Subscriptions,
    *,
    group: str,
    run: Await,
    metrics: SubscriberMetrics,
) -> Handling:
    """How events are handled by these settings; ``run`` runs what async handlers return."""
    return Handling(
        contract.codec,
        subscriptions,
        RetryPolicy(limits.retry_attempts_max, limits.retry_base_ms, limits.retry_cap_ms, limits.retry_total_ms_max),
        group=group,
        run=run,
        metrics=metrics,
        tracing=ConsumerTracing(limits.tracing, group),
        unknown_schema_wait_s=limits.unknown_schema_wait_ms / 1000,
        compacted=frozenset(topic.name for topic in contract.topics.values() if topic.cleanup == "compact"),
    )


class Desk:
    """What work needs: the handlers, and the place for what they cannot handle."""

    def __init__(self, handling: Handling, lot: ParkingLot, metrics: SubscriberMetrics, group: str) -> None:
        self.handling = handling
        self.lot = lot
        self.metrics = metrics
        self.group = group


class RecordWork:
    """A record of the source. Done with when its handlers are, or when it is parked and its letter confirmed."""

    __slots__ = ("claim", "job", "owned")

    def __init__(self, owned: OwnedPartition, claim: Claim[int], record: RawRecord) -> None:
        self.owned = owned
        self.claim = claim
        self.job = Job(record, owned.window)

    def take(self, desk: Desk) -> float | None:
        """Raises ParkingFull and ParkingUnconfirmed: the record must not be acknowledged."""
        record = self.job.record
        standing = desk.lot.standing(record.topic, record.partition, record.key, record.offset)
        if not self.owned.is_open:
            # Given away while it waited, and what is parked of it was forgotten: its next owner knows, and reads it.
            return None
        if standing is Standing.SETTLED:
            desk.metrics.passed_over.labels(desk.group, "settled").inc()
            return None
        if standing is Standing.PARKED:
            self._park(desk, None)
            return None
        outcome: Outcome = desk.handling.attempt(self.job)
        if isinstance(outcome, Again):
            return outcome.delay_s
        if isinstance(outcome, Park):
            self._park(desk, outcome)
        return None

    def _park(self, desk: Desk, failed: Park | None) -> None:
        if not self.owned.is_open:
            return  # its next owner reads the record
        try:
            if failed is None:
                desk.lot.park(self.job.record)
            else:
                desk.lot.park(self.job.record, failed.error, failed.attempts)
        except NotOwned:
            # The partition left while the handler ran; nothing comes of this, as ``owned`` is closed.
            if self.owned.is_open:
                raise
            return
        desk.metrics.dead_letters.labels(desk.group, self.job.record.topic).inc()


class RedriveWork:
    """The letters of one key, one by one. A letter that fails for good ends it, and the key stays parked from there."""

    __slots__ = ("_job", "_letter", "owned", "redrive")

    def __init__(self, owned: OwnedPartition, redrive: Redrive) -> None:
        self.owned = owned
        self.redrive = redrive
        self._letter: DeadLetter | None = None
        self._job: Job | None = None

    def take(self, desk: Desk) -> float | None:
        if not self.owned.is_open:
            return None
        try:
            if self._job is None:
                self._letter = next(self.redrive, None)
                if self._letter is None:
                    return None
                self._job = Job(self._letter, self.owned.window, is_letter=True)
        except KafkaUnavailable as error:
            _log.warning("letters cannot be read now", key=str(self.redrive.key), reason=str(error))
            return _KAFKA_AWAY_S
        outcome = desk.handling.attempt(self._job)
        if isinstance(outcome, Again):
            return outcome.delay_s
        assert self._letter is not None
        if isinstance(outcome, Done):
            self.redrive.done(self._letter)
            desk.metrics.redriven.labels(desk.group, "done").inc()
        elif isinstance(outcome, Park):
            self.redrive.failed(self._letter, outcome.error)
            desk.metrics.redriven.labels(desk.group, "failed").inc()
        self._job = None
        return _AT_ONCE


def settle_finished(finished: deque[Work], redrives: set[RedriveWork]) -> None:
    """Writes down what is done; of partitions that were given away nothing."""
    while finished:
        work = finished.popleft()
        if isinstance(work, RecordWork):
            if work.owned.is_open:
                work.owned.settle(work.claim)
                work.owned.queued_rows -= 1
        elif isinstance(work, RedriveWork):
            redrives.discard(work)


def up_to_what_is_done(partitions: Iterable[OwnedPartition]) -> Callable[[Iterable[Work]], Callable[[Work], bool]]:
    """What still goes on of partitions that are given up, as ``Lanes.finish`` asks for it.

    Keys run apart: an older event of another key may wait where a newer one is done. What lies between goes on, so that
    the commit comes up to the newest and the next owner repeats none of it.
    """

    def bound(begun: Iterable[Work]) -> Callable[[Work], bool]:
        done_to = {owned.place: owned.done_to_max for owned in partitions}
        for work in begun:
            if isinstance(work, RecordWork) and work.owned.place in done_to:
                done_to[work.owned.place] = max(done_to[work.owned.place], work.claim.last)
        return lambda work: isinstance(work, RecordWork) and work.claim.last <= done_to.get(work.owned.place, -1)

    return bound


def unit_of(topic: str, partition: int, key: bytes | None, offset: int, order: str) -> Unit:
    """Within what order is kept: a key of a partition, or a partition. A record without a key is alone."""
    return (topic, partition) if order == "partition" else ParkedKey.of(topic, partition, key, offset)


def place_of(unit: Unit) -> tuple[str, int]:
    """The partition of a unit."""
    return unit[0], unit[1]
