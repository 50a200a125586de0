"""Up to where an answer out of history is complete, as every answer says."""

from __future__ import annotations

from typing import Any, Final

from tradewire.core.clock import NS_PER_MS
from tradewire.core.settings import Settings
from tradewire.gateway.clickhouse import ClickHouse
from tradewire.schemas import Topics, format_time_ns
from tradewire.sinks.complete import Completeness, CompleteUpTo
from tradewire.sinks.history import newest_stored_ms, topics_of_events
from tradewire.sinks.positions import SinkPositions
from tradewire.sinks.stored_history import StoredHistory

_KEEP_MS: Final = 1_000
_KAFKA_TIMEOUT_S: Final = 2.0


class HistoryPositions:
    """Asks Kafka, at most once a second, and remembers a failure for five. Thread-safe."""

    def __init__(self, settings: Settings, topics: Topics, clickhouse: ClickHouse) -> None:
        database = settings.clickhouse.database
        self._stored = tuple(topic.name for topic in topics.values() if topic.stored)
        self._completeness = Completeness(
            SinkPositions.of(settings, _KAFKA_TIMEOUT_S),
            topics_of_events(topics),
            lambda *at: newest_stored_ms(StoredHistory(clickhouse.client(), database), topics, *at),
            keep_ms=_KEEP_MS,
        )

    def now(self, topic: str | None = None) -> CompleteUpTo | None:
        """Of one topic or all that hold events. Call it before the question. None when it cannot be told: an answer
        does not fail for want of this."""
        return self._completeness.told(*([] if topic is None else [topic]))

    def of_all_tables(self) -> CompleteUpTo | None:
        """The same of everything that the sink stores, read models included."""
        return self._completeness.told(*self._stored)


def complete_json(found: CompleteUpTo | None) -> dict[str, Any] | None:
    """``recorded`` is null where of some partition nothing is stored yet."""
    if found is None:
        return None
    recorded = None if found.recorded_ms is None else format_time_ns(found.recorded_ms * NS_PER_MS)
    return {"recorded": recorded, "behind": found.behind, "asked": format_time_ns(found.asked_ms * NS_PER_MS)}
