"""Up to where an answer out of history is complete, as every answer says."""

from __future__ import annotations

import time
from typing import Any, Final

from tradewire.core import TradewireError
from tradewire.core.clock import NS_PER_MS
from tradewire.core.settings import Settings
from tradewire.gateway.clickhouse import ClickHouse
from tradewire.schemas import Topics, format_time_ns
from tradewire.sinks.complete import Completeness, CompleteUpTo
from tradewire.sinks.complete_history import newest_stored_ms, topics_of_events
from tradewire.sinks.history import History
from tradewire.sinks.positions import SinkPositions

_KEEP_MS: Final = 1_000
_KAFKA_TIMEOUT_S: Final = 2.0
# Brokers that did not answer are not asked again for so long: history is read without them meanwhile.
_AWAY_S: Final = 5.0


class HistoryPositions:
    """Asks Kafka, at most once a second, and remembers a failure for five. Thread-safe."""

    def __init__(self, settings: Settings, topics: Topics, clickhouse: ClickHouse) -> None:
        database = settings.clickhouse.database
        self._completeness = Completeness(
            SinkPositions.of(settings, _KAFKA_TIMEOUT_S),
            topics_of_events(topics),
            lambda *at: newest_stored_ms(History(clickhouse.client(), database), *at),
            keep_ms=_KEEP_MS,
        )
        self._away_until = 0.0

    def now(self, topic: str | None = None) -> CompleteUpTo | None:
        """Call it before the question. None when it cannot be told: an answer does not fail for want of this."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return self._completeness.now(topic)
        except TradewireError:
            self._away_until = time.monotonic() + _AWAY_S
            return None


def complete_json(found: CompleteUpTo | None) -> dict[str, Any] | None:
    """``recorded`` is null where of some partition nothing is stored yet."""
    if found is None:
        return None
    recorded = None if found.recorded_ms is None else format_time_ns(found.recorded_ms * NS_PER_MS)
    return {"recorded": recorded, "behind": found.behind, "asked": format_time_ns(found.asked_ms * NS_PER_MS)}


def complete_text(found: CompleteUpTo | None) -> str:
    """The same for a terminal: one line."""
    if found is None:
        return "complete up to: not known, Kafka could not be asked\n"
    if not found.behind:
        return "complete: everything in Kafka is stored\n"
    if found.recorded_ms is None:
        return f"NOT complete: {found.behind:,} records are not stored, of some partition nothing is\n"
    return f"complete up to {format_time_ns(found.recorded_ms * NS_PER_MS)}; {found.behind:,} records behind\n"
