"""Which groups of a cluster have dead letters."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from tradewire.core.settings import KafkaSettings
from tradewire.processors.dead_letters import topic_of
from tradewire.processors.parking.topics import keys_topic_of

_PREFIX: Final = topic_of("")
_TIMEOUT_S: Final = 10.0


def groups_with_letters(kafka: KafkaSettings) -> list[str]:
    """The groups whose topic of dead letters has records, waiting or settled, by name.

    For a hint beside another answer: it raises nothing, and is empty when the broker does not answer. After a
    transaction's marker a topic counts as having records.
    """
    admin = AdminClient({**kafka.client_config(), "log_level": 2})
    try:
        topics = admin.list_topics(timeout=_TIMEOUT_S).topics
        groups = [
            name.removeprefix(_PREFIX)
            for name in topics
            if name.startswith(_PREFIX) and keys_topic_of(name.removeprefix(_PREFIX)) in topics
        ]
        places = [
            TopicPartition(topic_of(group), number) for group in groups for number in topics[topic_of(group)].partitions
        ]
        if not places:
            return []
        first, last = (
            {
                (place.topic, place.partition): future.result(_TIMEOUT_S).offset
                for place, future in admin.list_offsets(dict.fromkeys(places, spec), request_timeout=_TIMEOUT_S).items()
            }
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        )
    except (KafkaException, TimeoutError):
        return []
    return sorted({topic.removeprefix(_PREFIX) for (topic, at), end in last.items() if end > first[topic, at]})
