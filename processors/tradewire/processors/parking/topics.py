"""The two topics of a group's dead letters. Both have a source partition's records in one partition: its number modulo
theirs, so one partition has all letters of a key in order, those without a key too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tradewire.core.errors import ProcessingError
from tradewire.core.settings import KafkaSettings
from tradewire.processors.dead_letters import topic_of
from tradewire.schemas import Topic, TopicAdmin, Topics

DEAD_LETTER_RETENTION_MS: Final = 30 * 24 * 3_600 * 1_000
_DOMAIN: Final = "deadletter"


def keys_topic_of(group: str) -> str:
    """The compacted topic that says which keys of a group are parked."""
    return f"{topic_of(group)}.keys"


def parking_topics(group: str, declared: Mapping[str, Topic]) -> dict[str, Topic]:
    """Both topics: as declared, else letters of 30 days and as many partitions for the keys as for the letters."""
    letters, keys = topic_of(group), keys_topic_of(group)
    letters_topic = declared.get(letters) or Topic(
        letters, _DOMAIN, key="as in the source topic", retention_ms=DEAD_LETTER_RETENTION_MS
    )
    keys_topic = declared.get(keys) or Topic(
        keys,
        _DOMAIN,
        key="kind|topic|partition|key",
        partitions=letters_topic.partitions,
        replication=letters_topic.replication,
        cleanup="compact",
        stored=False,
    )
    return {letters: letters_topic, keys: keys_topic}


def prepare_topics(kafka: KafkaSettings, group: str, declared: Mapping[str, Topic] | None = None) -> dict[str, int]:
    """Creates what is missing; returns the number of partitions of both topics.

    Raises:
        KafkaUnavailable: no broker answers.
        ProcessingError: a topic could not be made.
    """
    wanted = parking_topics(group, Topics.load() if declared is None else declared)
    admin = TopicAdmin(kafka)
    admin.ensure(wanted)
    return found_topics(kafka, group, admin)


def found_topics(kafka: KafkaSettings, group: str, admin: TopicAdmin | None = None) -> dict[str, int]:
    """The number of partitions of both topics; changes nothing.

    Raises:
        KafkaUnavailable: no broker answers.
        ProcessingError: the group has no such topics; names those that are missing.
    """
    names = (topic_of(group), keys_topic_of(group))
    found = (admin or TopicAdmin(kafka)).found(names)
    missing = [name for name in names if name not in found]
    if missing:
        raise ProcessingError(
            f"{kafka.bootstrap_servers} has no topic {' and '.join(missing)}: is {group!r} the name of a group whose "
            "consumers park? They make their topics when they start",
            group=group,
        )
    return {name: topic.partitions for name, topic in found.items()}
