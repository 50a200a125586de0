"""Topics of a test's own that are there: every partition has a leader that answers."""

from __future__ import annotations

from collections.abc import Mapping

from tradewire.core.settings import KafkaSettings
from tradewire.schemas import Topic, TopicAdmin
from tradewire.schemas.topics import TopicChange


def make_topic(kafka: KafkaSettings, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
    """Makes it with the broker's defaults and ``config``; returns its name."""
    topic = Topic(name, "tests", partitions=partitions)
    TopicAdmin(kafka, 60_000).apply([TopicChange(topic, "create", "", config or {})])
    return name
