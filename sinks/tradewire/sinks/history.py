"""Questions to history. With each answer goes up to where it is complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, Self, TypeVar

from tradewire.core.settings import Settings
from tradewire.schemas import Codec, Topics
from tradewire.sinks.complete import Completeness, CompleteUpTo
from tradewire.sinks.ddl import read_model_table
from tradewire.sinks.event_pages import EventFilter
from tradewire.sinks.flow import Flow
from tradewire.sinks.positions import SinkPositions
from tradewire.sinks.statistics import (
    By,
    ErrorRate,
    FlowCompletion,
    Hop,
    Statistics,
    StoredRatio,
    VolumePage,
    stored_ratios,
)
from tradewire.sinks.stored_history import (
    Answer,
    Page,
    PartitionCount,
    ReadPage,
    Stats,
    StoredHistory,
)

_T = TypeVar("_T")
FLOW_STATES: Final = "flows.state"
_KAFKA_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Answered(Generic[_T]):
    """An answer, and up to where it was complete when it was asked; None when Kafka could not be asked."""

    answer: _T
    complete: CompleteUpTo | None


class History:
    """What ``StoredHistory`` and ``Statistics`` answer, with how far it is complete. Thread-safe; calls block.

    Positions are read before ClickHouse is asked: what lies below them is in the answer. They are those of the topics
    that can be in it. Without Kafka the answer comes nevertheless, after up to some seconds, and says so.

    All raise QueryError when ClickHouse refuses the question, and ClickHouseUnavailable when it does not answer.
    """

    def __init__(self, stored: StoredHistory, positions: SinkPositions, topics: Topics) -> None:
        self.stored_history = stored
        self.statistics = Statistics(stored)
        self._stored_topics = [topic.name for topic in topics.values() if topic.stored]
        self._completeness = completeness_of(stored, positions, topics)

    @classmethod
    def open(cls, settings: Settings, topics: Topics | None = None) -> Self:
        """``topics`` are those of the settings if none are given. Raises ClickHouseUnavailable, SchemaFileError."""
        topics = Topics.load(settings.schemas.topics_file) if topics is None else topics
        return cls(StoredHistory.connect(settings.clickhouse), SinkPositions.of(settings, _KAFKA_TIMEOUT_S), topics)

    def close(self) -> None:
        self.stored_history.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def complete(self, *topics: str) -> CompleteUpTo:
        """Positions alone, of some topics or of all that hold events. Raises KafkaUnavailable."""
        return self._completeness.now(*topics)

    def events(
        self,
        wanted: EventFilter | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        order: Literal["oldest", "newest"] = "newest",
        codec: Codec | None = None,
    ) -> Answered[Page]:
        """``StoredHistory.events``."""
        return self._ask(
            lambda: self.stored_history.events(wanted, limit=limit, cursor=cursor, order=order, codec=codec),
            *_topic(wanted),
        )

    def read(
        self,
        codec: Codec,
        wanted: EventFilter | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        order: Literal["oldest", "newest"] = "newest",
    ) -> Answered[ReadPage]:
        """``StoredHistory.read``, which raises more."""
        return self._ask(
            lambda: self.stored_history.read(codec, wanted, limit=limit, cursor=cursor, order=order), *_topic(wanted)
        )

    def flow(self, correlation_id: str, *, codec: Codec | None = None) -> Answered[Flow]:
        """``StoredHistory.flow``."""
        return self._ask(lambda: self.stored_history.flow(correlation_id, codec=codec))

    def stats(
        self, *, by: By = "type", since_ns: int | None = None, until_ns: int | None = None
    ) -> Answered[Sequence[Stats]]:
        """``StoredHistory.stats``."""
        return self._ask(lambda: self.stored_history.stats(by=by, since_ns=since_ns, until_ns=until_ns))

    def counts(self, topics: Sequence[str] | None = None) -> Answered[Sequence[PartitionCount]]:
        """``StoredHistory.counts``."""
        return self._ask(lambda: self.stored_history.counts(topics), *(topics or ()))

    def sql(self, question: str, *, parameters: Mapping[str, Any] | None = None, **limits: int) -> Answered[Answer]:
        """``StoredHistory.sql``. It may ask any table: the position is that of all topics that are stored."""
        return self._ask(
            lambda: self.stored_history.sql(question, parameters=parameters, **limits), *self._stored_topics
        )

    def sql_text(self, question: str, format: str, **limits: int) -> Answered[bytes]:
        """``StoredHistory.sql_text``, with the position as in ``sql``."""
        return self._ask(lambda: self.stored_history.sql_text(question, format, **limits), *self._stored_topics)

    def volume(
        self,
        *,
        by: By = "type",
        per_minute: bool = False,
        wanted: EventFilter | None = None,
        limit: int = 10_000,
        cursor: str | None = None,
    ) -> Answered[VolumePage]:
        """``Statistics.volume``."""
        return self._ask(
            lambda: self.statistics.volume(by=by, per_minute=per_minute, wanted=wanted, limit=limit, cursor=cursor),
            *_topic(wanted),
        )

    def errors(self, *, since_ns: int | None = None, until_ns: int | None = None) -> Answered[Sequence[ErrorRate]]:
        """``Statistics.errors``."""
        return self._ask(lambda: self.statistics.errors(since_ns=since_ns, until_ns=until_ns))

    def hops(self, *, since_ns: int | None = None, until_ns: int | None = None) -> Answered[Sequence[Hop]]:
        """``Statistics.hops``."""
        return self._ask(lambda: self.statistics.hops(since_ns=since_ns, until_ns=until_ns))

    def flows(self, *, since_ns: int | None = None, until_ns: int | None = None) -> Answered[Sequence[FlowCompletion]]:
        """``Statistics.flows``. The position is that of the states that a worker has written, not of their causes."""
        return self._ask(lambda: self.statistics.flows(since_ns=since_ns, until_ns=until_ns), FLOW_STATES)

    def flow_sql(self, question: str) -> Answered[Answer]:
        """``StoredHistory.sql`` for a question to the flow states alone, with the position as in ``flows``."""
        return self._ask(lambda: self.stored_history.sql(question), FLOW_STATES)

    def stored(self) -> Answered[Sequence[StoredRatio]]:
        """Published against stored, from positions alone. Raises KafkaUnavailable."""
        complete = self.complete()
        return Answered(stored_ratios(complete), complete)

    def _ask(self, question: Callable[[], _T], *topics: str) -> Answered[_T]:
        complete = self._completeness.told(*topics)
        return Answered(question(), complete)


def completeness_of(
    stored: StoredHistory, positions: SinkPositions, topics: Topics, *, keep_ms: int = 0
) -> Completeness:
    """Asks of the topics that hold events when none are named, and may be asked of any."""
    return Completeness(
        positions, topics_of_events(topics), lambda *at: newest_stored_ms(stored, topics, *at), keep_ms=keep_ms
    )


def topics_of_events(topics: Topics) -> list[str]:
    """The stored topics that hold events: those whose records an answer may lack."""
    return [topic.name for topic in topics.values() if topic.stored and topic.cleanup == "delete"]


def newest_stored_ms(history: StoredHistory, topics: Topics, topic: str, partition: int, below: int) -> int | None:
    """Broker's time of the newest stored record of a partition below an offset. Raises as ``StoredHistory.sql``."""
    tables = ["events", "dead_letters"]
    order = "topic DESC, partition DESC, offset DESC"
    if topic in topics and topics[topic].cleanup == "compact":
        # Keys of an aggregate's newest row say nothing of its position; the newest of all is never replaced.
        tables, order = [read_model_table(topic)], "offset DESC"
    each = " UNION ALL ".join(
        "SELECT offset, toUnixTimestamp64Milli(recorded_at) AS ms FROM (SELECT offset, recorded_at "
        f"FROM {table} WHERE topic = {{topic:String}} AND partition = {{partition:Int32}} "
        f"AND offset < {{below:Int64}} ORDER BY {order} LIMIT 1)"
        for table in tables
    )
    parameters = {"topic": topic, "partition": partition, "below": below}
    rows = history.sql(f"SELECT ms FROM ({each}) ORDER BY offset DESC LIMIT 1", parameters=parameters).rows
    return int(rows[0][0]) if rows else None


def _topic(wanted: EventFilter | None) -> tuple[str, ...]:
    return () if wanted is None or wanted.topic is None else (wanted.topic,)
