"""Replayed records into a topic, each confirmed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from tradewire.core.errors import KafkaUnavailable, ReplayError
from tradewire.core.settings import Settings
from tradewire.schemas.headers import Header
from tradewire.sinks.digest import REPLAY_HEADER
from tradewire.sinks.records import Record

_TIMEOUT_S: Final = 30.0
_BY_KEY: Final = -1


class TargetInvalid(ReplayError):
    """Raised when records cannot go to a topic as asked; nothing has been produced."""


class TopicTarget:
    """One replay into one topic. ``next_offset`` is the source offset behind the last record known to be written.

    The producer is idempotent, so that within this replay no record is written twice and order per partition holds.
    """

    def __init__(self, settings: Settings, topic: str, replay_id: str | None, source_partition: int) -> None:
        """Adds a header when ``replay_id`` is given; without it the records keep the number of their partition."""
        self._producer = Producer(
            {
                **settings.kafka.client_config(),
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "compression.type": settings.publisher.compression,
                "linger.ms": 20,
                "queue.buffering.max.messages": 200_000,
                "delivery.timeout.ms": settings.publisher.delivery_timeout_ms,
            }
        )
        self._topic = topic
        self._extra: list[Header] = [] if replay_id is None else [(REPLAY_HEADER, replay_id.encode())]
        partitions = self._partitions(settings)
        if replay_id is None and source_partition >= partitions:
            raise TargetInvalid(
                f"{topic} has {partitions} partitions; an exact replay of partition {source_partition} needs that one"
            )
        self._keyless = source_partition % partitions
        self._partition = source_partition if replay_id is None else _BY_KEY
        self._failed: tuple[int, str] | None = None
        self.next_offset: int | None = None

    def _partitions(self, settings: Settings) -> int:
        try:
            topics = self._producer.list_topics(self._topic, timeout=_TIMEOUT_S).topics
        except KafkaException as error:
            raise KafkaUnavailable(f"{settings.kafka.bootstrap_servers} does not answer: {error.args[0]}") from error
        found = topics.get(self._topic)
        if found is None or found.error is not None or not found.partitions:
            raise TargetInvalid(f"topic {self._topic} does not exist: create it first, it is not made by a replay")
        return len(found.partitions)

    def pass_on(self, records: Iterable[Record]) -> Iterator[Record]:
        """Hands each record to the producer when it is asked for; waits when the producer's queue is full."""
        for record in records:
            self._produce(record)
            yield record

    def _produce(self, record: Record) -> None:
        partition = self._partition if self._partition != _BY_KEY or record.key is not None else self._keyless
        while self._failed is None:
            try:
                self._producer.produce(
                    self._topic,
                    value=record.value,
                    key=record.key,
                    partition=partition,
                    timestamp=record.timestamp_ms,
                    headers=[*record.headers, *self._extra],
                    on_delivery=self._report(record.offset),
                )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise ReplayError(
                    f"offset {record.offset} cannot be produced to {self._topic}: {error.args[0]}"
                ) from error
            else:
                self._producer.poll(0)
                return
        self._raise()

    def _report(self, offset: int) -> Any:
        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                if self._failed is None or offset < self._failed[0]:
                    self._failed = (offset, str(error))
            elif self._failed is None and (self.next_offset is None or offset >= self.next_offset):
                self.next_offset = offset + 1

        return delivered

    def finish(self) -> None:
        """Blocks until every record is confirmed. Raises ReplayError when one was not."""
        left = self._producer.flush()
        if left and self._failed is None:
            self._failed = (self.next_offset or 0, f"{left} records were not confirmed")
        if self._failed is not None:
            self._raise()

    def _raise(self) -> None:
        assert self._failed is not None
        offset, why = self._failed
        self.next_offset = offset
        raise ReplayError(
            f"offset {offset} was not confirmed by {self._topic} ({why}); replay again from there, later records may "
            "have been written",
            offset=offset,
        )
