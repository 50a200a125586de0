"""What ClickHouse holds of a partition, as sums of buckets or row by row. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, Self

from clickhouse_connect.driver.exceptions import ClickHouseError

from tradewire.core.errors import ClickHouseUnavailable
from tradewire.core.settings import ClickHouseSettings
from tradewire.sinks.audit.buckets import BucketSum
from tradewire.sinks.audit.findings import StoredRow
from tradewire.sinks.audit.row_hash import TEXT_NAMES, row_hash_sql
from tradewire.sinks.columns import literal, quoted
from tradewire.sinks.store import connect

# Layouts that get an expression of their own; nearly all rows share two or three.
_LAYOUTS_MAX: Final = 16
_WHERE: Final = (
    "topic = {topic:String} AND partition = {partition:Int32} AND offset >= {lo:Int64} AND offset < {end:Int64}"
)
_OF: Final = {"topic": "table_name = ''", "tables": "table_name != ''"}
# A column set that only the tables of event types have.
_TYPED_COLUMNS: Final = ("topic", "partition", "offset", "id", "version", "subject", "occurred_at")
_NOT_TYPED: Final = ("events", "dead_letters")
# Written by ``tradewire.sinks.retention``.
RETENTION_LEDGER: Final = "retention_ledger"
_SETTINGS: Final[Mapping[str, Any]] = {
    # The branch for unusual headers is evaluated for the rows that need it alone.
    "short_circuit_function_evaluation": "force_enable",
}


class Extent:
    """What is stored of a partition in all: rows, lowest and highest offset; ``rows`` 0 when there is none."""

    __slots__ = ("offset_max", "offset_min", "rows")

    def __init__(self, rows: int, offset_min: int, offset_max: int) -> None:
        self.rows = rows
        self.offset_min = offset_min
        self.offset_max = offset_max


class StoredRows:
    """One client. Every call blocks until ClickHouse has answered and raises ClickHouseUnavailable when it does not."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._client = connect(settings)
        self._database = quoted(settings.database)
        self._database_name = settings.database
        self._typed: Sequence[str] | None = None

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def extent(self, topic: str, partition: int) -> Extent:
        """Events and dead letters of a partition together. Reads its offsets."""
        both = self._offsets_of(("events", "dead_letters"), "topic = {topic:String} AND partition = {partition:Int32}")
        sql = f"SELECT count(), min(offset), max(offset) FROM ({both})"
        rows, lowest, highest = self._ask(sql, {"topic": topic, "partition": partition})[0]
        return Extent(rows, lowest, highest)

    def count(self, topic: str, partition: int, lo: int, end: int) -> int:
        """Rows of a range."""
        at = {"topic": topic, "partition": partition, "lo": lo, "end": end}
        return int(self._ask(f"SELECT count() FROM ({self._offsets_of(_NOT_TYPED)})", at)[0][0])

    def archived_to(self, topic: str, partition: int, what: Literal["topic", "tables"] = "topic") -> int:
        """Retention has deleted what lies below, by its own ledger; 0 when it never did.

        Of the topic as a whole, or (``tables``) from at least one of the tables of event types or read models.
        """
        if not self.has_table(RETENTION_LEDGER):
            return 0
        sql = (
            f"SELECT max(hi) + 1 FROM {self._database}.{RETENTION_LEDGER} WHERE step = 'deleting' "
            f"AND topic = {{topic:String}} AND partition = {{partition:Int32}} AND {_OF[what]} HAVING count() > 0"
        )
        rows = self._ask(sql, {"topic": topic, "partition": partition})
        return int(rows[0][0]) if rows else 0

    def sums(self, topic: str, partition: int, lo: int, end: int, width: int) -> Mapping[int, tuple[BucketSum, int]]:
        """The sum of each bucket of a range that has rows, and how many of them are dead letters."""
        at = {"topic": topic, "partition": partition, "lo": lo, "end": end}
        sql = (
            f"SELECT intDiv(offset, {width}) AS bucket, count(), sum(offset), groupBitXor(hash), sum(dead) "
            f"FROM ({self._hashed(at)}) GROUP BY bucket"
        )
        return {
            number: (BucketSum(rows, offsets, hash), dead) for number, rows, offsets, hash, dead in self._ask(sql, at)
        }

    def rows(self, topic: str, partition: int, lo: int, end: int) -> Sequence[StoredRow]:
        """Every row of a range with its hash."""
        at = {"topic": topic, "partition": partition, "lo": lo, "end": end}
        sql = f"SELECT offset, hash, dead FROM ({self._hashed(at)})"
        return [StoredRow(offset, hash, _NOT_TYPED[dead]) for offset, hash, dead in self._ask(sql, at)]

    def table_sums(self, topic: str, partition: int, lo: int, end: int, width: int) -> tuple[Any, Any]:
        """Sums of offsets alone: those of ``events``, and those of all typed tables together."""
        at = {"topic": topic, "partition": partition, "lo": lo, "end": end}
        sums = []
        for tables in (("events",), self.typed_tables()):
            sql = (
                f"SELECT intDiv(offset, {width}) AS bucket, count(), sum(offset), groupBitXor(intHash64(offset)) "
                f"FROM ({self._offsets_of(tables)}) GROUP BY bucket"
            )
            rows = self._ask(sql, at) if tables else ()
            sums.append({number: BucketSum(*found) for number, *found in rows})
        return sums[0], sums[1]

    def table_offsets(self, topic: str, partition: int, lo: int, end: int) -> tuple[Sequence[int], Sequence[int]]:
        """The offsets of a range in ``events``, and in all typed tables, repeats included."""
        at = {"topic": topic, "partition": partition, "lo": lo, "end": end}
        events, typed = (
            [row[0] for row in self._ask(self._offsets_of(tables), at)] if tables else []
            for tables in (("events",), self.typed_tables())
        )
        return events, typed

    def typed_tables(self) -> Sequence[str]:
        """The tables of event types that have rows, found by their columns."""
        if self._typed is None:
            sql = (
                "SELECT table FROM system.columns WHERE database = {database:String} "
                "AND table IN (SELECT name FROM system.tables WHERE database = {database:String} "
                "AND engine = 'MergeTree' AND total_rows > 0) "
                "AND name IN {names:Array(String)} AND table NOT IN {others:Array(String)} "
                "GROUP BY table HAVING count() = length({names:Array(String)}) ORDER BY table ASC"
            )
            given = {"database": self._database_name, "names": list(_TYPED_COLUMNS), "others": list(_NOT_TYPED)}
            self._typed = [row[0] for row in self._ask(sql, given)]
        return self._typed

    def tables_holding(self, topic: str, partition: int, lo: int, end: int) -> Sequence[str]:
        """The tables of events, dead letters and event types that have rows of a range."""
        at = {"topic": topic, "partition": partition, "lo": lo, "end": end}
        each = " UNION ALL ".join(
            f"SELECT {literal(table)} AS name FROM {self._database}.{quoted(table)} WHERE {_WHERE}"
            for table in (*_NOT_TYPED, *self.typed_tables())
        )
        return [row[0] for row in self._ask(f"SELECT DISTINCT name FROM ({each}) ORDER BY name", at)]

    def newest_of_keys(self, table: str, topic: str, partition: int) -> Iterator[tuple[bytes, int, bool]]:
        """Of a table of read models: key, offset and whether it is deleted, of the newest row of each key."""
        sql = (
            f"SELECT key, max(offset), argMax(is_deleted, offset) FROM {self._database}.{quoted(table)} "
            "WHERE topic = {topic:String} AND partition = {partition:Int32} GROUP BY key"
        )
        try:
            with self._client.query_rows_stream(
                sql, parameters={"topic": topic, "partition": partition}, query_formats={"String": "bytes"}
            ) as rows:
                for key, offset, deleted in rows:
                    yield key, offset, bool(deleted)
        except (ClickHouseError, OSError) as error:
            raise ClickHouseUnavailable(f"{table} cannot be read: {error}") from error

    def has_table(self, name: str) -> bool:
        sql = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = {name:String}"
        return bool(self._ask(sql, {"database": self._database_name, "name": name})[0][0])

    def dead_offsets(self, topic: str, partition: int) -> set[int]:
        """The offsets of a partition that are dead letters."""
        sql = self._offsets_of(("dead_letters",), "topic = {topic:String} AND partition = {partition:Int32}")
        return {row[0] for row in self._ask(sql, {"topic": topic, "partition": partition})}

    def _offsets_of(self, tables: Sequence[str], where: str = _WHERE) -> str:
        return " UNION ALL ".join(
            f"SELECT offset FROM {self._database}.{quoted(table)} WHERE {where}" for table in tables
        )

    def _hashed(self, at: Mapping[str, Any]) -> str:
        """Rows of a range as ``offset, hash, dead``."""
        both = " UNION ALL ".join(
            f"SELECT CAST(header_layout, 'String') AS layout FROM {self._database}.{table} WHERE {_WHERE}"
            for table in _NOT_TYPED
        )
        counted = self._ask(
            f"SELECT layout, count() AS rows FROM ({both}) GROUP BY layout ORDER BY rows DESC LIMIT {_LAYOUTS_MAX}", at
        )
        raw = (
            "offset, toUnixTimestamp64Milli(recorded_at) AS recorded_ms, key, CAST(value, 'Nullable(String)') AS value"
        )
        common = f"{raw}, CAST(header_layout, 'String') AS header_layout, header_values"
        envelope = ", ".join(f"CAST({name}, 'String') AS {name}" for name in TEXT_NAMES)
        nothing = ", ".join(f"'' AS {name}" for name in TEXT_NAMES)
        events = f"SELECT {common}, {envelope}, sequence, time_ns, 0 AS dead"
        dead = (
            f"SELECT {common}, {nothing}, CAST(NULL, 'Nullable(Int64)') AS sequence, toInt64(0) AS time_ns, 1 AS dead"
        )
        layouts = [layout for layout, _ in counted]
        return (
            f"SELECT offset, dead, {row_hash_sql(layouts)} AS hash FROM ({events} FROM {self._database}.events "
            f"WHERE {_WHERE} UNION ALL {dead} FROM {self._database}.dead_letters WHERE {_WHERE})"
        )

    def _ask(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
        try:
            return self._client.query(sql, parameters=dict(parameters), settings=dict(_SETTINGS)).result_rows
        except (ClickHouseError, OSError) as error:
            raise ClickHouseUnavailable(f"stored rows cannot be read: {error}") from error
