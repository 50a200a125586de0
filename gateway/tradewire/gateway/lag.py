"""How far a consumer group is behind, per topic: what Kafka has minus what the group has committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from tradewire.core import KafkaUnavailable

Place = tuple[str, int]
_EARLIEST: Final[OffsetSpec] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class GroupLag:
    """A group as its coordinator sees it. ``lag`` counts records not committed yet, per topic; offsets lost to
    retention or left by transactions count as records."""

    group: str
    members: int
    lag: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.lag.values())


def lag_by_topic(
    committed: Mapping[Place, int], starts: Mapping[Place, int], ends: Mapping[Place, int]
) -> dict[str, int]:
    """Per topic, the sum over its partitions. Where nothing is committed, the group starts at the beginning.

    A committed offset before the beginning (retention was faster) counts from the beginning, one behind the end (the
    topic was made anew) counts as nothing.
    """
    lag: dict[str, int] = {}
    for place, end in ends.items():
        begin = max(committed.get(place, 0), starts.get(place, 0))
        lag[place[0]] = lag.get(place[0], 0) + max(0, end - begin)
    return dict(sorted(lag.items()))


class GroupLags:
    """Asks the brokers. Thread-safe; a call blocks for at most about three times ``timeout_s``."""

    def __init__(self, admin: AdminClient, timeout_s: float, compacted: Iterable[str] = ()) -> None:
        self._admin = admin
        self._compacted = frozenset(compacted)
        self._timeout_s = timeout_s

    def of(self, group: str, topics: Sequence[str] = ()) -> GroupLag:
        """The lag of a group on ``topics``, on those it has committed offsets of, and on those assigned to it.

        A worker is also assigned the changelogs of its tables, which nobody commits: a compacted topic that is only
        assigned does not count.

        Raises:
            KafkaUnavailable: the brokers do not answer in time.
        """
        try:
            committed = self._committed(group)
            members, assigned = self._members(group)
            names = {topic for topic, _ in committed} | (assigned - self._compacted) | set(topics)
            places = self._places(names)
            starts = self._offsets(places, _EARLIEST)
            ends = self._offsets(places, _LATEST)
        except (KafkaException, TimeoutError) as error:
            raise KafkaUnavailable(
                f"the lag of group {group} is not known: {str(error) or 'no broker answers in time'}", group=group
            ) from error
        return GroupLag(group, members, lag_by_topic(committed, starts, ends))

    def _committed(self, group: str) -> dict[Place, int]:
        wanted = [ConsumerGroupTopicPartitions(group)]
        future = self._admin.list_consumer_group_offsets(wanted, request_timeout=self._timeout_s)[group]
        answer: Any = future.result(self._timeout_s)
        found: dict[Place, int] = {}
        for entry in answer.topic_partitions or ():
            if entry.error is None and entry.offset >= 0:
                found[entry.topic, entry.partition] = entry.offset
        return found

    def _places(self, topics: set[str]) -> list[TopicPartition]:
        if not topics:
            return []
        metadata = self._admin.list_topics(timeout=self._timeout_s)
        return [
            TopicPartition(name, partition)
            for name in sorted(topics)
            if name in metadata.topics
            for partition in metadata.topics[name].partitions
        ]

    def _offsets(self, places: list[TopicPartition], spec: OffsetSpec) -> dict[Place, int]:
        if not places:
            return {}
        futures = self._admin.list_offsets(dict.fromkeys(places, spec), request_timeout=self._timeout_s)
        return {
            (place.topic, place.partition): future.result(self._timeout_s).offset for place, future in futures.items()
        }

    def _members(self, group: str) -> tuple[int, set[str]]:
        """How many members, and the topics that are assigned to them."""
        future = self._admin.describe_consumer_groups([group], request_timeout=self._timeout_s)[group]
        try:
            answer: Any = future.result(self._timeout_s)
        except KafkaException as error:
            if error.args[0].name() == "GROUP_ID_NOT_FOUND":
                return 0, set()
            raise
        topics = {
            place.topic
            for member in answer.members
            if member.assignment
            for place in member.assignment.topic_partitions
        }
        return len(answer.members), topics
