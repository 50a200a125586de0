"""How far a consumer group is behind, per topic: what Kafka has minus what the group has committed."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from tradewire.core import KafkaUnavailable

Place = tuple[str, int]
_EARLIEST: Final[OffsetSpec] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class GroupLag:
    """A group as its coordinator sees it. ``lag`` counts records not committed yet, per topic; offsets lost to
    retention or left by transactions count as records. ``unread`` are topics that a member subscribes to and of which
    none has a partition, while the group is settled: until the members join anew nobody reads them."""

    group: str
    members: int
    lag: Mapping[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

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


def subscribed_topics(metadata: bytes) -> frozenset[str]:
    """The topics in what a member joined with: Kafka's ``ConsumerProtocolSubscription``, of any version.

    Its first fields are the version (int16) and the topics, an array of strings with a length (int16) each. A member of
    another protocol has none.
    """
    try:
        _, count = struct.unpack_from(">hi", metadata)
        topics, at = set(), 6
        for _ in range(count):
            (length,) = struct.unpack_from(">h", metadata, at)
            topics.add(metadata[at + 2 : at + 2 + length].decode())
            at += 2 + length
    except (struct.error, UnicodeDecodeError):
        return frozenset()
    return frozenset(topics)


@dataclass(frozen=True, slots=True)
class _Members:
    """Of a group: the topics that its members have partitions of, and those that they subscribe to."""

    count: int = 0
    assigned: Set[str] = frozenset()
    subscribed: Set[str] = frozenset()
    are_settled: bool = False


class GroupLags:
    """Asks the brokers. Thread-safe; a call blocks for at most about five times ``timeout_s``."""

    def __init__(self, admin: AdminClient, timeout_s: float, compacted: Iterable[str] = ()) -> None:
        self._admin = admin
        self._compacted = frozenset(compacted)
        self._timeout_s = timeout_s

    def of(self, group: str, topics: Sequence[str] = ()) -> GroupLag:
        """The lag of a group on ``topics``, on those it has committed, and on those its members subscribe to or have.

        A worker is also assigned the changelogs of its tables, which nobody commits: a compacted topic that is only
        subscribed to and assigned does not count.

        Raises:
            KafkaUnavailable: the brokers do not answer in time.
        """
        try:
            committed = self._committed(group)
            members = self._members(group)
            reads = (members.assigned | members.subscribed) - self._compacted
            names = {topic for topic, _ in committed} | reads | set(topics)
            places = self._places(names)
            starts = self._offsets(places, _EARLIEST)
            ends = self._offsets(places, _LATEST)
        except (KafkaException, TimeoutError) as error:
            raise KafkaUnavailable(
                f"the lag of group {group} is not known: {str(error) or 'no broker answers in time'}", group=group
            ) from error
        unread = sorted(members.subscribed - members.assigned) if members.are_settled else ()
        return GroupLag(group, members.count, lag_by_topic(committed, starts, ends), tuple(unread))

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

    def _members(self, group: str) -> _Members:
        future = self._admin.describe_consumer_groups([group], request_timeout=self._timeout_s)[group]
        try:
            answer: Any = future.result(self._timeout_s)
        except KafkaException as error:
            if error.args[0].name() == "GROUP_ID_NOT_FOUND":
                return _Members()
            raise
        assigned = {
            place.topic
            for member in answer.members
            if member.assignment
            for place in member.assignment.topic_partitions
        }
        # What members subscribe to is told by this question alone, which is deprecated for one that leaves it out.
        found = [at for at in self._admin.list_groups(group, timeout=self._timeout_s) if at.id == group]
        joined: list[Any] = [member for at in found for member in at.members]
        subscribed = {topic for member in joined for topic in subscribed_topics(member.metadata)}
        are_settled = (
            answer.state is ConsumerGroupState.STABLE
            and all(at.state == "Stable" for at in found)
            and {member.id for member in joined} == {member.member_id for member in answer.members}
        )
        return _Members(len(answer.members), assigned, subscribed, are_settled)
