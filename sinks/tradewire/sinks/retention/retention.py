"""Retention: archive, read back, compare, delete."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from tradewire.core import NS_PER_MS, get_logger, new_id
from tradewire.core.errors import SinkError, TradewireError
from tradewire.core.settings import Settings
from tradewire.schemas import Contract, format_time_ns
from tradewire.sinks.audit.buckets import NOTHING, BucketSum
from tradewire.sinks.audit.stored_rows import StoredRows
from tradewire.sinks.columns import quoted
from tradewire.sinks.ddl import stored_schemas
from tradewire.sinks.folders import cause_of
from tradewire.sinks.positions import SinkPositions
from tradewire.sinks.raw_history import RawHistory
from tradewire.sinks.retention.archive import archive_name, read_archive, sum_of, write_archive
from tradewire.sinks.retention.ledger import TOPIC, Entry, Ledger, Untold
from tradewire.sinks.retention.plan import Due, DueRange, StoredPartition, due_end, pieces
from tradewire.sinks.retention.policy import Policy, Rule
from tradewire.sinks.store import Store

_log = get_logger(__name__)
ARCHIVE_OFFSETS: Final = 500_000


class ArchiveDiffers(SinkError):
    """Raised when an archive, read back, is not what ClickHouse holds. Nothing was deleted of this rule's partition.

    Operator: run `tradewire audit` on the range: rows stored twice or altered are the likely cause.
    """


class CleanupInterrupted(SinkError):
    """Raised by nothing: the error of a cleanup whose run was killed, as the next run finds it.

    What it had begun to delete is deleted by then, and its rule is applied again. Operator: nothing, unless it repeats:
    is there too little memory, or does something end the process?
    """


class EarlierFailure(SinkError):
    """The error of a cleanup that failed in an earlier run, which could not tell it. Says the kind and the words."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of one rule. ``error`` is set when it failed; ``deleted`` rows were gone by then."""

    cleanup_id: str
    rule: Rule
    cutoff_ms: int
    deleted: int
    archived: int
    archive_folder: str | None
    duration_ms: int
    error: TradewireError | None = None


class Retention:
    """Applies a policy to one database. One run at a time; the sink, readers and audits may go on meanwhile.

    For each partition that a rule lets go, in this order:

    1. each piece of at most 500,000 offsets is written as an Avro file, on the disk before anything follows. A crash
       here leaves files that the next run writes again.
    2. the file is read back; count, sum of offsets and XOR of hashes must be those that ClickHouse computes over its
       rows. If not, nothing of the partition is deleted.
    3. the ledger names the file.
    4. the ledger says that the deletion begins: from now on the audit calls the range archived, and replay reads the
       files. A crash after it: the next run deletes again what is left.
    5. rows are deleted from ``events``, ``dead_letters`` and the typed tables.
    6. the ledger says that they are gone.

    The ledger also says when the rule was begun, how it ended, and that its event was published: what a killed run
    leaves is told as failed by the next one.
    """

    def __init__(self, settings: Settings, contract: Contract, *, archive_offsets: int = ARCHIVE_OFFSETS) -> None:
        """Raises PolicyInvalid. Connects when first used."""
        self._settings = settings
        self._archive_offsets = archive_offsets
        self._folder = settings.retention.archive_folder.absolute()
        schemas = stored_schemas(contract.catalogue)
        self._models = {stored.table for stored in schemas if stored.topic is not None}
        topics = [topic for topic in contract.topics.values() if topic.stored]
        self.policy = Policy.load(
            settings.retention.policy_file,
            topics=[topic.name for topic in topics if topic.cleanup == "delete"],
            event_tables={stored.table for stored in schemas if stored.topic is None},
            model_tables=self._models,
        )
        self._stored_topics = [topic.name for topic in topics]
        self._store = Store(settings.clickhouse)
        self.ledger = Ledger(self._store)

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def plan(self, *, now_ms: int | None = None) -> Sequence[Due]:
        """What ``run`` would delete now; a rule that lets nothing go has no ranges. Changes nothing but the ledger's
        table, which it makes.

        Raises:
            ClickHouseUnavailable, KafkaUnavailable.
        """
        self.ledger.ensure()
        now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        if not self.policy.rules:
            return []
        positions = SinkPositions.of(self._settings).read(self._stored_topics)
        stored_to = {(at.topic, at.partition): at.stored_to for at in positions}
        return [self._due(rule, now_ms - rule.keep_ms, stored_to) for rule in self.policy.rules]

    def run(
        self, *, now_ms: int | None = None, on_done: Callable[[Cleaned], None] = lambda _: None
    ) -> Sequence[Cleaned]:
        """Does it. A rule that fails does not keep the others from being applied: its result has the error.

        The first results are those of earlier runs that were killed, or could not tell them. Call ``told`` when the
        events of the results have been published; until then each run gives them again, with the same ids.

        Raises:
            ClickHouseUnavailable, KafkaUnavailable: nothing could be planned.
        """
        self.ledger.ensure()
        for entry in self.ledger.unfinished():
            self._delete(entry)
        results = [self._of_earlier(untold) for untold in self.ledger.untold()]
        for due in self.plan(now_ms=now_ms):
            if due.ranges:
                results.append(self._clean(due))
                on_done(results[-1])
        self.ledger.add(Entry("run", new_id(), "", 0, 0, 0))
        return results

    def told(self, results: Sequence[Cleaned]) -> None:
        """Notes that everybody has been told of these."""
        for cleaned in results:
            self.ledger.add(Entry("told", cleaned.cleanup_id, "", 0, 0, 0))

    def _of_earlier(self, untold: Untold) -> Cleaned:
        cutoff_ms, *rule = json.loads(untold.rule)
        if untold.result:
            deleted, archived, folder, took_ms, error = json.loads(untold.result)
            failure = None if error is None else EarlierFailure(error)
            return Cleaned(untold.cleanup_id, Rule(*rule), cutoff_ms, deleted, archived, folder, took_ms, failure)
        begun = format_time_ns(untold.begun_ms * NS_PER_MS)[:19]
        interrupted = CleanupInterrupted(
            f"the run that began at {begun}Z ended in the middle: it was killed, or its machine went down. "
            f"{untold.archived} records were archived; what it had begun to delete, {untold.deleting} rows, is deleted "
            "now, and the rule is applied again"
        )
        return Cleaned(
            untold.cleanup_id, Rule(*rule), cutoff_ms, untold.deleting, untold.archived, None, 0, interrupted
        )

    def _due(self, rule: Rule, cutoff_ms: int, stored_to: dict[tuple[str, int], int | None]) -> Due:
        tables = ("events", "dead_letters") if rule.kind == "topic" else (rule.target,)
        where = "topic = {topic:String}" if rule.kind == "topic" else "1"
        each = " UNION ALL ".join(
            f"SELECT topic, partition, offset, recorded_at FROM `{self._store.database}`.{quoted(table)} WHERE {where}"
            for table in tables
        )
        kept = "recorded_at >= fromUnixTimestamp64Milli({cutoff:Int64}, 'UTC')"
        rows = self._store.query(
            f"SELECT topic, partition, count(), min(offset), max(offset), countIf({kept}), minIf(offset, {kept}) "
            f"FROM ({each}) GROUP BY topic, partition ORDER BY topic, partition",
            {"topic": rule.target, "cutoff": cutoff_ms},
        )
        ranges: list[DueRange] = []
        for topic, partition, count, lowest, highest, kept_rows, keep_from in rows:
            stored = StoredPartition(topic, partition, count, lowest, highest, keep_from if kept_rows else None)
            hi = due_end(stored, stored_to.get((topic, partition)))
            if hi is not None:
                going = self._count(tables, topic, partition, lowest, hi)
                ranges.append(DueRange(topic, partition, lowest, hi, going))
        return Due(rule, cutoff_ms, ranges)

    def _count(self, tables: Sequence[str], topic: str, partition: int, lo: int, hi: int) -> int:
        where = "topic = {topic:String} AND partition = {partition:Int32} AND offset BETWEEN {lo:Int64} AND {hi:Int64}"
        each = " + ".join(
            f"(SELECT count() FROM `{self._store.database}`.{quoted(table)} WHERE {where})" for table in tables
        )
        given = {"topic": topic, "partition": partition, "lo": lo, "hi": hi}
        return int(self._store.query(f"SELECT {each}", given)[0][0])

    def _clean(self, due: Due) -> Cleaned:
        began, cleanup_id = time.monotonic(), new_id()
        deleted, archived = 0, 0
        rule = json.dumps([due.cutoff_ms, due.rule.target, due.rule.kind, due.rule.keep_ms, due.rule.archive])
        self.ledger.add(Entry("begun", cleanup_id, "", 0, 0, 0, note=rule))
        error: TradewireError | None = None
        try:
            for found in due.ranges:
                if due.rule.archive:
                    archived += self._archive(cleanup_id, found)
                elif due.rule.kind == "topic":
                    self.ledger.add(Entry("waived", cleanup_id, found.topic, found.partition, found.lo, found.hi))
                deleted += self._delete_range(cleanup_id, due.rule, found)
        except TradewireError as failed:
            _log.error("retention_failed", target=due.rule.target, error=str(failed))
            error = failed
        folder = str(self._folder / due.rule.target) if archived else None
        took_ms = round((time.monotonic() - began) * 1000)
        failed_as = None if error is None else f"{type(error).__name__}: {error}"
        result = json.dumps([deleted, archived, folder, took_ms, failed_as])
        self.ledger.add(Entry("ended", cleanup_id, "", 0, 0, 0, note=result))
        return Cleaned(cleanup_id, due.rule, due.cutoff_ms, deleted, archived, folder, took_ms, error)

    def _archive(self, cleanup_id: str, found: DueRange) -> int:
        """Writes every piece of a range and proves it; returns the records archived."""
        archived = 0
        raw = RawHistory(self._settings.clickhouse)
        try:
            with StoredRows(self._settings.clickhouse) as stored:
                for lo, hi in pieces(found.lo, found.hi, self._archive_offsets):
                    name = archive_name(found.topic, found.partition, lo, hi)
                    file = self._folder / name
                    write_archive(file, found.topic, found.partition, raw.records(found.topic, found.partition, lo, hi))
                    written = sum_of(read_archive(file))
                    held = _whole(stored, found, lo, hi, self._archive_offsets)
                    if written != held:
                        raise ArchiveDiffers(
                            f"{found.topic}[{found.partition}] {lo} to {hi}: the archive {file} holds {written.rows} "
                            f"records, ClickHouse {held.rows} rows, and they are not the same: nothing was deleted; "
                            "audit the range: are rows stored twice?",
                            topic=found.topic,
                            partition=found.partition,
                            offset=lo,
                        )
                    self.ledger.add(
                        Entry(
                            "archived", cleanup_id, found.topic, found.partition, lo, hi,
                            rows=written.rows, hash=written.hash, file=str(name),
                        )
                    )  # fmt: skip
                    archived += written.rows
        except OSError as error:
            raise SinkError(
                f"the archive of {found.topic}[{found.partition}] cannot be written to retention.archive_folder "
                f"{self._folder}: {error}{cause_of(error, self._folder)}; nothing of this partition was deleted, the "
                "next run archives it again",
                topic=found.topic,
                partition=found.partition,
            ) from error
        finally:
            raw.close()
        return archived

    def _delete_range(self, cleanup_id: str, rule: Rule, found: DueRange) -> int:
        table = TOPIC if rule.kind == "topic" else rule.target
        entry = Entry("deleting", cleanup_id, found.topic, found.partition, found.lo, found.hi, table, found.rows)
        self.ledger.add(entry)
        self._delete(entry)
        return found.rows

    def _delete(self, entry: Entry) -> None:
        """Deletes what the entry says, as often as it is asked, and writes that it is done."""
        tables: Sequence[str] = [entry.table]
        if entry.table == TOPIC:
            with StoredRows(self._settings.clickhouse) as stored:
                tables = stored.tables_holding(entry.topic, entry.partition, entry.lo, entry.hi + 1)
        for table in tables:
            self._store.delete_offsets(table, entry.topic, entry.partition, entry.lo, entry.hi)
        self.ledger.add(
            Entry(
                "deleted", entry.cleanup_id, entry.topic, entry.partition, entry.lo, entry.hi, entry.table, entry.rows
            )
        )


def _whole(stored: StoredRows, found: DueRange, lo: int, hi: int, width: int) -> BucketSum:
    """What ClickHouse holds of a range, as one sum."""
    rows, offsets, hashed = NOTHING
    for part, _ in stored.sums(found.topic, found.partition, lo, hi + 1, width).values():
        rows, offsets, hashed = rows + part.rows, offsets + part.offsets, hashed ^ part.hash
    return BucketSum(rows, offsets, hashed)
