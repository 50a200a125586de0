"""How far history is complete: what Kafka has of each partition, and up to where the sink has confirmed it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from tradewire.core.errors import KafkaUnavailable
from tradewire.core.settings import Settings

_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class PartitionPosition:
    """One partition at one moment; offsets count from 0, ends are exclusive.

    ``low`` is the oldest offset that Kafka has, ``end`` is behind the last one that a read-committed reader may see
    (its last stable offset). Everything below ``stored_to`` is in ClickHouse: it is the sink's commit, made after the
    insert. None says that the sink has never committed here. Rows above it may be there already.
    """

    topic: str
    partition: int
    low: int
    end: int
    stored_to: int | None

    @property
    def behind(self) -> int:
        """Offsets that are not confirmed yet; transaction markers count."""
        return max(0, self.end - max(self.low, self.stored_to or 0))


class SinkPositions:
    """Asks the brokers. Joins no group and commits nothing. A call blocks for at most four times ``timeout_s``."""

    def __init__(self, admin: AdminClient, group: str, servers: str, timeout_s: float = _TIMEOUT_S) -> None:
        self._admin = admin
        self._group = group
        self._servers = servers
        self._timeout_s = timeout_s

    @classmethod
    def of(cls, settings: Settings, timeout_s: float = _TIMEOUT_S) -> Self:
        # Level 2: a refused connection comes back as our error, not as a stream of lines on stderr.
        admin = AdminClient({**settings.kafka.client_config(), "log_level": 2})
        return cls(admin, settings.sink.group, settings.kafka.bootstrap_servers, timeout_s)

    def read(self, topics: Iterable[str]) -> Sequence[PartitionPosition]:
        """The partitions of the topics that exist, in order; topics that do not exist are left out.

        ``stored_to`` is asked first: what is below it was in ClickHouse before this returns.

        Raises:
            KafkaUnavailable: no broker answers, or one refuses.
        """
        try:
            wanted = self._partitions(topics)
            if not wanted:
                return []
            stored = self._committed(wanted)
            lows = self._offsets(wanted, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
            ends = self._offsets(wanted, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        except (KafkaException, TimeoutError) as error:
            cause = (
                error.args[0].str() if isinstance(error, KafkaException) else f"no answer in {self._timeout_s:.0f} s"
            )
            raise KafkaUnavailable(
                f"{self._servers} does not say how far topics and the sink are: {cause}. Is the broker up, and is "
                "kafka.bootstrap_servers right?"
            ) from error
        return [
            PartitionPosition(
                topic, partition, lows[topic, partition], ends[topic, partition], stored[topic, partition]
            )
            for topic, partition in wanted
        ]

    def _partitions(self, topics: Iterable[str]) -> list[tuple[str, int]]:
        found = self._admin.list_topics(timeout=self._timeout_s).topics
        present = sorted({topic for topic in topics if topic in found and found[topic].error is None})
        return [(topic, partition) for topic in present for partition in sorted(found[topic].partitions)]

    def _committed(self, wanted: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], int | None]:
        question = ConsumerGroupTopicPartitions(self._group, [TopicPartition(*at) for at in wanted])
        future = self._admin.list_consumer_group_offsets([question], request_timeout=self._timeout_s)[self._group]
        answers = {}
        for answer in future.result(self._timeout_s).topic_partitions:
            if answer.error is not None:
                raise KafkaException(answer.error)
            answers[answer.topic, answer.partition] = answer.offset if answer.offset >= 0 else None
        return {at: answers.get(at) for at in wanted}

    def _offsets(self, wanted: Sequence[tuple[str, int]], spec: Any) -> Mapping[tuple[str, int], int]:
        futures = self._admin.list_offsets(
            {TopicPartition(*at): spec for at in wanted},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=self._timeout_s,
        )
        return {(at.topic, at.partition): future.result(self._timeout_s).offset for at, future in futures.items()}
