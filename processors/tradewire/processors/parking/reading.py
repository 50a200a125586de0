"""Letters and parked keys as they are read from Kafka, without being a member of any group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tradewire.core.errors import KafkaUnavailable, MalformedRecord
from tradewire.core.logs import get_logger
from tradewire.core.settings import KafkaSettings
from tradewire.processors.dead_letters import ORPHAN, Failure, original_headers, read_failure, topic_of
from tradewire.processors.parking.facts import Edit, Facts, Kind, ParkedKey, Partition
from tradewire.processors.parking.topics import keys_topic_of
from tradewire.schemas import Header

_log = get_logger(__name__)
T = TypeVar("T")
# Not retriable to librdkafka, and over by themselves all the same.
_NOT_YET: Final = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    # What librdkafka makes of metadata that name no partitions, seen of a broker that was cut off from its controller.
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
)

READ_TIMEOUT_S: Final = 15.0
# A key is parked by the consumer's clock, its letters are stamped by the broker's.
CLOCKS_APART_MS_MAX: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The record as it was where it failed: position, timestamp and headers are those of the source topic.

    ``lies_at`` is its place in the topic of dead letters. Of an ``edited`` one value and headers are the edited ones.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    failure: Failure
    lies_at: tuple[int, int]
    edited: Edit | None = None

    @property
    def parked_key(self) -> ParkedKey:
        """What it waits behind; an orphan waits alone."""
        if self.failure.kind == ORPHAN:
            return self.position
        return ParkedKey.of(self.topic, self.partition, self.key, self.offset)

    @property
    def position(self) -> ParkedKey:
        """The name under which edits and discards of this letter are kept."""
        return ParkedKey(self.topic, self.partition, None, self.offset)

    def with_edit(self, edit: Edit | None) -> DeadLetter:
        if edit is None:
            return self
        return DeadLetter(
            self.topic,
            self.partition,
            self.offset,
            self.timestamp,
            self.key,
            self.value if edit.value is None else edit.value,
            self.headers if edit.headers is None else edit.headers,
            self.failure,
            self.lies_at,
            edit,
        )


def letter_of(message: Any) -> DeadLetter | None:
    """The dead letter in a message; None if its headers do not say from where it came."""
    headers: list[Header] = list(message.headers() or ())
    failure = read_failure(headers)
    if failure is None or failure.topic is None or failure.partition is None or failure.offset is None:
        return None
    return DeadLetter(
        failure.topic,
        failure.partition,
        failure.offset,
        message.timestamp()[1] if failure.timestamp_ms is None else failure.timestamp_ms,
        message.key(),
        message.value(),
        tuple(original_headers(headers)),
        failure,
        (message.partition(), message.offset()),
    )


def reader_config(kafka: KafkaSettings) -> dict[str, Any]:
    """A consumer that belongs to no group and commits nothing."""
    return {
        **kafka.client_config(),
        # librdkafka wants a group's name even where no group is used.
        "group.id": "tradewire-parking-reader",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "allow.auto.create.topics": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": 50,
    }


def read_to_end(
    kafka: KafkaSettings, places: Sequence[TopicPartition], ends: Mapping[Partition, int] | None = None
) -> Iterator[Any]:
    """Messages of partitions, each from its offset to where its end is met, each partition in order.

    ``ends`` are offsets below which to stay, by partition.

    Raises:
        KafkaUnavailable: nothing comes for ``READ_TIMEOUT_S``, or the broker refuses.
    """
    if not places:
        return
    consumer = Consumer(reader_config(kafka))
    left = {(place.topic, place.partition) for place in places}
    try:
        consumer.assign(list(places))
        until = time.monotonic() + READ_TIMEOUT_S
        while left:
            for message in consumer.consume(2_000, 0.2):
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    if error.retriable() or error.code() in _NOT_YET:
                        continue
                    raise KafkaException(error)
                until = time.monotonic() + READ_TIMEOUT_S
                place, offset = (str(message.topic()), int(message.partition() or 0)), int(message.offset() or 0)
                if error is not None or (ends is not None and offset >= ends[place]):
                    left.discard(place)
                    continue
                yield message
                if ends is not None and offset + 1 >= ends[place]:
                    left.discard(place)
            if time.monotonic() > until:
                raise KafkaUnavailable(f"{kafka.bootstrap_servers} gives nothing for {READ_TIMEOUT_S:.0f} s")
    except KafkaException as error:
        raise KafkaUnavailable(f"{kafka.bootstrap_servers} cannot be read: {error.args[0]}") from error
    finally:
        consumer.close()


def asked(kafka: KafkaSettings, question: Callable[[], T]) -> T:
    """The broker's answer. Of a topic that was just made it says for a moment that nobody leads it: asked again.

    Raises:
        KafkaUnavailable: no answer within ``READ_TIMEOUT_S``, or one that asking again will not change.
    """
    until = time.monotonic() + READ_TIMEOUT_S
    while True:
        try:
            return question()
        except KafkaException as error:
            if time.monotonic() > until or not (error.args[0].retriable() or error.args[0].code() in _NOT_YET):
                raise KafkaUnavailable(f"{kafka.bootstrap_servers} does not answer: {error.args[0]}") from error
        time.sleep(0.1)


def told(places: Iterable[TopicPartition]) -> list[TopicPartition]:
    """The same places. An answer about many says of each by itself that it could not be told, with no offset then.

    Raises:
        KafkaException: it could not of one.
    """
    found = list(places)
    for place in found:
        if place.error is not None:
            raise KafkaException(place.error)
    return found


def read_letters(
    kafka: KafkaSettings, group: str, partitions: int, wanted: Mapping[ParkedKey, int] | None = None
) -> Iterator[DeadLetter]:
    """Letters of a group, in the order of each partition of their topic; a letter written twice comes twice.

    ``wanted`` says which keys, and the time (ms) since which each is parked: no others are read, and only the
    partitions that hold them. None reads all there are.
    """
    topic = topic_of(group)
    since: dict[int, int] = {}
    for key, since_ms in (wanted or {}).items():
        place = key.partition % partitions
        since[place] = min(since.get(place, since_ms), since_ms)
    if wanted is None:
        places = [TopicPartition(topic, number, 0) for number in range(partitions)]
    else:
        places = _at_times(kafka, topic, {number: ms - CLOCKS_APART_MS_MAX for number, ms in since.items()})
    for message in read_to_end(kafka, places):
        letter = letter_of(message)
        if letter is not None and (wanted is None or letter.parked_key in wanted):
            yield letter


def _at_times(kafka: KafkaSettings, topic: str, times_ms: Mapping[int, int]) -> list[TopicPartition]:
    if not times_ms:
        return []
    consumer = Consumer(reader_config(kafka))
    wanted = [TopicPartition(topic, number, max(0, ms)) for number, ms in times_ms.items()]
    try:
        return asked(kafka, lambda: told(consumer.offsets_for_times(wanted, timeout=READ_TIMEOUT_S)))
    finally:
        consumer.close()


def in_order(letters: Iterable[DeadLetter]) -> dict[ParkedKey, list[DeadLetter]]:
    """Letters by key in the order of their source; of one that was written twice the first counts."""
    found: dict[ParkedKey, dict[int, DeadLetter]] = {}
    for letter in letters:
        found.setdefault(letter.parked_key, {}).setdefault(letter.offset, letter)
    return {key: [by_offset[offset] for offset in sorted(by_offset)] for key, by_offset in found.items()}


def committed_of(kafka: KafkaSettings, group: str, places: Iterable[Partition]) -> dict[Partition, int]:
    """The committed offsets of a group, -1001 where there is none. Does not join the group.

    Raises:
        KafkaUnavailable: the broker does not say within ``READ_TIMEOUT_S``.
    """
    consumer = Consumer({**reader_config(kafka), "group.id": group})
    wanted = [TopicPartition(*place) for place in places]
    try:
        found = asked(kafka, lambda: told(consumer.committed(wanted, timeout=READ_TIMEOUT_S)))
        return {(place.topic, place.partition): place.offset for place in found}
    finally:
        consumer.close()


def committed_or_first(kafka: KafkaSettings, group: str, places: Iterable[Partition]) -> dict[Partition, int]:
    """Where a group reads on: its committed offset, or the first one there is. Raises as ``committed_of``."""
    found = committed_of(kafka, group, places)
    unknown = [TopicPartition(*place) for place, offset in found.items() if offset < 0]
    if unknown:
        consumer = Consumer(reader_config(kafka))
        try:
            found |= {(place.topic, place.partition): _ends(kafka, consumer, place)[0] for place in unknown}
        finally:
            consumer.close()
    return found


def _ends(kafka: KafkaSettings, consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    return asked(kafka, lambda: consumer.get_watermark_offsets(place, timeout=READ_TIMEOUT_S, cached=False))


class FactsTail:
    """Follows the topic of parked keys: all its partitions, from their beginning."""

    def __init__(self, kafka: KafkaSettings, group: str, partitions: int) -> None:
        self.facts = Facts()
        self._kafka = kafka
        self._topic = keys_topic_of(group)
        self._at = dict.fromkeys(range(partitions), 0)
        self._consumer = Consumer(reader_config(kafka))
        self._consumer.assign([TopicPartition(self._topic, number, 0) for number in range(partitions)])

    def catch_up(self) -> list[tuple[Kind, ParkedKey]]:
        """Reads to where the topic ends now; returns what was learned. Blocks up to ``READ_TIMEOUT_S``.

        Raises:
            KafkaUnavailable: the end was not reached.
        """
        learned: list[tuple[Kind, ParkedKey]] = []
        places = {number: TopicPartition(self._topic, number) for number in self._at}
        ends = {number: _ends(self._kafka, self._consumer, place)[1] for number, place in places.items()}
        until = time.monotonic() + READ_TIMEOUT_S
        try:
            while any(self._at[number] < end for number, end in ends.items()):
                learned += self._read(0.1)
                if time.monotonic() > until:
                    raise KafkaUnavailable(f"{self._topic} could not be read to its end in {READ_TIMEOUT_S:.0f} s")
        except KafkaException as error:
            raise KafkaUnavailable(f"{self._topic} cannot be read: {error.args[0]}") from error
        return learned

    def poll(self) -> list[tuple[Kind, ParkedKey]]:
        """What has come since; never blocks, and a broker that is away is no error here."""
        try:
            return self._read(0)
        except KafkaException as error:
            _log.warning("parked keys cannot be followed now", topic=self._topic, reason=str(error.args[0]))
            return []

    def close(self) -> None:
        self._consumer.close()

    def _read(self, timeout_s: float) -> list[tuple[Kind, ParkedKey]]:
        learned = []
        for message in self._consumer.consume(2_000, timeout_s):
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if error.retriable() or error.code() in (*_NOT_YET, KafkaError._ALL_BROKERS_DOWN):
                    continue
                raise KafkaException(error)
            number = int(message.partition() or 0)
            if error is not None:
                self._at[number] = max(self._at[number], int(message.offset() or 0))
                continue
            self._at[number] = int(message.offset() or 0) + 1
            try:
                learned.append(self.facts.take(message.key(), message.value()))
            except MalformedRecord as malformed:
                _log.error(
                    "record left out",
                    topic=self._topic,
                    partition=number,
                    offset=message.offset(),
                    reason=str(malformed),
                )
        return learned
