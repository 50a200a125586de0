"""Looks at a consumer group from outside and judges by ``watchdog`` whether its worker hangs. Changes nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from tradewire.core.logs import get_logger
from tradewire.core.settings import KafkaSettings
from tradewire.processors.liveness import read_membership, read_work
from tradewire.processors.watchdog import Offsets, Place, Rules, Sight, Standing, Watch

_log = get_logger(__name__)

_TIMEOUT_S: Final = 5.0
_PROBE_S: Final = 3.0
_REBALANCING = frozenset({ConsumerGroupState.PREPARING_REBALANCING, ConsumerGroupState.COMPLETING_REBALANCING})
_NAMED_MAX: Final = 20


class WatchMetrics:
    """What a watchdog counts, for Prometheus."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.looks = Counter(
            "tradewire_watchdog_looks_total", "Looks at a group, by outcome.", ["group", "outcome"], registry=registry
        )
        self.stood_seconds = Gauge(
            "tradewire_watchdog_stood_seconds", "Time for which commits have stood.", ["group"], registry=registry
        )
        self.lag = Gauge(
            "tradewire_watchdog_lag", "Records not committed, as seen from outside.", ["group"], registry=registry
        )
        self.restarts = Counter(
            "tradewire_watchdog_restarts_total",
            "Workers found hanging, to be started again.",
            ["group", "hang"],
            registry=registry,
        )


class GroupWatch:
    """One worker's watch, or that of a whole group. Not thread-safe.

    With ``folder`` (a worker's data folder) it watches that worker: the partitions that the group has given it, and its
    own word on what it works on. Otherwise it watches the group as if it were one worker; without ``topics``, those of
    which the group has committed anything. A topic to be read of which no member of the settled group has a partition
    is told in the log, and what waits in it counts in the lag; it is no reason to end the worker.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        *,
        folder: Path | None = None,
        topics: Iterable[str] | None = None,
        rules: Rules | None = None,
        metrics: WatchMetrics | None = None,
        now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        self.group = group
        self._kafka = kafka
        self._folder = folder
        self._topics = None if topics is None else frozenset(topics)
        self._rules = rules or Rules()
        self._metrics = metrics
        self._now_ms = now_ms
        self._watch = Watch()
        self._admin: AdminClient | None = None
        self._answers = True
        self._unread: Mapping[Place, Offsets] = {}

    def look(self) -> Standing | None:
        """Looks once, for up to some seconds; the verdict if the worker hangs. Until ``restarted`` it stays.

        Never raises: while the broker does not answer nobody is to blame, and nothing is learnt.
        """
        try:
            sight = self._sight()
        except (KafkaException, TimeoutError) as error:
            self._count("no_answer")
            if self._answers:
                _log.warning("the group cannot be looked at", group=self.group, reason=str(error.args[:1]))
            self._answers = False
            return None
        self._answers = True
        self._watch = self._watch.look(sight, self._rules)
        standing = self._watch.standing(self._rules)
        if standing is not None and not self._is_readable(standing):
            standing = None
        self._count("standing" if standing else "good")
        if self._metrics is not None:
            self._metrics.stood_seconds.labels(self.group).set(self._watch.stood_ms / 1000)
            seen = (*sight.places.values(), *self._unread.values())
            self._metrics.lag.labels(self.group).set(sum(found.waiting for found in seen))
        return standing

    def restarted(self, standing: Standing) -> None:
        """Notes that the worker is about to be killed for this; time begins anew."""
        places = {
            f"{place.topic}/{place.partition}": {"committed": found.committed, "end": found.end}
            for place, found in sorted(standing.places.items())[:_NAMED_MAX]
        }
        _log.error(
            "hung worker is killed",
            group=self.group,
            reason=standing.hang.value,
            stood_ms=standing.stood_ms,
            partitions=len(standing.places),
            places=places,
        )
        if self._metrics is not None:
            self._metrics.restarts.labels(self.group, standing.hang.name.lower()).inc()
        self._watch = self._watch.restarted()

    def _count(self, outcome: str) -> None:
        if self._metrics is not None:
            self._metrics.looks.labels(self.group, outcome).inc()

    # --- what there is to see

    def _sight(self) -> Sight:
        if self._admin is None:
            # Level 2: a refused connection comes back as an answer, not as a stream of lines on stderr.
            self._admin = AdminClient({**self._kafka.client_config(), "log_level": 2})
        self_named = read_membership(self._folder) if self._folder is not None else None
        topics = self._topics
        if topics is None and self_named is not None:
            topics = frozenset(self_named.topics)
        described = self._admin.describe_consumer_groups([self.group], request_timeout=_TIMEOUT_S)
        group = described[self.group].result(_TIMEOUT_S)
        committed = self._committed(self._admin)
        if topics is None:
            topics = frozenset(place.topic for place in committed)
        offsets = self._offsets(self._admin, topics, committed)
        members = list(group.members)
        if self._folder is not None:
            name = self_named.instance_id if self_named is not None else None
            members = [member for member in members if name is not None and member.group_instance_id == name]
            owned = {
                Place(owned.topic, owned.partition)
                for member in members
                for owned in (member.assignment.topic_partitions if member.assignment else ())
            }
        else:
            owned = set(offsets) if members else set()
        is_settled = bool(members) and group.state is ConsumerGroupState.STABLE
        if is_settled and (self._folder is not None or self._topics is not None):
            read = {
                owned.topic
                for member in group.members
                for owned in (member.assignment.topic_partitions if member.assignment else ())
            }
            self._note_unread({place: found for place, found in offsets.items() if place.topic not in read})
        return Sight(
            self._now_ms(),
            {place: found for place, found in offsets.items() if place in owned},
            ends=sum(found.end for found in offsets.values()),
            member=bool(members),
            rebalancing=group.state in _REBALANCING,
            work=read_work(self._folder) if self._folder is not None else None,
        )

    def _note_unread(self, unread: Mapping[Place, Offsets]) -> None:
        """Says so once, when other topics than before are read by nobody."""
        topics = sorted({place.topic for place in unread})
        if topics and topics != sorted({place.topic for place in self._unread}):
            _log.warning(
                "topics are read by nobody",
                group=self.group,
                topics=topics,
                waiting=sum(found.waiting for found in unread.values()),
                hint="stop the group's workers for longer than their session timeout, then start them",
            )
        self._unread = unread

    def _committed(self, admin: AdminClient) -> Mapping[Place, int]:
        request = [ConsumerGroupTopicPartitions(self.group)]
        answer = admin.list_consumer_group_offsets(request, request_timeout=_TIMEOUT_S)[self.group].result(_TIMEOUT_S)
        return {
            Place(found.topic, found.partition): found.offset
            for found in answer.topic_partitions or ()
            if found.error is None and found.offset >= 0
        }

    def _offsets(
        self, admin: AdminClient, topics: frozenset[str], committed: Mapping[Place, int]
    ) -> Mapping[Place, Offsets]:
        known = admin.list_topics(timeout=_TIMEOUT_S).topics
        places = [Place(name, partition) for name in topics if name in known for partition in known[name].partitions]
        lows = _asked(admin, places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = _asked(admin, places, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {place: Offsets(lows[place], ends[place], committed.get(place)) for place in places}

    # --- whether there is anything to read

    def _is_readable(self, standing: Standing) -> bool:
        """Reads from where the commits stand. Ends of transactions and what compaction took leave nothing to commit."""
        if not standing.places:
            return True
        consumer = Consumer(
            {
                **self._kafka.client_config(),
                "group.id": f"{self.group}.watchdog",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "log_level": 2,
            },
            logger=logging.getLogger("librdkafka"),
        )
        try:
            return self._reads(consumer, standing.places)
        finally:
            consumer.close()

    def _reads(self, consumer: Consumer, places: Mapping[Place, Offsets]) -> bool:
        consumer.assign([TopicPartition(*place, found.next) for place, found in places.items()])
        left = set(places)
        deadline = time.monotonic() + _PROBE_S
        while left and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is None:
                continue
            error = message.error()
            if error is None:
                return True
            if error.code() == KafkaError._PARTITION_EOF:
                place = Place(str(message.topic()), int(message.partition() or 0))
                left.discard(place)
                self._watch = self._watch.hollow(place, places[place].end)
        # Nothing could be read in time: the broker is the one that hangs.
        return False


def _asked(admin: AdminClient, places: Sequence[Place], spec: Any) -> Mapping[Place, int]:
    if not places:
        return {}
    answers = admin.list_offsets(
        {TopicPartition(*place): spec for place in places},
        isolation_level=IsolationLevel.READ_COMMITTED,
        request_timeout=_TIMEOUT_S,
    )
    return {Place(asked.topic, asked.partition): found.result(_TIMEOUT_S).offset for asked, found in answers.items()}
