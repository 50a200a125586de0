"""What the lot writes to Kafka: each record confirmed, and after one failure nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from tradewire.core.settings import KafkaSettings
from tradewire.processors.dead_letters import topic_of
from tradewire.processors.parking.errors import ParkingUnconfirmed
from tradewire.processors.parking.facts import Fact, Kind, ParkedKey, Write, encode_fact, encode_key
from tradewire.processors.parking.topics import keys_topic_of
from tradewire.processors.records import Forward


class ConfirmedWriter:
    """One idempotent producer for the two topics of a group. ``partitions`` are their numbers of partitions by name."""

    def __init__(
        self, kafka: KafkaSettings, group: str, partitions: Mapping[str, int], confirm_timeout_s: float
    ) -> None:
        self._group = group
        self._letters, self._keys = topic_of(group), keys_topic_of(group)
        self._partitions = partitions
        self._confirm_timeout_s = confirm_timeout_s
        self._failed: str | None = None
        self._producer = Producer(
            {
                **kafka.client_config(),
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 0,
                # A record is given up before its caller gives up waiting.
                "message.timeout.ms": int(confirm_timeout_s * 900),
            }
        )

    def letter(self, source_partition: int, letter: Forward) -> None:
        """Queues a letter."""
        self._produce(self._letters, source_partition, letter.key, letter.value, letter.headers)

    def state(self, write: Write) -> None:
        """Queues the state of a key."""
        self.fact("state", write.key, write.state)

    def fact(self, kind: Kind, key: ParkedKey, fact: Fact | None) -> None:
        """Queues a fact (None: its deletion)."""
        value = None if fact is None else encode_fact(fact)
        self._produce(self._keys, key.partition, encode_key(kind, key), value, None)

    def confirm(self, what: str) -> None:
        """Returns when all that was queued stands.

        Raises:
            ParkingUnconfirmed: it is not known of something; from then on always.
        """
        left = self._producer.flush(self._confirm_timeout_s)
        if left and self._failed is None:
            self._failed = f"{left} records are not confirmed after {self._confirm_timeout_s:.0f} s"
        if self._failed is not None:
            raise ParkingUnconfirmed(f"{what} is not confirmed: {self._failed}", group=self._group)

    def refuse_broken(self) -> None:
        """Raises ParkingUnconfirmed if anything has failed before."""
        if self._failed is not None:
            raise ParkingUnconfirmed(f"an earlier write is not confirmed: {self._failed}", group=self._group)

    def poll(self) -> None:
        """Takes in confirmations; never blocks."""
        self._producer.poll(0)

    def close(self) -> None:
        """Waits for what is queued, up to the timeout."""
        self._producer.flush(self._confirm_timeout_s)

    def _produce(self, topic: str, source_partition: int, key: bytes | None, value: bytes | None, headers: Any) -> None:
        try:
            self._producer.produce(
                topic,
                value,
                key,
                partition=source_partition % self._partitions[topic],
                headers=headers or None,
                on_delivery=self._on_delivery,
            )
        except (BufferError, KafkaException) as error:
            self._failed = f"{topic}: {error}"
            raise ParkingUnconfirmed(f"nothing can be written to {topic}: {error}", group=self._group) from error

    def _on_delivery(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self._failed = f"{message.topic()}: {error}"
