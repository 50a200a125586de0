"""What retention has done, in a table of ClickHouse: the audit and replay go by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tradewire.sinks.audit.stored_rows import RETENTION_LEDGER
from tradewire.sinks.store import Store

# `run` marks the end of a whole cleanup; its other columns say nothing. `begun`, `ended` and `told` are of one rule:
# `note` has the rule, then its result; it is told when its event has been published.
Step = Literal["begun", "archived", "waived", "deleting", "deleted", "ended", "told", "run"]
# A topic's rule deletes from all tables that hold its events.
TOPIC: Final = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """Offsets ``lo`` to ``hi``, inclusive, of one partition; ``table`` is empty for a topic's rule."""

    step: Step
    cleanup_id: str
    topic: str
    partition: int
    lo: int
    hi: int
    table: str = TOPIC
    rows: int = 0
    hash: int = 0
    file: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Untold:
    """One rule's cleanup; ``result`` is empty when its run ended in the middle; ``deleting`` rows were to go."""

    cleanup_id: str
    begun_ms: int
    rule: str
    result: str
    archived: int
    deleting: int


class Ledger:
    """Appends and reads. Raises ClickHouseUnavailable; whether an entry was written is then unknown: write it again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._table = f"`{store.database}`.{RETENTION_LEDGER}"

    def ensure(self) -> None:
        """Makes the table."""
        self._store.command(
            f"CREATE TABLE IF NOT EXISTS {self._table} (at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'), "
            "step LowCardinality(String), cleanup_id String, topic LowCardinality(String), partition Int32, lo Int64, "
            "hi Int64, table_name LowCardinality(String), rows UInt64, hash UInt64, file String, note String) "
            "ENGINE = MergeTree ORDER BY (topic, partition, lo)"
        )
        self._store.command(f"ALTER TABLE {self._table} ADD COLUMN IF NOT EXISTS note String")

    def exists(self) -> bool:
        sql = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = {name:String}"
        return bool(self._store.query(sql, {"database": self._store.database, "name": RETENTION_LEDGER})[0][0])

    def add(self, entry: Entry) -> None:
        names = {
            "step": "String", "cleanup_id": "String", "topic": "String", "partition": "Int32", "lo": "Int64",
            "hi": "Int64", "table": "String", "rows": "UInt64", "hash": "UInt64", "file": "String",
            "note": "String",
        }  # fmt: skip
        values = ", ".join(f"{{{name}:{type}}}" for name, type in names.items())
        columns = ", ".join(names).replace("table", "table_name")
        self._store.insert_values(
            f"INSERT INTO {self._table} ({columns}) SELECT {values}", {name: getattr(entry, name) for name in names}
        )

    def archives(self, topic: str, partition: int) -> Sequence[Entry]:
        """The archives of what has been deleted from the partition, by offset, each range once.

        Archives of cleanups that never came to deleting do not count: a later one has archived the same again.
        """
        here = "topic = {topic:String} AND partition = {partition:Int32}"
        deleting = f"SELECT cleanup_id FROM {self._table} WHERE step = 'deleting' AND table_name = '' AND {here}"
        sql = (
            f"SELECT lo, hi, any(rows), any(hash), argMax(file, at) FROM {self._table} WHERE step = 'archived' "
            f"AND {here} AND cleanup_id IN ({deleting}) GROUP BY lo, hi ORDER BY lo"
        )
        rows = self._store.query(sql, {"topic": topic, "partition": partition})
        return [
            Entry("archived", "", topic, partition, lo, hi, rows=count, hash=hash, file=file)
            for lo, hi, count, hash, file in rows
        ]

    def unfinished(self) -> Sequence[Entry]:
        """Deletions that were begun and not finished: a run ended in the middle."""
        sql = (
            f"SELECT cleanup_id, topic, partition, lo, hi, table_name, max(rows) FROM {self._table} "
            "WHERE step IN ('deleting', 'deleted') GROUP BY cleanup_id, topic, partition, lo, hi, table_name "
            "HAVING countIf(step = 'deleted') = 0 ORDER BY topic, partition, lo"
        )
        return [
            Entry("deleting", cleanup_id, topic, partition, lo, hi, table, rows)
            for cleanup_id, topic, partition, lo, hi, table, rows in self._store.query(sql)
        ]

    def untold(self) -> Sequence[Untold]:
        """Cleanups whose event has not been published, oldest first: their run was killed, or Kafka was away."""
        sql = (
            "SELECT cleanup_id, toUnixTimestamp64Milli(minIf(at, step = 'begun')) AS begun, "
            "anyIf(note, step = 'begun'), anyIf(note, step = 'ended'), "
            "sumIf(rows, step = 'archived'), sumIf(rows, step = 'deleting') "
            f"FROM {self._table} GROUP BY cleanup_id "
            "HAVING countIf(step = 'begun') > 0 AND countIf(step = 'told') = 0 ORDER BY begun"
        )
        return [Untold(*row) for row in self._store.query(sql)]

    def last_run_ms(self) -> int | None:
        """When the last whole cleanup ended; None when there was none."""
        sql = f"SELECT count(), toUnixTimestamp64Milli(max(at)) FROM {self._table} WHERE step = 'run'"
        count, at = self._store.query(sql)[0]
        return int(at) if count else None
