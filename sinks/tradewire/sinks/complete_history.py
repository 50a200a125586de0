"""History with a position beside every answer: how far what it says is complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Self, TypeVar

from tradewire.core.settings import Settings
from tradewire.schemas import Topics
from tradewire.sinks.complete import Completeness, CompleteUpTo
from tradewire.sinks.flow import Flow
from tradewire.sinks.history import Answer, EventFilter, History, Page
from tradewire.sinks.positions import SinkPositions
from tradewire.sinks.statistics import (
    By,
    ErrorRate,
    FlowCompletion,
    Hop,
    Statistics,
    StoredRatio,
    Volume,
    stored_ratios,
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Answered(Generic[_T]):
    """An answer, and up to where it was complete when it was asked."""

    answer: _T
    complete: CompleteUpTo


class CompleteHistory:
    """``History`` and ``Statistics`` whose every answer says up to where it is complete.

    The positions are read before ClickHouse is asked: what lies below them is in the answer. Each call therefore needs
    Kafka too and raises KafkaUnavailable without it; ``History`` alone needs ClickHouse only.
    """

    def __init__(self, history: History, positions: SinkPositions, topics: Sequence[str]) -> None:
        self.history = history
        self.statistics = Statistics(history)
        self._completeness = Completeness(positions, topics, self._newest_ms)

    @classmethod
    def open(cls, settings: Settings, topics: Topics) -> Self:
        """Looks at the stored topics that hold events. Raises ClickHouseUnavailable."""
        names = [topic.name for topic in topics.values() if topic.stored and topic.cleanup == "delete"]
        return cls(History.connect(settings.clickhouse), SinkPositions.of(settings), names)

    def close(self) -> None:
        self.history.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def complete(self, topic: str | None = None) -> CompleteUpTo:
        """Positions alone, of one topic or of all. Raises KafkaUnavailable, ClickHouseUnavailable."""
        return self._completeness.now(topic)

    def events(
        self,
        wanted: EventFilter | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        order: Literal["oldest", "newest"] = "newest",
    ) -> Answered[Page]:
        topic = wanted.topic if wanted is not None else None
        return self._ask(lambda: self.history.events(wanted, limit=limit, cursor=cursor, order=order), topic)

    def flow(self, correlation_id: str) -> Answered[Flow]:
        return self._ask(lambda: self.history.flow(correlation_id))

    def sql(
        self, question: str, *, parameters: Mapping[str, Any] | None = None, rows_max: int = 10_000
    ) -> Answered[Answer]:
        return self._ask(lambda: self.history.sql(question, parameters=parameters, rows_max=rows_max))

    def volume(
        self, *, by: By = "type", per_minute: bool = False, wanted: EventFilter | None = None
    ) -> Answered[Sequence[Volume]]:
        topic = wanted.topic if wanted is not None else None
        return self._ask(lambda: self.statistics.volume(by=by, per_minute=per_minute, wanted=wanted), topic)

    def errors(self, *, since_ns: int | None = None, until_ns: int | None = None) -> Answered[Sequence[ErrorRate]]:
        return self._ask(lambda: self.statistics.errors(since_ns=since_ns, until_ns=until_ns))

    def hops(self, *, since_ns: int | None = None, until_ns: int | None = None) -> Answered[Sequence[Hop]]:
        return self._ask(lambda: self.statistics.hops(since_ns=since_ns, until_ns=until_ns))

    def flows(self, *, since_ns: int | None = None, until_ns: int | None = None) -> Answered[Sequence[FlowCompletion]]:
        return self._ask(lambda: self.statistics.flows(since_ns=since_ns, until_ns=until_ns))

    def stored(self) -> Answered[Sequence[StoredRatio]]:
        """Published against stored, from positions alone."""
        complete = self.complete()
        return Answered(stored_ratios(complete), complete)

    def _ask(self, question: Callable[[], _T], topic: str | None = None) -> Answered[_T]:
        complete = self.complete(topic)
        return Answered(question(), complete)

    def _newest_ms(self, topic: str, partition: int, below: int) -> int | None:
        """Broker's time of the newest stored record of a partition below an offset."""
        each = " UNION ALL ".join(
            "SELECT offset, toUnixTimestamp64Milli(recorded_at) AS ms FROM (SELECT offset, recorded_at "
            f"FROM {table} WHERE topic = {{topic:String}} AND partition = {{partition:Int32}} "
            "AND offset < {below:Int64} ORDER BY topic DESC, partition DESC, offset DESC LIMIT 1)"
            for table in ("events", "dead_letters")
        )
        parameters = {"topic": topic, "partition": partition, "below": below}
        rows = self.history.sql(f"SELECT ms FROM ({each}) ORDER BY offset DESC LIMIT 1", parameters=parameters).rows
        return int(rows[0][0]) if rows else None
