"""What was published, counted by partition without asking Kafka: the key decides, and everybody hashes it alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from confluent_kafka import murmur2

from tradewire.producers.feeds import FeedItem
from tradewire.schemas import Contract, Event


@dataclass
class PublishedCounts:
    """Counts the events that pass through ``counted`` per type and per (topic, partition)."""

    contract: Contract
    per_type: Counter[str] = field(default_factory=Counter)
    per_partition: Counter[tuple[str, int]] = field(default_factory=Counter)

    def counted(self, items: Iterable[FeedItem]) -> Iterator[FeedItem]:
        """The same items; each event is counted where Kafka's murmur2 partitioner will put its key."""
        topics: dict[str, tuple[str, int]] = {}
        for item in items:
            if isinstance(item, Event):
                place = topics.get(item.type)
                if place is None:
                    topic = self.contract.topics.of_type(self.contract.catalogue[item.type])
                    place = topics[item.type] = (topic.name, topic.partitions)
                self.per_type[item.type] += 1
                self.per_partition[place[0], murmur2(item.subject.encode(), place[1])] += 1
            yield item
