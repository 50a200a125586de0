"""Reading the ends of topics back: what of a spool is in Kafka already."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tradewire.core import KafkaUnavailable
from tradewire.core.settings import KafkaSettings
from tradewire.producers._spool_store import Base

# Clocks of ours and the brokers' may differ by so much where only a time says from where on to read.
CLOCK_DIFFERENCE_MS: Final = 600_000
_TIMEOUT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 30.0
_BATCH: Final = 1_000


def ends_of(kafka: KafkaSettings, topics: Sequence[str]) -> dict[str, Base]:
    """The end of every partition now. A topic that does not exist has no partitions and gets an empty base.

    Raises:
        KafkaException: a broker did not answer, or refuses.
    """
    now_ms = time.time_ns() // 1_000_000 - CLOCK_DIFFERENCE_MS
    with closing(_consumer(kafka)) as consumer:
        return {
            topic: Base({part: consumer.get_watermark_offsets(TopicPartition(topic, part), timeout=_TIMEOUT_SECONDS)[1]
                         for part in _partitions(consumer, topic)}, now_ms)
            for topic in topics
        }  # fmt: skip


def ids_since(kafka: KafkaSettings, bases: Mapping[str, Base], ending: Callable[[], bool]) -> Iterator[str]:
    """The ids of all events written from ``bases`` on, up to the ends as they are now, partition by partition in order.

    Aborted transactions are read too: nothing of a spool is ever in one. Blocks while it reads.

    Raises:
        KafkaException, KafkaUnavailable: a broker did not answer or refuses READ, or ``ending`` came true; nothing may
            be concluded.
    """
    with closing(_consumer(kafka)) as consumer:
        left: set[tuple[str, int]] = set()
        starts: list[TopicPartition] = []
        for topic, base in bases.items():
            for partition in _partitions(consumer, topic):
                start = _start(consumer, topic, partition, base)
                _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_SECONDS)
                if start < high:
                    starts.append(TopicPartition(topic, partition, start))
                    left.add((topic, partition))
        consumer.assign(starts)
        heard = time.monotonic()
        while left:
            for message in consumer.consume(_BATCH, timeout=1.0):
                heard = time.monotonic()
                error = message.error()
                if error is None:
                    headers: Any = dict(message.headers() or ())
                    yield (headers.get("ce_id") or b"").decode(errors="replace")
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard((str(message.topic()), int(message.partition() or 0)))
                elif not error.retriable() and error.code() != KafkaError._TRANSPORT:
                    raise KafkaException(error)
            if ending():
                raise KafkaUnavailable("reading back was ended")
            if time.monotonic() - heard > _SILENCE_SECONDS:
                raise KafkaUnavailable(f"reading {sorted(left)} back, no broker answered for {_SILENCE_SECONDS:g} s")


def _start(consumer: Consumer, topic: str, partition: int, base: Base) -> int:
    if partition in base.offsets:
        return base.offsets[partition]
    asked = [TopicPartition(topic, partition, max(0, base.else_time_ms))]
    (found,) = consumer.offsets_for_times(asked, timeout=_TIMEOUT_SECONDS)
    if found.error is not None:
        raise KafkaException(found.error)
    # -1: nothing is as new as that time.
    return int(found.offset) if found.offset >= 0 else 2**62


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    described = consumer.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic]
    if described.error is not None:
        if described.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return []
        raise KafkaException(described.error)
    return sorted(described.partitions)


def _consumer(kafka: KafkaSettings) -> Consumer:
    return Consumer(
        kafka.client_config()
        | {
            "group.id": "tradewire-spool",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
            "log_level": 2,
        }
    )
