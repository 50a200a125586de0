"""The partitions that a subscriber owns: what of them is read, open, done and committed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tradewire.core.errors import ProcessingError
from tradewire.core.settings import Settings
from tradewire.processors.dedupe import DedupeWindow
from tradewire.processors.ledger import Claim, Ledger
from tradewire.schemas import Header

Place = tuple[str, int]
# Of one question: librdkafka may miss that the coordinator is known again, and would wait to the end of it.
KAFKA_TIMEOUT_S: Final = 5.0


class EventsGone(ProcessingError):
    """Raised when Kafka does not have the offset that a group is to read next: records of it were deleted unread.

    Operator: find out whether the group was away for longer than the topic's retention, or the topic was made anew.
    Then read what is missing from the history, and set the group's offset (``kafka-consumer-groups --reset-offsets``).
    """


class ConsumedRecord(NamedTuple):
    """A Kafka record as a value."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]

    @classmethod
    def of(cls, message: Any) -> ConsumedRecord:
        return cls(
            message.topic(),
            message.partition(),
            message.offset(),
            message.timestamp()[1],
            message.key(),
            message.value(),
            message.headers() or (),
        )


class OwnedPartition:
    """One partition between assignment and revocation. Lives on the polling thread, but for its window."""

    def __init__(
        self, topic: str, partition: int, begin: int, window: DedupeWindow, *, committed: int | None, says_begin: bool
    ) -> None:
        self.topic, self.partition = topic, partition
        # Records before it are done: they are read to be remembered.
        self.begin = begin
        self.window = window
        self.committed = committed
        # "latest" is now, not when the first event happens to be committed: a crash must not make it later.
        self._says_begin = says_begin
        self.is_open = True
        self.is_paused = False
        self.queued_rows = 0
        self.done_to_max = -1
        self.read_to = begin
        self._ledger: Ledger[int] = Ledger()

    @property
    def place(self) -> Place:
        return self.topic, self.partition

    def claim(self, offset: int) -> Claim[int]:
        """Writes down that a record is being worked on."""
        self.read_to = offset + 1
        return self._ledger.claim(self.partition, offset, offset)

    def settle(self, claim: Claim[int]) -> None:
        """Writes down that its work is done."""
        self._ledger.settle(claim)
        self.done_to_max = max(self.done_to_max, claim.last)

    def commit_to(self) -> int | None:
        """The offset to commit now; None if it stands already."""
        offset = self._ledger.committable(self.partition)
        if offset is None and self._says_begin:
            offset = self.begin
        return None if offset == self.committed else offset

    @property
    def first_open(self) -> int | None:
        """The oldest unfinished record; None if all that was claimed is done."""
        return self._ledger.first_open(self.partition)

    @property
    def ahead_rows(self) -> int:
        """Offsets from the oldest unfinished record to the newest that was read."""
        first = self.first_open
        return 0 if first is None else self.read_to - first

    def throttle(self, rows_max: int, ahead_max: int) -> bool:
        """Whether to read on has changed: not with a full buffer, again at half of it. ``is_paused`` says which."""
        full = max(self.queued_rows / rows_max, self.ahead_rows / ahead_max)
        was_paused, self.is_paused = self.is_paused, full >= 1 or (self.is_paused and full > 0.5)
        return was_paused != self.is_paused

    def close(self) -> None:
        """Whatever comes back from now on settles nothing."""
        self.is_open = False
        self._ledger.forget()


def consumer_config(settings: Settings, group: str) -> dict[str, Any]:
    limits = settings.subscriber
    return {
        **settings.kafka.client_config(),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Where to begin is said explicitly; an offset that is gone is an error, never a silent skip.
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        # A partition that stays keeps what is queued and running when others move.
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": limits.session_timeout_ms,
        "heartbeat.interval.ms": max(100, limits.session_timeout_ms // 5),
        "max.poll.interval.ms": limits.poll_interval_ms_max,
        "allow.auto.create.topics": False,
        "topic.metadata.refresh.interval.ms": 10_000,
        "queued.max.messages.kbytes": 8_192,
        "queued.min.messages": 10_000,
        "fetch.wait.max.ms": 50,
        # A partition whose queue was full is asked for again soon after it has room; the default is a second.
        "fetch.queue.backoff.ms": 20,
    }


def begins(
    consumer: Consumer, partitions: Sequence[TopicPartition], *, begin: str, look_back: int
) -> list[tuple[TopicPartition, int, bool]]:
    """For each partition: from where to read, the first offset that is work, and whether the group has it committed.

    Raises:
        EventsGone: the committed offset is not there (any more).
        KafkaException: the broker does not say.
    """
    found = []
    for stored in consumer.committed(list(partitions), timeout=KAFKA_TIMEOUT_S):
        if stored.error is not None:
            raise KafkaException(stored.error)
        place = TopicPartition(stored.topic, stored.partition)
        low, high = consumer.get_watermark_offsets(place, timeout=KAFKA_TIMEOUT_S, cached=False)
        is_committed = stored.offset >= 0
        first = stored.offset if is_committed else (low if begin == "earliest" else high)
        if not low <= first <= high:
            raise gone(stored.topic, stored.partition, f"it is to read {first}, and Kafka has {low} to {high}")
        place.offset = max(low, first - look_back)
        found.append((place, first, is_committed))
    return found


def gone(topic: str, partition: int, why: str) -> EventsGone:
    return EventsGone(
        f"{topic}[{partition}]: Kafka does not have the offset that the group is to read next ({why}): was the group "
        "away for longer than the retention, or was the topic deleted and made again? Read what is missing from the "
        "history, then set the group's offset",
        topic=topic,
        partition=partition,
    )
