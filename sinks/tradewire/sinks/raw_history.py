"""Records as they were in Kafka, out of the raw columns of ClickHouse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.query import QueryResult

from tradewire.core.errors import ClickHouseUnavailable
from tradewire.core.settings import ClickHouseSettings
from tradewire.schemas import Codec, Event, Header, read_event
from tradewire.sinks.layout import restore_by_name, restore_columns
from tradewire.sinks.records import Record, RecordColumns
from tradewire.sinks.store import connect

_CHUNK_ROWS: Final = 20_000
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_TEXT_COLUMNS: Final = ("id", "type", "source", "subject", "correlation_id", "causation_id")
_WHERE: Final = "topic = {topic:String} AND partition = {partition:Int32} AND offset BETWEEN {lo:Int64} AND {hi:Int64}"


class RawHistory:
    """Reads ``events`` and ``dead_letters`` of one database as records. Raises ClickHouseUnavailable."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        # On the same machine packing costs more processor time than it saves.
        self._client: Client = connect(settings, compress=settings.host not in _LOOPBACK)
        self._database = settings.database

    def close(self) -> None:
        self._client.close()

    def count(self, topic: str, partition: int, lo: int, hi: int) -> int:
        """Distinct offsets stored in a range."""
        both = " UNION ALL ".join(
            f"SELECT offset FROM `{self._database}`.{table} WHERE {_WHERE}" for table in ("events", "dead_letters")
        )
        counted = self._ask(f"SELECT uniqExact(offset) FROM ({both})", topic, partition, lo, hi)
        return int(counted.result_columns[0][0])

    def records(self, topic: str, partition: int, lo: int, hi: int) -> Iterator[Record]:
        """The stored records of a range in offset order; what is not stored is left out.

        An offset that is stored twice is given once: its copies are of the same record.

        Raises:
            ReplayError: a row contradicts its header layout.
        """
        for found in self.columns(topic, partition, lo, hi):
            yield from found.records()

    def columns(self, topic: str, partition: int, lo: int, hi: int) -> Iterator[RecordColumns]:
        """``records`` by columns, some thousands at once; the next are asked for while these are used.

        Raises:
            ReplayError: a row contradicts its header layout.
        """
        sql = _records_sql(self._database)
        with ThreadPoolExecutor(1, thread_name_prefix="tradewire-raw-history") as ahead:
            # Asked for all at once, the engine would read and sort the rest of the range again for each of its parts.
            span, end = _CHUNK_ROWS, min(hi, lo + _CHUNK_ROWS - 1)
            asked: Future[QueryResult] | None = ahead.submit(self._ask, sql, topic, partition, lo, end)
            while asked is not None:
                columns = asked.result().result_columns
                offsets = columns[0] if columns else ()
                begin = offsets[-1] + 1 if len(offsets) == _CHUNK_ROWS else end + 1
                # Where few offsets are left, after compaction or retention, ever more of them are asked for.
                span = span * 4 if len(offsets) < _CHUNK_ROWS // 4 else _CHUNK_ROWS
                end = min(hi, begin + span - 1)
                asked = ahead.submit(self._ask, sql, topic, partition, begin, end) if begin <= hi else None
                if offsets:
                    yield _record_columns(topic, partition, _once(columns))

    def _ask(self, sql: str, topic: str, partition: int, lo: int, hi: int) -> QueryResult:
        parameters = {"topic": topic, "partition": partition, "lo": lo, "hi": hi}
        try:
            # Keys, values and headers are bytes; read as text they would be lost where they are not UTF-8.
            return self._client.query(
                sql, parameters=parameters, query_formats={"String": "bytes"}, column_oriented=True
            )
        except (ClickHouseError, OSError) as error:
            raise ClickHouseUnavailable(f"raw records of {topic}[{partition}] cannot be read: {error}") from error


def events_of(rows: Sequence[tuple[str, int, Record]], codec: Codec) -> list[Event]:
    """The events of rows of ``records_where``, made of the stored bytes.

    Raises:
        MalformedRecord, UnknownSchemaId, RegistryUnavailable: as ``read_event``, which makes them.
    """
    return [
        read_event(
            codec,
            topic=topic,
            partition=partition,
            offset=record.offset,
            timestamp_ms=record.timestamp_ms,
            value=record.value,
            headers=record.headers,
        )
        for topic, partition, record in rows
    ]


def records_where(
    client: Client,
    database: str,
    where: str,
    tail: str,
    parameters: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
) -> list[tuple[str, int, Record]]:
    """Topic, partition and record of the rows of ``events`` that a WHERE with its parameters selects.

    ``tail`` is what follows the WHERE: ORDER BY, LIMIT. Without ORDER BY they are in no order.

    Raises:
        ReplayError: a row contradicts its header layout. ClickHouse's own errors pass through.
    """
    raw = "offset, toUnixTimestamp64Milli(recorded_at) AS recorded_ms, key, value, header_layout, header_values"
    columns = client.query(
        f"SELECT topic, partition, {raw}, {', '.join(_TEXT_COLUMNS)}, sequence, time_ns FROM `{database}`.events "
        f"WHERE {where} {tail}",
        parameters=dict(parameters),
        settings=dict(settings or {}),
        query_formats={"String": "bytes"},
        column_oriented=True,
    ).result_columns
    if not columns or not columns[0]:
        return []
    topics, partitions, *rest = columns
    return [
        (_text(topic), partition, record)
        for topic, partition, record in zip(topics, partitions, _record_columns("", 0, rest).records(), strict=True)
    ]


def _records_sql(database: str) -> str:
    raw = "offset, toUnixTimestamp64Milli(recorded_at) AS recorded_ms, key, value, header_layout, header_values"
    events = f"SELECT {raw}, {', '.join(_TEXT_COLUMNS)}, sequence, time_ns FROM `{database}`.events WHERE {_WHERE}"
    nothing = ", ".join(f"'' AS {name}" for name in _TEXT_COLUMNS)
    dead = f"SELECT {raw}, {nothing}, NULL AS sequence, 0 AS time_ns FROM `{database}`.dead_letters WHERE {_WHERE}"
    columns = (
        f"offset, recorded_ms, key, value, header_layout, header_values, {', '.join(_TEXT_COLUMNS)}, sequence, time_ns"
    )
    return (
        f"SELECT {columns} FROM (SELECT * REPLACE (CAST(value, 'Nullable(String)') AS value) FROM ({events}) "
        f"UNION ALL {dead}) ORDER BY offset LIMIT {_CHUNK_ROWS}"
    )


def _once(columns: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    """Rows in offset order without those that repeat an offset."""
    offsets = columns[0]
    if len(set(offsets)) == len(offsets):
        return columns
    firsts = [at for at, offset in enumerate(offsets) if not at or offsets[at - 1] != offset]
    return [[column[at] for at in firsts] for column in columns]


def _record_columns(topic: str, partition: int, columns: Sequence[Sequence[Any]]) -> RecordColumns:
    """Rows as records: rows with the same header layout are restored together."""
    offsets, stamps, keys, values, layouts, header_values, *rest = columns
    named = dict(zip((*_TEXT_COLUMNS, "sequence", "time_ns"), rest, strict=True))
    found = RecordColumns(topic, partition, list(offsets), list(stamps), list(keys), list(values))
    if layouts and layouts.count(layouts[0]) == len(layouts):
        names, restored = restore_by_name(_text(layouts[0]), header_values, named)
        found.headers.extend_columns(names, restored, len(offsets))
        return found
    by_layout: dict[Any, list[int]] = {}
    for at, layout in enumerate(layouts):
        by_layout.setdefault(layout, []).append(at)
    headers: list[Sequence[Header]] = [()] * len(offsets)
    for layout, indexes in by_layout.items():
        rows = restore_columns(
            _text(layout),
            [header_values[at] for at in indexes],
            {name: [column[at] for at in indexes] for name, column in named.items()},
        )
        for at, row in zip(indexes, rows, strict=True):
            headers[at] = row
    found.headers.extend(headers)
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
