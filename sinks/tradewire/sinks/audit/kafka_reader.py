"""Reads stretches of partitions from Kafka for an audit: its own consumer, no group, nothing committed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tradewire.core.errors import KafkaUnavailable, QueryError
from tradewire.core.settings import Settings

_CHUNK_ROWS: Final = 10_000
_POLL_S: Final = 0.2
# A broker that gives nothing for so long, although it said that there is more, is taken for gone.
_SILENCE_S: Final = 60.0

Isolation = Literal["read_committed", "read_uncommitted"]


class NotAuditable(QueryError):
    """Raised when a partition cannot be compared; says why. Nothing was changed, and nothing is said about its rows."""


class RangeExpired(Exception):
    """Kafka no longer has the offset that is to be read next: retention has overtaken the audit."""


class KafkaReader:
    """One consumer. Not thread-safe; ``close`` it, or use it as a context manager."""

    def __init__(self, settings: Settings, isolation: Isolation) -> None:
        self._servers = settings.kafka.bootstrap_servers
        self._consumer = Consumer(
            {
                **settings.kafka.client_config(),
                # librdkafka wants a group's name even where no group is used.
                "group.id": "tradewire-audit",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": isolation,
                "allow.auto.create.topics": False,
                # A flipped bit on the way is not to look like an altered row.
                "check.crcs": True,
                "queued.min.messages": 50_000,
                "queued.max.messages.kbytes": 32_768,
            },
            logger=None,
        )

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, topic: str, partition: int, lo: int, end: int) -> Iterator[Sequence[Any]]:
        """The messages of offsets ``lo`` to ``end``, exclusive, in lists of at most 10,000, in order.

        Raises:
            RangeExpired: Kafka no longer has the next offset; what was given stands.
            KafkaUnavailable: no broker gives anything for a minute.
            NotAuditable: the broker refuses to let this partition be read.
        """
        if lo >= end:
            return
        try:
            self._consumer.assign([TopicPartition(topic, partition, lo)])
            try:
                yield from self._read(topic, partition, end)
            finally:
                self._consumer.unassign()
        except KafkaException as error:
            raise KafkaUnavailable(f"{topic}[{partition}] cannot be read: {error.args[0]}") from error

    def _read(self, topic: str, partition: int, end: int) -> Iterator[Sequence[Any]]:
        while True:
            messages = self._poll()
            good = [message for message in messages if message.error() is None]
            if good and good[-1].offset() >= end:
                yield [message for message in good if message.offset() < end]
                return
            if good:
                yield good
            for message in messages:
                if message.error() is not None and self._ends(message, topic, partition, end):
                    return

    def _poll(self) -> Sequence[Any]:
        messages: Sequence[Any] = self._consumer.consume(_CHUNK_ROWS, _POLL_S)
        if messages:
            return messages
        first = self._consumer.poll(_SILENCE_S)
        if first is None:
            raise KafkaUnavailable(f"{self._servers} gives nothing for {_SILENCE_S:.0f} s")
        return [first]

    @staticmethod
    def _ends(message: Any, topic: str, partition: int, end: int) -> bool:
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            # Behind the last record may be transaction markers only.
            return bool(message.offset() >= end)
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise RangeExpired(f"{topic}[{partition}]: {error}")
        if error.retriable() or error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            return False
        raise NotAuditable(f"{topic}[{partition}] cannot be read: {error}", topic=topic, partition=partition)
