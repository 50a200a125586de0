"""Kafka as the measurements see it: filling topics, counting records, asking for lag, making topics anew."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from benchmarks.measure import NotVerified, Stopwatch
from benchmarks.report import Run
from benchmarks.trades import Ready
from tradewire.core import Settings
from tradewire.producers.publisher import producer_config
from tradewire.schemas import Topic, TopicAdmin

_TIMEOUT_S: Final = 15
_FLUSH_S: Final = 120
_POLL_EVERY: Final = 1_000


class Log:
    """One broker: counts, offsets and topics. Every call blocks until the broker has answered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        config = settings.kafka.client_config()
        self._admin = AdminClient({**config, "log_level": 2})
        # Reads watermarks and joins no group.
        self._reader = Consumer({**config, "group.id": "bench-watermarks", "log_level": 2})

    def close(self) -> None:
        self._reader.close()

    def ends(self, topic: str) -> dict[int, int]:
        """The end offset of each partition."""
        partitions = self._reader.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
        return {
            number: self._reader.get_watermark_offsets(TopicPartition(topic, number), timeout=_TIMEOUT_S)[1]
            for number in partitions
        }

    def count(self, topic: str) -> int:
        """Offsets handed out so far, over all partitions."""
        return sum(self.ends(topic).values())

    def committed(self, group: str, topics: Sequence[str]) -> int:
        """The sum of the offsets that the group has committed on the topics; 0 where it has none."""
        asked = ConsumerGroupTopicPartitions(group)
        future = self._admin.list_consumer_group_offsets([asked], request_timeout=_TIMEOUT_S)[group]
        found = future.result(_TIMEOUT_S).topic_partitions or []
        return sum(max(0, place.offset) for place in found if place.topic in topics)

    def make_anew(self, topics: Iterable[Topic]) -> None:
        """Deletes the topics and makes them again, empty."""
        wanted = {topic.name: topic for topic in topics}
        if not wanted:
            return
        present = sorted(set(self._admin.list_topics(timeout=_TIMEOUT_S).topics) & set(wanted))
        if present:
            for future in self._admin.delete_topics(present, operation_timeout=_TIMEOUT_S).values():
                future.result(_TIMEOUT_S)
        deadline = time.monotonic() + _TIMEOUT_S
        while set(self._admin.list_topics(timeout=_TIMEOUT_S).topics) & set(wanted):
            if time.monotonic() > deadline:
                raise NotVerified(f"{', '.join(sorted(wanted))}: not deleted within {_TIMEOUT_S} s")
            time.sleep(0.05)
        TopicAdmin(self._settings.kafka).ensure(wanted)
        for name, topic in wanted.items():
            self._wait_until_empty(name, topic.partitions)

    def empty(self, topics: Mapping[str, Topic]) -> None:
        """Makes those topics anew that hold records."""
        present = self._admin.list_topics(timeout=_TIMEOUT_S).topics
        self.make_anew(topic for name, topic in topics.items() if name in present and self.count(name))

    def ensure(self, topic: Topic) -> None:
        """Makes a topic that is not there."""
        TopicAdmin(self._settings.kafka).ensure({topic.name: topic})

    def forget_records(self, topic: str) -> None:
        """Deletes all records of a topic as retention does: offsets go on where they are."""
        places = [TopicPartition(topic, number, end) for number, end in self.ends(topic).items()]
        for future in self._admin.delete_records(places, request_timeout=_TIMEOUT_S).values():
            future.result(_TIMEOUT_S)

    def _wait_until_empty(self, name: str, partitions: int) -> None:
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                if len(self.ends(name)) == partitions and not self.count(name):
                    return
            except KafkaException:
                pass
            if time.monotonic() > deadline:
                raise NotVerified(f"{name}: not empty and ready within {_TIMEOUT_S} s")
            time.sleep(0.05)

    def newest_by_key(self, topic: str) -> Mapping[bytes, bytes]:
        """The last value of each key of a topic, read to its end."""
        return {message.key(): message.value() for message in self.read(topic) if message.value() is not None}

    def by_partition(self, topic: str) -> Mapping[int, list[Any]]:
        """Every record of a topic up to its present end, by partition in offset order."""
        found: dict[int, list[Any]] = {}
        for message in self.read(topic):
            found.setdefault(message.partition(), []).append(message)
        return found

    def read(self, topic: str) -> Iterator[Any]:
        """Every record of a topic up to its present end, partition by partition in offset order."""
        with plain_consumer(self._settings) as consumer:
            ends = self.ends(topic)
            consumer.assign([TopicPartition(topic, number, 0) for number, end in ends.items() if end])
            left = {number for number, end in ends.items() if end}
            deadline = time.monotonic() + 60
            while left:
                for message in consumer.consume(10_000, 0.5):
                    if message.error() is not None:
                        raise KafkaException(message.error())
                    yield message
                for place in consumer.position([TopicPartition(topic, number) for number in left]):
                    if place.offset >= ends[place.partition]:
                        left.discard(place.partition)
                if time.monotonic() > deadline:
                    raise NotVerified(f"{topic}: could not be read to its end within 60 s")


@contextmanager
def plain_consumer(settings: Settings) -> Iterator[Consumer]:
    """A consumer that is assigned by hand and commits nothing."""
    consumer = Consumer(
        {
            **settings.kafka.client_config(),
            "group.id": "bench-reader",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()


def produce_ready(settings: Settings, topic: str, records: Sequence[Ready]) -> Run:
    """Sends ready records with the publisher's own client settings; the run ends when all are delivered.

    It does not hold the first record, whose delivery shows that the producer has its connection and its id: for that it
    may wait half a second by a timer.

    Raises:
        NotVerified: some are not delivered.
    """
    producer = Producer(producer_config(settings.kafka, settings.publisher))
    produce, poll = producer.produce, producer.poll
    first, *rest = records
    produce(topic, first.value, first.key, headers=first.headers)
    producer.flush(_FLUSH_S)
    watch = Stopwatch()
    for number, (key, value, headers) in enumerate(rest):
        try:
            produce(topic, value, key, headers=headers)
        except BufferError:
            poll(0.01)
            produce(topic, value, key, headers=headers)
        if not number % _POLL_EVERY:
            poll(0)
    left = producer.flush(_FLUSH_S)
    run = watch.run(len(rest))
    if left:
        raise NotVerified(f"{topic}: {left} of {len(records)} records were not delivered")
    return run
