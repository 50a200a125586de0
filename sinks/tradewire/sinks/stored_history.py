"""Questions to ClickHouse alone. Values always travel as server-side parameters, never inside SQL text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from tradewire.core.errors import ClickHouseUnavailable, QueryError
from tradewire.core.settings import ClickHouseSettings
from tradewire.schemas import Codec, Event
from tradewire.sinks.event_pages import (
    FEW_SETTINGS,
    EventFilter,
    conditions,
    encode_cursor,
    few_query,
    make_cursor,
    page_query,
    position,
)
from tradewire.sinks.flow import Flow, StoredEvent, flow_tree
from tradewire.sinks.newest import as_newest
from tradewire.sinks.payload import payload_of
from tradewire.sinks.questions import must_read, read_only
from tradewire.sinks.raw_history import events_of, records_where
from tradewire.sinks.store import cause_of_silence, connect

FLOW_EVENTS_MAX: Final = 10_000
_EVENT_COLUMNS: Final = (
    "topic, partition, offset, type, version, schema_id, id, source, subject, correlation_id, causation_id, sequence, "
    "tags, time_ns, toUnixTimestamp64Milli(recorded_at) AS recorded_ms, "
    "toUnixTimestamp64Milli(stored_at) AS stored_ms, payload_text"
)
_STATS_BY: Final = {"type": "type", "topic": "topic", "source": "source"}


@dataclass(frozen=True, slots=True)
class Page:
    """Some events, and where the next page begins; ``cursor`` is None after the last one."""

    events: Sequence[StoredEvent]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class ReadPage:
    """Some events as a consumer would get them, and where the next page begins."""

    events: Sequence[Event]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Stats:
    """Events of one type (or topic, or source). ``stored_after_ms_*`` is from the broker's stamp to being stored."""

    name: str
    events: int
    bytes: int
    first_ns: int
    last_ns: int
    stored_after_ms_p50: float
    stored_after_ms_p99: float


@dataclass(frozen=True, slots=True)
class PartitionCount:
    """What is stored of one partition. Nothing is stored twice when ``events + dead_letters == distinct_offsets``."""

    topic: str
    partition: int
    events: int
    dead_letters: int
    distinct_offsets: int
    offset_min: int
    offset_max: int

    @property
    def rows(self) -> int:
        return self.events + self.dead_letters


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of a question in SQL; ``truncated`` says that there are more than were allowed."""

    columns: Sequence[str]
    types: Sequence[str]
    rows: Sequence[Sequence[Any]]
    truncated: bool


class StoredHistory:
    """Reads one database and knows nothing of Kafka; ``History`` says how far answers are complete, too.

    Thread-safe: its client has no session. Every call blocks until ClickHouse has answered.

    All raise QueryError when ClickHouse refuses the question, and ClickHouseUnavailable when it does not answer.
    """

    def __init__(self, client: Client, database: str = "tradewire") -> None:
        self._client = client
        self._database = database

    @classmethod
    def connect(cls, settings: ClickHouseSettings) -> Self:
        """Raises ClickHouseUnavailable."""
        return cls(connect(settings), settings.database)

    def close(self) -> None:
        self._client.close()

    def events(
        self,
        wanted: EventFilter | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        order: Literal["oldest", "newest"] = "newest",
        codec: Codec | None = None,
    ) -> Page:
        """One page of events by time of occurrence. Pages of one cursor chain never repeat an event.

        ``payload`` is what was written, under the version in ``version``; with a codec it is of the newest version that
        the codec knows (``as_newest``), while filters compare what was written. ``read`` gives whole events instead.
        An event that is stored while pages are read and lies before the cursor is not seen by the later ones.

        Raises:
            QueryError: ``limit`` or ``cursor`` is bad; names it.
        """
        few = few_query(wanted, limit, cursor, order)
        if few is not None and (found := self._few(*few, limit)) is not None:
            found.sort(key=position, reverse=order == "newest")
            return Page(self._newest(found, codec), None)
        where, tail, parameters = page_query(self._table("events"), wanted, limit, cursor, order)
        rows = self._rows(f"SELECT {_EVENT_COLUMNS} FROM {self._table('events')} WHERE {where} {tail}", parameters)
        events = self._newest([_event(row) for row in rows[:limit]], codec)
        return Page(events, encode_cursor(events[-1]) if len(rows) > limit else None)

    def read(
        self,
        codec: Codec,
        wanted: EventFilter | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        order: Literal["oldest", "newest"] = "newest",
    ) -> ReadPage:
        """The events of the same page as a consumer of the topic would get them: decoded from the stored bytes.

        ``data`` is of the newest version that the codec knows, older ones upcast; ``version`` is the one written.

        Raises:
            QueryError: ``limit`` or ``cursor`` is bad; names it.
            MalformedRecord (NewerVersion, UpcastFailed): a record cannot be read; names topic, partition and offset.
            UnknownSchemaId, RegistryUnavailable: a schema cannot be had; ask again.
            ReplayError: a row has been altered.
        """
        few = few_query(wanted, limit, cursor, order)
        page = page_query(self._table("events"), wanted, limit, cursor, order)
        try:
            if few is not None:
                rows = records_where(self._client, self._database, *few, FEW_SETTINGS)
                if len(rows) <= limit:
                    return ReadPage(sorted(events_of(rows, codec), key=_at, reverse=order == "newest"), None)
            found = events_of(records_where(self._client, self._database, *page), codec)
        except (ClickHouseError, OSError) as error:
            raise refusal(error) from error
        last = found[limit - 1] if len(found) > limit else None
        if last is None or last.position is None:
            return ReadPage(found, None)
        at = last.position
        return ReadPage(found[:limit], make_cursor(last.time_ns, at.topic, at.partition, at.offset))

    def flow(self, correlation_id: str, *, events_max: int = FLOW_EVENTS_MAX, codec: Codec | None = None) -> Flow:
        """The flow as a tree with the latency of each hop; empty when nothing of it is stored. ``codec``: as in
        ``events``."""
        where = "correlation_id = {correlation_id:String}"
        parameters = {"correlation_id": correlation_id, "limit": events_max + 1}
        whole = self._few(where, "LIMIT {limit:UInt32}", parameters, events_max)
        if whole is not None:
            return flow_tree(correlation_id, self._newest(whole, codec))
        rows = self._rows(
            f"SELECT {_EVENT_COLUMNS} FROM {self._table('events')} WHERE {where} "
            "ORDER BY time_ns, topic, partition, offset LIMIT {limit:UInt32}",
            parameters,
        )
        events = self._newest(list(map(_event, rows[:events_max])), codec)
        return flow_tree(correlation_id, events, truncated=len(rows) > events_max)

    def stats(
        self,
        *,
        by: Literal["type", "topic", "source"] = "type",
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Sequence[Stats]:
        """Events per type, topic or source, the most frequent first."""
        where, parameters = conditions(EventFilter(since_ns=since_ns, until_ns=until_ns))
        delay = "toUnixTimestamp64Milli(stored_at) - toUnixTimestamp64Milli(recorded_at)"
        rows = self._rows(
            f"SELECT {_STATS_BY[by]} AS name, count() AS n, sum(length(value)), min(time_ns), max(time_ns), "
            f"quantile(0.5)({delay}), quantile(0.99)({delay}) FROM {self._table('events')} WHERE {where} "
            "GROUP BY name ORDER BY n DESC, name",
            parameters,
        )
        return [Stats(*row) for row in rows]

    def counts(self, topics: Sequence[str] | None = None) -> Sequence[PartitionCount]:
        """What is stored of each partition of event topics, to be compared with Kafka. Reads whole columns."""
        where = "topic IN {topics:Array(String)}" if topics is not None else "1"
        both = " UNION ALL ".join(
            f"SELECT topic, partition, offset, {dead} AS dead FROM {self._table(table)} WHERE {where}"
            for table, dead in (("events", 0), ("dead_letters", 1))
        )
        rows = self._rows(
            "SELECT topic, partition, countIf(dead = 0), countIf(dead = 1), uniqExact(offset), min(offset), "
            f"max(offset) FROM ({both}) GROUP BY topic, partition ORDER BY topic, partition",
            {"topics": list(topics)} if topics is not None else {},
        )
        return [PartitionCount(*row) for row in rows]

    def sql(
        self,
        question: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        rows_max: int = 10_000,
        seconds_max: int = 30,
        memory_bytes_max: int = 2_000_000_000,
    ) -> Answer:
        """Read-only SQL over the database of history; ClickHouse enforces that and the limits.

        Raises:
            QueryError: the SQL is refused, writes, or needs more seconds or memory than it may; quotes the engine.
        """
        must_read(question)
        try:
            result = self._client.query(
                question,
                parameters=dict(parameters or {}),
                settings=read_only(self._database, rows_max + 1, seconds_max, memory_bytes_max),
            )
        except (ClickHouseError, OSError) as error:
            raise refusal(error) from error
        rows = result.result_rows
        return Answer(
            result.column_names,
            [type.name for type in result.column_types],
            rows[:rows_max],
            len(rows) > rows_max,
        )

    def sql_text(
        self,
        question: str,
        format: str,
        *,
        rows_max: int = 10_000,
        seconds_max: int = 30,
        memory_bytes_max: int = 2_000_000_000,
    ) -> bytes:
        """The answer of ``sql`` in one of ClickHouse's own formats (``CSVWithNames``, ``JSONEachRow`` …), cut after
        ``rows_max`` without a word: the format has no place for it."""
        must_read(question)
        try:
            # `max_result_rows` cuts between blocks only, `limit` cuts exactly.
            settings = {**read_only(self._database, 0, seconds_max, memory_bytes_max), "limit": rows_max}
            return self._client.raw_query(question, fmt=format, settings=settings)
        except (ClickHouseError, OSError) as error:
            raise refusal(error) from error

    def _newest(self, events: list[StoredEvent], codec: Codec | None) -> list[StoredEvent]:
        if codec is None:
            return events
        try:
            return as_newest(self._client, self._database, events, codec)
        except (ClickHouseError, OSError) as error:
            raise refusal(error) from error

    def _table(self, name: str) -> str:
        return f"`{self._database}`.{name}"

    def _few(self, where: str, tail: str, parameters: Mapping[str, Any], limit: int) -> list[StoredEvent] | None:
        """All events of a ``few_query``, in no order; None if there are more than ``limit``."""
        sql = f"SELECT {_EVENT_COLUMNS} FROM {self._table('events')} WHERE {where} {tail}"
        rows = self._rows(sql, parameters, FEW_SETTINGS)
        return list(map(_event, rows)) if len(rows) <= limit else None

    def _rows(
        self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        try:
            return self._client.query(sql, parameters=dict(parameters), settings=dict(settings or {})).result_rows
        except (ClickHouseError, OSError) as error:
            raise refusal(error) from error


# Of a table and of a database.
_NOT_THERE: Final = (60, 81)
_IN_SCOPE: Final = re.compile(r" In scope .*(?=\([A-Z_]+\)$)", re.DOTALL)


def refusal(error: Exception) -> QueryError | ClickHouseUnavailable:
    """What an exception of the client means: nobody answered, or the engine refused, which is quoted."""
    code = getattr(error, "code", None)
    if code is None:
        return ClickHouseUnavailable(f"ClickHouse does not answer: {cause_of_silence(error)}")
    text = str(error)
    said = text.split("DB::Exception: ", 1)[-1].split("(version ", 1)[0].strip()
    if code in _NOT_THERE:
        # The engine quotes the whole question, which says less than this.
        said = f"{_IN_SCOPE.sub(' ', said)} Has the sink run, and is clickhouse.database right?"
    return QueryError(f"ClickHouse refuses (code {code}): {said}", code=code)


def _at(event: Event) -> tuple[int, str, int, int]:
    at = event.position
    assert at is not None  # It was read from a table that has no rows without one.
    return event.time_ns, at.topic, at.partition, at.offset


def _event(row: Sequence[Any]) -> StoredEvent:
    return StoredEvent(
        topic=row[0],
        partition=row[1],
        offset=row[2],
        type=row[3],
        version=row[4],
        schema_id=row[5],
        id=row[6],
        source=row[7],
        subject=row[8],
        correlation_id=row[9],
        causation_id=row[10],
        sequence=row[11],
        tags=dict(row[12]),
        time_ns=row[13],
        recorded_ms=row[14],
        stored_ms=row[15],
        payload=payload_of(row[16]),
    )
