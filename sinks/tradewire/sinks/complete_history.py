"""History with a position beside every answer: how far what it says is complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Self, TypeVar

from tradewire.core.settings import Settings
from tradewire.schemas import Codec, Topics
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
        self._completeness = Completeness(positions, topics, lambda *at: newest_stored_ms(history, *at))

    @classmethod
    def open(cls, settings: Settings, topics: Topics) -> Self:
        """Looks at the stored topics that hold events. Raises ClickHouseUnavailable."""
        return cls(History.connect(settings.clickhouse), SinkPositions.of(settings), topics_of_events(topics))

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
        codec: Codec | None = None,
    ) -> Answered[Page]:
        topic = wanted.topic if wanted is not None else None
        return self._ask(
            lambda: self.history.events(wanted, limit=limit, cursor=cursor, order=order, codec=codec), topic
        )

    def flow(self, correlation_id: str, *, codec: Codec | None = None) -> Answered[Flow]:
        return self._ask(lambda: self.history.flow(correlation_id, codec=codec))

    def sql(self, question: str, **limits: Any) -> Answered[Answer]:
        """``History.sql`` with its parameters and limits."""
        return self._ask(lambda: self.history.sql(question, **limits))

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


def topics_of_events(topics: Topics) -> list[str]:
    """The stored topics that hold events: those whose records an answer may lack."""
    return [topic.name for topic in topics.values() if topic.stored and topic.cleanup == "delete"]


def newest_stored_ms(history: History, topic: str, partition: int, below: int) -> int | None:
    """Broker's time of the newest stored record of a partition below an offset. Raises as ``History.sql``."""
    each = " UNION ALL ".join(
        "SELECT offset, toUnixTimestamp64Milli(recorded_at) AS ms FROM (SELECT offset, recorded_at "
        f"FROM {table} WHERE topic = {{topic:String}} AND partition = {{partition:Int32}} "
        "AND offset < {below:Int64} ORDER BY topic DESC, partition DESC, offset DESC LIMIT 1)"
        for table in ("events", "dead_letters")
    )
    parameters = {"topic": topic, "partition": partition, "below": below}
    rows = history.sql(f"SELECT ms FROM ({each}) ORDER BY offset DESC LIMIT 1", parameters=parameters).rows
    return int(rows[0][0]) if rows else None
