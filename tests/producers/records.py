"""Reading back what was published, by position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from tests.waiting import wait_until

from tradewire.core.settings import KafkaSettings
from tradewire.schemas import Position


class Reader:
    """Reads single records and whole stretches of partitions, without a group."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._consumer = Consumer(
            kafka.client_config()
            | {"group.id": "tests-reader", "enable.auto.commit": False, "auto.offset.reset": "error"}
            | {"fetch.wait.max.ms": 20, "fetch.error.backoff.ms": 20, "enable.partition.eof": True}
            # A transaction that a killed process of another test has left open hides what lies behind it for a minute.
            | {"isolation.level": "read_uncommitted"}
        )

    def at(self, position: Position) -> Message:
        """The record at a position; waits for it."""
        return next(self.stretch(position.topic, position.partition, position.offset, position.offset + 1))

    def stretch(self, topic: str, partition: int, low: int, high: int) -> Iterator[Message]:
        """The records of ``[low, high)``; waits for them. The last offsets may hold none, but a transaction's end."""
        self._consumer.assign([TopicPartition(topic, partition, low)])
        at = low
        while at < high:
            message = wait_until(lambda: self._consumer.poll(0.2), within_s=60)
            if (error := message.error()) is not None:
                assert error.retriable() or error.code() == KafkaError._PARTITION_EOF, error
                at = max(at, message.offset() or 0) if error.code() == KafkaError._PARTITION_EOF else at
                continue
            at = message.offset() + 1
            if message.offset() < high:
                yield message

    def ends(self, topic: str, partitions: Iterable[int] = range(4)) -> dict[int, int]:
        """The end offset of each partition now; waits for a leader."""
        return {
            partition: wait_until(partial(self._watermarks, topic, partition), within_s=60)[1]
            for partition in partitions
        }

    def _watermarks(self, topic: str, partition: int) -> tuple[int, int] | None:
        try:
            return self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
        except KafkaException:
            return None

    def since(self, topic: str, before: dict[int, int]) -> Iterator[Message]:
        """All records written since ``ends`` was taken, partition by partition, in order."""
        for partition, high in self.ends(topic, before).items():
            if high > before[partition]:
                yield from self.stretch(topic, partition, before[partition], high)

    def close(self) -> None:
        self._consumer.close()


def headers_of(message: Message) -> dict[str, bytes]:
    """Headers by name, as bytes."""
    return {name: bytes(value or b"") for name, value in message.headers() or []}
