"""What tests of subscribers share: a topic of their own, events for it, and what handlers saw.

Events of two types of the domain ``system`` go to a topic that only one test has; schema ids need no registry.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition, murmur2
from prometheus_client import CollectorRegistry
from tests.processors.asking import answered, committed_by

from tradewire.core import Settings, load_settings, new_id
from tradewire.core.settings import KafkaSettings
from tradewire.processors import Subscriber
from tradewire.processors.subscriptions import Handler
from tradewire.schemas import Contract, Event, FixedIds, Header, Topic, TopicAdmin, Topics, encode_headers

NOTICE = "system.notice.posted"
WARNING = "system.warning.raised"
PARTITIONS = 4


def topics_of(name: str) -> Topics:
    return Topics({name: Topic(name, "system", partitions=PARTITIONS, replication=1)})


def contract_of(name: str) -> Contract:
    """A contract whose only topic is that one; the same ids in every process."""
    contract = Contract.load(load_settings(), schema_ids=FixedIds(), topics=topics_of(name))
    for type in (NOTICE, WARNING):
        contract.schema_ids.id_of(contract.catalogue[type].latest, name)
    return contract


def settings_of(kafka: KafkaSettings, **subscriber: Any) -> Settings:
    """Quick retries and rebalances."""
    quick = {"retry_base_ms": 10, "retry_cap_ms": 50, "session_timeout_ms": 6_000, "commit_interval_ms": 50}
    return load_settings(kafka=kafka.model_dump(), subscriber=quick | subscriber)


class Feed:
    """A topic of one test, which publishes to it and makes subscribers of it."""

    def __init__(self, kafka: KafkaSettings, name: str) -> None:
        self.kafka, self.topic = kafka, name
        self.group = f"group.{name}"
        self.contract = contract_of(name)
        self.registry = CollectorRegistry()
        TopicAdmin(kafka).ensure(topics_of(name))
        # Asks for offsets; it is no member of the group.
        self._looker = Consumer({**kafka.client_config(), "group.id": self.group})
        self._places = [TopicPartition(name, number) for number in range(PARTITIONS)]
        # Idempotent: without it a retry may come behind later events of its key, which is what tests of order look at.
        self._producer = Producer(
            {**kafka.client_config(), "partitioner": "murmur2_random", "enable.idempotence": True}
        )

    def event(self, key: str, message: str = "", type: str = NOTICE, **more: Any) -> Event:
        id = more.pop("id", None) or new_id()
        return Event(
            id=id,
            type=type,
            data={"component": key, "message": message} | ({"warning_type": "test"} if type == WARNING else {}),
            source="tests",
            subject=key,
            time_ns=1_700_000_000_000_000_000,
            correlation_id=more.pop("correlation_id", id),
            **more,
        )

    def publish(self, *events: Event, headers: Sequence[Header] = ()) -> None:
        for event in events:
            value = self.contract.codec.encode(event.type, event.data, self.topic)
            self.produce(event.subject.encode(), value, [*encode_headers(event), *headers], wait=False)
        assert 0 == self._producer.flush(150)

    def produce(
        self, key: bytes | None, value: bytes | None, headers: list[Header], *, wait: bool = True, topic: str = ""
    ) -> None:
        self._producer.produce(topic or self.topic, value, key, headers=headers)
        if wait:
            assert 0 == self._producer.flush(150)

    def numbered(self, keys: Sequence[str], rounds: int, first: int = 0) -> list[Event]:
        """Events "0", "1", … of each key, keys taking turns."""
        return [self.event(key, str(number)) for number in range(first, first + rounds) for key in keys]

    def subscriber(self, *handlers: Handler, **options: Any) -> Subscriber:
        """With handlers for notices; the topic is read from its beginning."""
        settings = settings_of(self.kafka, **options.pop("subscriber", {}))
        options = {"group": self.group, "contract": self.contract, "registry": self.registry} | options
        made = Subscriber(settings, **options)
        for handler in handlers:
            made.subscribe(handler, NOTICE)
        return made

    def committed(self) -> int:
        """Records that the group has committed, over all partitions, once the broker can tell."""
        return sum(max(0, offset) for offset in answered(lambda: committed_by(self._looker, self._places)))

    def end(self) -> int:
        """Records that there are."""
        ask = self._looker.get_watermark_offsets
        return sum(answered(lambda: ask(place, timeout=5))[1] for place in self._places)  # noqa: B023

    def partition_of(self, key: bytes) -> int:
        """Where records of a key lie."""
        return int(murmur2(key, PARTITIONS))

    def close(self) -> None:
        self._looker.close()
        self._producer.close()

    def counted(self, name: str, **labels: str) -> float:
        """A metric of the subscribers of this feed."""
        return self.registry.get_sample_value(name, {"group": self.group} | labels) or 0.0


class Seen:
    """What handlers saw, in order, by key. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.by_key: dict[str, list[str]] = defaultdict(list)
        self.events: list[Event] = []

    def add(self, event: Event) -> None:
        with self._lock:
            self.events.append(event)
            self.by_key[event.subject].append(event.data["message"])

    def add_slowly(self, event: Event) -> None:
        time.sleep(0.002)
        self.add(event)

    def __len__(self) -> int:
        return len(self.events)


class Account:
    """Effects of several processes in one SQLite file: calls as they happened, and effects behind an inbox."""

    def __init__(self, file: Path) -> None:
        self.connection = sqlite3.connect(file, timeout=60, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=OFF")
        self.connection.execute("CREATE TABLE IF NOT EXISTS calls (number INTEGER PRIMARY KEY, member, key, message)")
        self.connection.execute("CREATE TABLE IF NOT EXISTS effects (event_id)")

    def calls(self) -> list[tuple[str, str, str]]:
        return self.connection.execute("SELECT member, key, message FROM calls ORDER BY number").fetchall()

    def effects(self) -> Counter[str]:
        return Counter(row[0] for row in self.connection.execute("SELECT event_id FROM effects"))

    def count(self, member: str) -> int:
        (found,) = self.connection.execute("SELECT COUNT(*) FROM calls WHERE member = ?", (member,)).fetchone()
        return int(found)
