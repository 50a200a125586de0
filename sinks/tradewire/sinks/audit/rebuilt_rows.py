"""Rows made again out of Kafka's records, in a database that lives as long as the audit, to compare every column.

The hash of the audit covers what a record was: position, time, key, value, headers. ``payload_text``, the typed tables
and a few more columns are derived from it by ClickHouse, and an alteration of those alone leaves the hash right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from tradewire.core import new_id
from tradewire.core.settings import Settings
from tradewire.schemas import Contract
from tradewire.sinks.batch import Job, write
from tradewire.sinks.columns import literal, quoted
from tradewire.sinks.planner import Planner
from tradewire.sinks.protocol import Intent
from tradewire.sinks.records import RecordColumns
from tradewire.sinks.store import Store
from tradewire.sinks.tables import Tables

_ROWS_AT_ONCE: Final = 10_000
_WHERE: Final = (
    "topic = {topic:String} AND partition = {partition:Int32} AND offset >= {lo:Int64} AND offset < {end:Int64}"
)
# When a row was stored is no property of the record; the position is what rows are joined by.
_NOT_COMPARED: Final = ("topic", "partition", "offset", "stored_at")
_SCHEMAS: Final = ("schemas", "schema_guids")
# Tables with rows of records; those that are empty have nothing to be compared.
_OF_RECORDS: Final = (
    "SELECT table FROM system.columns WHERE database = {real:String} AND name IN ('topic', 'partition', 'offset') "
    "AND table IN (SELECT name FROM system.tables WHERE database = {real:String} AND endsWith(engine, 'MergeTree') "
    "AND (total_rows > 0 OR name IN ('events', 'dead_letters'))) GROUP BY table HAVING count() = 3"
)


@dataclass(frozen=True, slots=True)
class _AuditIntent(Intent):
    """A token of its own for each insert: emptied tables may remember those of the rows they had."""

    run: str = ""

    def token_prefix(self, topic: str, partition: int) -> str:
        return f"audit-{self.run}:"


class RebuiltRows:
    """One database ``<database>_audit_<id>``, made when first needed and dropped by ``close``.

    Rows are made by the sink's own tables and inserts, which the comparison of hashes does without: what is proven is
    that a row is what the sink of today would store of that record. A process that is killed leaves the database
    behind; its name says what it is. Every call blocks and raises ClickHouseUnavailable, ``add`` also
    RegistryUnavailable.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._real = settings.clickhouse.database
        self.database = f"{self._real}_audit_{new_id().replace('-', '')[-12:]}"
        self._store = Store(settings.clickhouse.model_copy(update={"database": self.database}))
        self._tables = Tables(self._store, contract.catalogue, contract.schema_ids, 1_000)
        parked = {topic.name for topic in contract.topics.values() if topic.domain == "deadletter"}
        self._planner = Planner(self._tables, parked)
        self._columns: dict[str, Sequence[str]] = {}
        self._made = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        try:
            if self._made:
                self._store.command(f"DROP DATABASE IF EXISTS {quoted(self.database)} SYNC")
        finally:
            self._store.close()

    def clear(self) -> None:
        """Forgets all rows; columns that another process has added meanwhile are seen from now on."""
        if not self._made:
            self._make()
        for table in self._columns:
            self._store.command(f"TRUNCATE TABLE {quoted(self.database)}.{quoted(table)}")

    def _make(self) -> None:
        """The tables as they are, so that a field is in the column in which it is there."""
        self._made = True
        self._store.command(f"CREATE DATABASE {quoted(self.database)}")
        rows = self._store.query(
            "SELECT table, groupArray(name) FROM (SELECT table, name FROM system.columns "
            "WHERE database = {real:String} AND default_kind != 'ALIAS' AND name NOT IN {others:Array(String)} "
            f"AND (table IN {_SCHEMAS} OR table IN ({_OF_RECORDS})) ORDER BY table, position) GROUP BY table",
            {"real": self._real, "others": list(_NOT_COMPARED)},
        )
        for table, names in rows:
            self._store.command(
                f"CREATE TABLE {quoted(self.database)}.{quoted(table)} AS {quoted(self._real)}.{quoted(table)}"
            )
            self._columns[str(table)] = list(map(str, names))
        # A schema that no registry has any more is known to the archive beside the rows.
        for table in _SCHEMAS:
            if self._columns.pop(table, None) is not None:
                self._store.command(
                    f"INSERT INTO {quoted(self.database)}.{table} SELECT * FROM {quoted(self._real)}.{table}"
                )

    def add(self, topic: str, partition: int, messages: Sequence[Any]) -> None:
        """Makes the rows of messages that the partition's reader gave, in order."""
        batch = RecordColumns(topic, partition)
        batch.extend(messages)
        while len(batch):
            plan, rows = self._planner.plan(batch.head(min(len(batch), _ROWS_AT_ONCE)), None)
            head = batch.take(rows)
            intent = _AuditIntent(head.offsets[0], head.offsets[-1], rows, run=new_id())
            write(Job(head, intent, plan, replayed=False), self._store)

    def differing(self, topic: str, partition: int, lo: int, end: int) -> Mapping[str, Sequence[int]]:
        """By table, the offsets of a range whose rows differ in some column, ascending. Rows on one side alone are not
        looked at: the sums of offsets show those."""
        parameters = {"topic": topic, "partition": partition, "lo": lo, "end": end}
        found: dict[str, Sequence[int]] = {}
        for table, names in self._columns.items():
            if table == "dead_letters" or not self._has_rows(table):
                continue
            whole = f"sipHash64(toJSONString(tuple({', '.join(map(quoted, names))})))"
            stored, rebuilt = (
                f"(SELECT offset, {whole} AS hash FROM {quoted(database)}.{quoted(table)} WHERE {_WHERE})"
                for database in (self._real, self.database)
            )
            sql = (
                f"SELECT DISTINCT stored.offset AS at FROM {stored} AS stored INNER JOIN {rebuilt} AS rebuilt "
                "ON stored.offset = rebuilt.offset WHERE stored.hash != rebuilt.hash ORDER BY at"
            )
            offsets = [int(row[0]) for row in self._store.query(sql, parameters)]
            if offsets:
                found[table] = offsets
        return found

    def _has_rows(self, table: str) -> bool:
        sql = (
            f"SELECT total_rows FROM system.tables WHERE database = {literal(self.database)} "
            f"AND name = {literal(table)}"
        )
        return bool(self._store.query(sql)[0][0])
