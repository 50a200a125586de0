"""The audit: what a read-committed reader of Kafka sees against what ClickHouse holds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from tradewire.core import get_logger
from tradewire.core.settings import Settings
from tradewire.schemas import Contract
from tradewire.sinks.audit.buckets import BUCKET_OFFSETS
from tradewire.sinks.audit.compacted import audit_compacted
from tradewire.sinks.audit.findings import Anomaly, Finding, Gap
from tradewire.sinks.audit.kafka_reader import KafkaReader, NotAuditable, RangeExpired
from tradewire.sinks.audit.partition_audit import Compared, PartitionAudit
from tradewire.sinks.audit.rebuilt_rows import RebuiltRows
from tradewire.sinks.audit.report import FINDINGS_MAX, AuditReport, PartitionReport
from tradewire.sinks.audit.stored_rows import StoredRows
from tradewire.sinks.ddl import read_model_table
from tradewire.sinks.positions import PartitionPosition, SinkPositions

_log = get_logger(__name__)
_EXPIRIES_MAX: Final = 100
_COUNTED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class AuditRange:
    """What to audit: topics, one partition of them or all, offsets ``lo`` to ``hi`` inclusive or all there are."""

    topics: Sequence[str]
    partition: int | None = None
    lo: int | None = None
    hi: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the audit is: ``done`` of ``total`` offsets of one partition have been read."""

    topic: str
    partition: int
    done: int
    total: int


class Auditor:
    """Compares, and changes nothing in the database of history. But for ``columns`` it uses none of the sink's writing
    code: only the contract of what is stored.

    Everything below the sink's commit is judged; what lies above is "not stored yet". The sink may run meanwhile, and
    so may retention. Not thread-safe.
    """

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        *,
        bucket_offsets: int = BUCKET_OFFSETS,
        findings_max: int = FINDINGS_MAX,
        columns: bool = False,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
    ) -> None:
        """``columns``: also make every row again out of Kafka, in a database of its own that is dropped at the end, and
        compare each column of ``events``, typed tables and read models: about as slow as storing them again."""
        self._settings = settings
        self._contract = contract
        self._columns = columns
        self._topics = contract.topics
        self._read_models = {type.topic for type in contract.catalogue.values() if type.topic}
        self._width = bucket_offsets
        self._findings_max = findings_max
        self._on_progress = on_progress
        self._positions = SinkPositions.of(settings)

    def run(self, wanted: AuditRange) -> AuditReport:
        """Audits what exists of the range.

        Raises:
            NotAuditable: a topic or partition does not exist, or cannot be read.
            KafkaUnavailable, ClickHouseUnavailable: nothing is known of what was not reported yet.
        """
        began = time.monotonic()
        positions = [
            position
            for position in self._positions.read(wanted.topics)
            if wanted.partition is None or position.partition == wanted.partition
        ]
        missing = sorted(set(wanted.topics) - {position.topic for position in positions})
        if missing:
            which = "" if wanted.partition is None else f" (partition {wanted.partition})"
            raise NotAuditable(f"not on {self._settings.kafka.bootstrap_servers}: {', '.join(missing)}{which}")
        with (
            KafkaReader(self._settings, "read_committed") as committed,
            KafkaReader(self._settings, "read_uncommitted") as uncommitted,
            StoredRows(self._settings.clickhouse) as stored,
            RebuiltRows(self._settings, self._contract) if self._columns else nullcontext() as rebuilt,
        ):
            reports = [
                self._compacted(position, committed, stored, rebuilt)
                if position.topic in self._read_models
                else self._events(position, wanted, committed, uncommitted, stored, rebuilt)
                for position in positions
            ]
        return AuditReport(reports, time.monotonic() - began, self._columns)

    def _events(
        self,
        position: PartitionPosition,
        wanted: AuditRange,
        committed: KafkaReader,
        uncommitted: KafkaReader,
        stored: StoredRows,
        rebuilt: RebuiltRows | None,
    ) -> PartitionReport:
        topic, partition = position.topic, position.partition
        extent = stored.extent(topic, partition)
        archived_to = stored.archived_to(topic, partition)
        first = min(position.low, extent.offset_min) if extent.rows else position.low
        start = wanted.lo if wanted.lo is not None else first
        asked = position.end if wanted.hi is None else min(wanted.hi + 1, position.end)
        end = max(start, min(asked, position.stored_to or 0))
        total = Compared()
        total.gaps[Gap.NOT_STORED_YET] = self._waiting(committed, position, max(end, start, position.low), asked)
        total.gaps[Gap.ARCHIVED] = max(0, min(archived_to, end) - start)
        lo = max(start, min(archived_to, end))

        def on_records(done: int) -> None:
            self._on_progress(Progress(topic, partition, done - start, end - start))

        audit = PartitionAudit(
            committed, uncommitted, stored, topic, partition,
            width=self._width, compacted=self._is_compacted(topic),
            tables_from=stored.archived_to(topic, partition, "tables"), on_records=on_records, rebuilt=rebuilt,
        )  # fmt: skip
        self._compare(audit, position, lo, end, total)
        if extent.rows and extent.offset_max >= position.end and wanted.hi is None:
            total.add(self._beyond(stored, position, extent.offset_max), self._findings_max)
        on_records(end)
        return self._report(position, start, end, total)

    @staticmethod
    def _waiting(reader: KafkaReader, position: PartitionPosition, lo: int, end: int) -> int:
        """Records above the sink's commit; a few are counted, of many their offsets: a marker is no record."""
        if not 0 < end - lo <= _COUNTED_MAX:
            return max(0, end - lo)
        try:
            return sum(map(len, reader.read(position.topic, position.partition, lo, end)))
        except RangeExpired:
            return end - lo

    def _compare(self, audit: PartitionAudit, position: PartitionPosition, lo: int, end: int, total: Compared) -> None:
        """Compares a range; what retention takes away meanwhile counts as expired."""
        low, expiries = position.low, 0
        while lo < end:
            if lo < low:
                behind = min(low, end)
                total.add(audit.expired(lo, behind), self._findings_max)
                lo = behind
                continue
            first, behind = next(iter(audit.cuts(lo, end)))
            try:
                total.add(audit.compare(first, behind), self._findings_max)
            except RangeExpired as error:
                expiries += 1
                low = self._again(position).low
                _log.info("retention_overtook_audit", topic=position.topic, partition=position.partition, low=low)
                if expiries > _EXPIRIES_MAX or low <= lo:
                    raise NotAuditable(f"{error}; Kafka says that it begins at {low}") from error
                continue
            lo = behind

    def _beyond(self, stored: StoredRows, position: PartitionPosition, offset_max: int) -> Compared:
        """Rows above Kafka's end: was the topic made again, or did the broker lose what it had acknowledged?"""
        compared = Compared()
        end = self._again(position).end
        if offset_max >= end:
            rows = stored.count(position.topic, position.partition, end, offset_max + 1)
            compared.rows = rows
            compared.note([Finding(end, offset_max, Anomaly.PHANTOM, rows)])
        return compared

    def _again(self, position: PartitionPosition) -> PartitionPosition:
        found = {(at.topic, at.partition): at for at in self._positions.read([position.topic])}
        try:
            return found[position.topic, position.partition]
        except KeyError as error:
            raise NotAuditable(f"{position.topic}[{position.partition}] was deleted during the audit") from error

    def _is_compacted(self, topic: str) -> bool:
        declared = self._topics.get(topic)
        return declared is not None and declared.cleanup == "compact"

    def _compacted(
        self, position: PartitionPosition, reader: KafkaReader, stored: StoredRows, rebuilt: RebuiltRows | None
    ) -> PartitionReport:
        def on_records(done: int) -> None:
            self._on_progress(
                Progress(position.topic, position.partition, done - position.low, position.end - position.low)
            )

        table = read_model_table(position.topic)
        compared = audit_compacted(reader, stored, position, table, on_records, rebuilt)
        end = min(position.end, position.stored_to or position.low)
        return self._report(position, position.low, max(end, position.low), compared, compacted=True)

    def _report(
        self, position: PartitionPosition, lo: int, end: int, compared: Compared, *, compacted: bool = False
    ) -> PartitionReport:
        gaps: Mapping[Gap, int] = {gap: count for gap, count in compared.gaps.items() if count}
        return PartitionReport(
            position=position,
            lo=lo,
            end=end,
            records=compared.records,
            rows=compared.rows,
            dead_letters=compared.dead_letters,
            gaps=gaps,
            findings=sorted(compared.findings),
            anomalies=dict(Counter(compared.anomalies)),
            truncated=compared.truncated,
            compacted=compacted,
        )
