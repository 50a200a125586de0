"""Repairs what an audit has found: lost records come again out of Kafka, through the sink's own inserts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tradewire.core import get_logger, new_id
from tradewire.core.settings import Settings
from tradewire.schemas import Contract
from tradewire.sinks.audit.findings import Anomaly, joined, without
from tradewire.sinks.audit.kafka_reader import KafkaReader
from tradewire.sinks.audit.report import AuditReport, PartitionReport
from tradewire.sinks.audit.stored_rows import StoredRows
from tradewire.sinks.batch import Job, write
from tradewire.sinks.planner import Planner
from tradewire.sinks.protocol import Intent
from tradewire.sinks.records import RecordColumns
from tradewire.sinks.store import Store
from tradewire.sinks.tables import Tables

_log = get_logger(__name__)
_ROWS_AT_ONCE: Final = 10_000
# Anomalies whose rows must go before anything else can be right; of the second kind the record then comes again.
_ONLY_DELETED: Final = frozenset((Anomaly.PHANTOM, Anomaly.ABORTED_READ))
_REPLACED: Final = frozenset(
    (
        Anomaly.DUPLICATE,
        Anomaly.ALTERED,
        Anomaly.TABLE_LOST,
        Anomaly.TABLE_DUPLICATE,
        Anomaly.TABLE_PHANTOM,
        Anomaly.TABLE_ALTERED,
    )
)


@dataclass(frozen=True, slots=True)
class Repair:
    """What would be done to one partition: offsets as ranges, both ends inclusive.

    ``insert`` are lost records; ``replace`` are deleted wherever they are and inserted again; ``delete`` are rows
    that Kafka does not have. ``left`` says what a repair without deletion leaves as it is.
    """

    topic: str
    partition: int
    insert: Sequence[tuple[int, int]]
    replace: Sequence[tuple[int, int]]
    delete: Sequence[tuple[int, int]]
    left: Mapping[Anomaly, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not (self.insert or self.replace or self.delete)


@dataclass(frozen=True, slots=True)
class Healed:
    """What was done: rows inserted, and offsets whose rows were deleted."""

    inserted: int
    deleted_offsets: int


@dataclass(frozen=True, slots=True)
class _RepairIntent(Intent):
    """A batch of a repair. Its tokens are its own: those of the sink's batches may be remembered still, although their
    rows have been deleted, and ClickHouse would drop the insert."""

    run: str = ""

    def token_prefix(self, topic: str, partition: int) -> str:
        return f"repair-{self.run}:{self.table_version}:{topic}:{partition}:{self.lo}-{self.hi}:"


def plan_repairs(report: AuditReport, *, delete: bool) -> Sequence[Repair]:
    """What heals a report. Without ``delete`` nothing but lost records is touched. Pure."""
    planned = [_plan(partition, delete) for partition in report.partitions if partition.findings]
    return [repair for repair in planned if not repair.empty or repair.left]


def _plan(partition: PartitionReport, delete: bool) -> Repair:
    lost: list[tuple[int, int]] = []
    replaced: list[tuple[int, int]] = []
    unexpected: list[tuple[int, int]] = []
    left: dict[Anomaly, int] = {}
    for finding in partition.findings:
        at, anomaly = (finding.lo, finding.hi), finding.anomaly
        if anomaly is Anomaly.LOST_WRITE:
            lost.append(at)
            continue
        # Above the end that Kafka had, records may come at any moment: what is stored there is for a human to judge.
        if partition.compacted or not delete or finding.lo >= partition.position.end:
            left[anomaly] = left.get(anomaly, 0) + finding.offsets
        elif anomaly in _ONLY_DELETED:
            unexpected.append(at)
        else:
            replaced.append(at)
    # A lost event whose typed row is still there shows as both: inserting it would double the typed row.
    damaged = [(found.lo, found.hi) for found in partition.findings if found.anomaly in _REPLACED]
    insert = without(lost, damaged)
    both = sum(hi - lo + 1 for lo, hi in joined(lost)) - sum(hi - lo + 1 for lo, hi in insert)
    if both and not delete:
        left[Anomaly.LOST_WRITE] = both
    # A typed row beside a row that Kafka does not have goes with it.
    replace = without(replaced, unexpected)
    return Repair(partition.topic, partition.partition, insert, replace, joined(unexpected), left)


class Healer:
    """Does repairs. One at a time: two at once would insert the same records twice, which the next audit shows.

    The sink may run meanwhile: repairs touch only what lies below its commits. A crash between deleting and inserting
    leaves records lost in ClickHouse that Kafka still has: audit and heal again.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._settings = settings
        self._store = Store(settings.clickhouse)
        self._tables = Tables(self._store, contract.catalogue, contract.schema_ids, settings.sink.deduplication_window)
        parked = {topic.name for topic in contract.topics.values() if topic.domain == "deadletter"}
        self._planner = Planner(self._tables, parked)
        self._run = new_id()

    def close(self) -> None:
        self._store.close()

    def heal(self, repair: Repair) -> Healed:
        """Deletes, then inserts.

        Raises:
            ClickHouseUnavailable, KafkaUnavailable, RegistryUnavailable: a part may have been done; audit again.
            RangeExpired: Kafka has lost the records meanwhile.
        """
        gone = 0
        with StoredRows(self._settings.clickhouse) as stored:
            for lo, hi in (*repair.delete, *repair.replace):
                self._delete(stored, repair, lo, hi)
                gone += hi - lo + 1
        inserted = 0
        with KafkaReader(self._settings, "read_committed") as reader:
            for lo, hi in (*repair.insert, *repair.replace):
                for batch in _batches(reader, repair.topic, repair.partition, lo, hi):
                    inserted += self._insert(batch)
        _log.info("healed", topic=repair.topic, partition=repair.partition, inserted=inserted, deleted_offsets=gone)
        return Healed(inserted, gone)

    def _delete(self, stored: StoredRows, repair: Repair, lo: int, hi: int) -> None:
        for table in stored.tables_holding(repair.topic, repair.partition, lo, hi + 1):
            self._store.delete_offsets(table, repair.topic, repair.partition, lo, hi)

    def _insert(self, batch: RecordColumns) -> int:
        rows_in_all = len(batch)
        while len(batch):
            plan, rows = self._planner.plan(batch, None)
            head = batch.take(rows)
            intent = _RepairIntent(
                head.offsets[0], head.offsets[-1], rows, dead_schemas=tuple(plan.dead_schemas), run=self._run
            )
            write(Job(head, intent, plan, replayed=False), self._store)
        return rows_in_all


def _batches(reader: KafkaReader, topic: str, partition: int, lo: int, hi: int) -> Iterator[RecordColumns]:
    batch = RecordColumns(topic, partition)
    for messages in reader.read(topic, partition, lo, hi + 1):
        batch.extend(messages)
        while len(batch) >= _ROWS_AT_ONCE:
            yield batch.take(_ROWS_AT_ONCE)
    if len(batch):
        yield batch
