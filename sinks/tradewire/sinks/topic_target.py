"""Replayed records into a topic, each confirmed."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from tradewire.core.errors import KafkaUnavailable, ReplayError
from tradewire.core.settings import Settings
from tradewire.schemas.headers import Header
from tradewire.sinks.digest import REPLAY_HEADER
from tradewire.sinks.records import RecordColumns

_TIMEOUT_S: Final = 30.0
_BY_KEY: Final = -1
_POLL_EVERY: Final = 256


class TargetInvalid(ReplayError):
    """Raised when records cannot go to a topic as asked; nothing has been produced."""


class TopicTarget:
    """Replays into one topic, one after the other: ``begin``, ``produce`` as often as needed, ``finish``.

    ``next_offset`` is the source offset behind the last record of a replay once all of it is confirmed, or that of its
    first record that was not. The producer is idempotent, so that within a replay no record is written twice and order
    per partition holds.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
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
                # That a record was written is told by the end of ``flush``; a call for each would say the same.
                "delivery.report.only.error": True,
            }
        )
        self._topic = topic
        self._servers = settings.kafka.bootstrap_servers
        self.next_offset: int | None = None

    def begin(self, replay_id: str | None, source_partition: int) -> None:
        """Adds a header when ``replay_id`` is given; without it the records keep the number of their partition.

        Raises:
            TargetInvalid, KafkaUnavailable: nothing has been produced.
        """
        partitions = self._partitions()
        if replay_id is None and source_partition >= partitions:
            raise TargetInvalid(
                f"{self._topic} has {partitions} partitions; an exact replay of partition {source_partition} needs "
                "that one"
            )
        self._extra: list[Header] = [] if replay_id is None else [(REPLAY_HEADER, replay_id.encode())]
        self._keyless = source_partition % partitions
        self._partition = source_partition if replay_id is None else _BY_KEY
        self._failed: tuple[int, str] | None = None
        self._last: int | None = None
        self.next_offset = None

    def _partitions(self) -> int:
        try:
            topics = self._producer.list_topics(self._topic, timeout=_TIMEOUT_S).topics
        except KafkaException as error:
            raise KafkaUnavailable(f"{self._servers} does not answer: {error.args[0]}") from error
        found = topics.get(self._topic)
        if found is None or found.error is not None or not found.partitions:
            raise TargetInvalid(f"topic {self._topic} does not exist: create it first, it is not made by a replay")
        return len(found.partitions)

    def produce(self, records: RecordColumns) -> None:
        """Hands records to the producer in their order; waits when its queue is full.

        Raises:
            ReplayError: one cannot be produced, or one before was not confirmed.
        """
        produce, poll, topic, extra = self._producer.produce, self._producer.poll, self._topic, self._extra
        by_key, report = self._partition == _BY_KEY, self._report
        columns = zip(
            records.offsets, records.timestamps_ms, records.keys, records.values, records.headers.lists(), strict=True
        )
        for offset, timestamp_ms, key, value, headers in columns:
            if extra:
                headers += extra
            partition = self._keyless if by_key and key is None else self._partition
            report_failure = partial(report, offset)
            while True:
                try:
                    produce(
                        topic,
                        value,
                        key,
                        partition,
                        on_delivery=report_failure,
                        timestamp=timestamp_ms,
                        headers=headers,  # type: ignore[arg-type]
                    )
                except BufferError:
                    poll(0.1)
                    self._raise_failure()
                except KafkaException as error:
                    raise ReplayError(f"offset {offset} cannot be produced to {topic}: {error.args[0]}") from error
                else:
                    break
            self._last = offset
            if not offset % _POLL_EVERY:
                poll(0)
                self._raise_failure()

    def _report(self, offset: int, error: Any, _message: Any) -> None:
        if error is not None and (self._failed is None or offset < self._failed[0]):
            self._failed = (offset, str(error))

    def finish(self) -> None:
        """Blocks until every record is confirmed. Raises ReplayError when one was not."""
        self._producer.flush()
        self._raise_failure()
        if self._last is not None:
            self.next_offset = self._last + 1

    def _raise_failure(self) -> None:
        if self._failed is None:
            return
        offset, why = self._failed
        self.next_offset = offset
        raise ReplayError(
            f"offset {offset} was not confirmed by {self._topic} ({why}); replay again from there, later records may "
            "have been written",
            offset=offset,
        )
