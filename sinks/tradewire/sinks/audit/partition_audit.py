"""One partition of events, compared stretch by stretch; the readers are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from tradewire.sinks.audit.buckets import NOTHING, Buckets, differing, stretches
from tradewire.sinks.audit.findings import (
    Anomaly,
    Finding,
    Gap,
    classify,
    classify_columns,
    classify_tables,
    merge,
)
from tradewire.sinks.audit.kafka_reader import KafkaReader
from tradewire.sinks.audit.rebuilt_rows import RebuiltRows
from tradewire.sinks.audit.row_hash import record_hash
from tradewire.sinks.audit.stored_rows import StoredRows

_BUCKETS_AT_ONCE: Final = 50


@dataclass(slots=True)
class Compared:
    """What the comparison of some offsets came to."""

    records: int = 0
    rows: int = 0
    dead_letters: int = 0
    gaps: Counter[Gap] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    anomalies: Counter[Anomaly] = field(default_factory=Counter)
    truncated: bool = False

    def note(self, found: Iterable[Finding]) -> None:
        for finding in found:
            self.anomalies[finding.anomaly] += finding.offsets
            self.findings.append(finding)

    def add(self, other: Compared, findings_max: int) -> None:
        """Counts everything of another stretch; keeps its findings as long as there is room."""
        self.records += other.records
        self.rows += other.rows
        self.dead_letters += other.dead_letters
        self.gaps += other.gaps
        self.anomalies += other.anomalies
        room = findings_max - len(self.findings)
        self.truncated |= other.truncated or len(other.findings) > room
        self.findings += other.findings[:room]


class PartitionAudit:
    """Compares stretches of one partition. Memory holds the sums of one stretch and the rows of one bucket."""

    def __init__(
        self,
        committed: KafkaReader,
        uncommitted: KafkaReader,
        stored: StoredRows,
        topic: str,
        partition: int,
        *,
        width: int,
        compacted: bool,
        tables_from: int,
        on_records: Callable[[int], None],
        rebuilt: RebuiltRows | None = None,
    ) -> None:
        """``tables_from``: below it retention has thinned out typed tables. ``rebuilt``: compare every column, too."""
        self._rebuilt = rebuilt
        self._tables_from = tables_from
        self._committed = committed
        self._uncommitted = uncommitted
        self._stored = stored
        self._at = (topic, partition)
        self._width = width
        self._compacted = compacted
        self._on_records = on_records

    def cuts(self, lo: int, end: int) -> Iterable[tuple[int, int]]:
        """A range as the stretches that are compared in one go."""
        return stretches(lo, end, self._width, _BUCKETS_AT_ONCE)

    def compare(self, lo: int, end: int) -> Compared:
        """Compares the offsets of one stretch. After RangeExpired nothing of it counts."""
        compared = Compared()
        if self._rebuilt is not None:
            self._rebuilt.clear()
        in_kafka = self._kafka_sums(lo, end)
        stored = self._stored.sums(*self._at, lo, end, self._width)
        compared.records = sum(found.rows for found in in_kafka.values())
        compared.rows = sum(found.rows for found, _ in stored.values())
        compared.dead_letters = sum(dead for _, dead in stored.values())
        for number in differing(in_kafka, {number: found for number, (found, _) in stored.items()}):
            compared.note(self._look_into(*self._bounds(number, lo, end)))
        first = max(lo, self._tables_from)
        if first < end:
            events, typed = self._stored.table_sums(*self._at, first, end, self._width)
            for number in differing(events, typed):
                offsets = self._stored.table_offsets(*self._at, *self._bounds(number, first, end))
                compared.note(merge(classify_tables(*offsets)))
        if self._rebuilt is not None:
            known = [(found.lo, found.hi) for found in compared.findings if found.anomaly is Anomaly.ALTERED]
            differing_rows = self._rebuilt.differing(*self._at, lo, end)
            compared.note(merge(classify_columns(differing_rows, known, self._tables_from)))
        for number in range(lo // self._width, (end - 1) // self._width + 1):
            first, behind = self._bounds(number, lo, end)
            missing = behind - first - in_kafka.get(number, NOTHING).rows
            if missing:
                compared.gaps += self._gaps(first, behind, missing)
        return compared

    def expired(self, lo: int, end: int) -> Compared:
        """Offsets that Kafka no longer has: only what ClickHouse says of itself can be checked."""
        compared = Compared()
        for first, behind in self.cuts(lo, end):
            rows = self._stored.rows(*self._at, first, behind)
            offsets = Counter(row.offset for row in rows)
            compared.rows += len(rows)
            compared.dead_letters += sum(row.table == "dead_letters" for row in rows)
            compared.gaps += Counter({Gap.EXPIRED: len(offsets), Gap.GONE: behind - first - len(offsets)})
            compared.note(merge((offset, Anomaly.DUPLICATE) for offset, copies in offsets.items() if copies > 1))
        return compared

    def _bounds(self, number: int, lo: int, end: int) -> tuple[int, int]:
        return max(lo, number * self._width), min(end, (number + 1) * self._width)

    def _kafka_sums(self, lo: int, end: int) -> Any:
        buckets = Buckets(self._width)
        for messages in self._committed.read(*self._at, lo, end):
            buckets.add((message.offset(), _hash(message)) for message in messages)
            if self._rebuilt is not None and messages:
                self._rebuilt.add(*self._at, messages)
            self._on_records(messages[-1].offset() + 1 if messages else lo)
        return buckets.take()

    def _look_into(self, lo: int, end: int) -> list[Finding]:
        """Row by row: reads both sides again, so that what was only late is not reported."""
        stored = self._stored.rows(*self._at, lo, end)
        in_kafka = {
            message.offset(): _hash(message)
            for messages in self._committed.read(*self._at, lo, end)
            for message in messages
        }
        unexpected = any(row.offset not in in_kafka for row in stored)
        seen = self._uncommitted_offsets(lo, end) if unexpected else set()
        found = classify(in_kafka, stored, seen)
        if self._compacted:
            # ClickHouse keeps what Kafka's cleaner has taken away since.
            found = [(offset, anomaly) for offset, anomaly in found if anomaly is not Anomaly.PHANTOM]
        return merge(found)

    def _uncommitted_offsets(self, lo: int, end: int) -> set[int]:
        return {message.offset() for messages in self._uncommitted.read(*self._at, lo, end) for message in messages}

    def _gaps(self, lo: int, end: int, missing: int) -> Counter[Gap]:
        """Offsets without a record that a read-committed reader sees: aborted, or not records at all."""
        committed = end - lo - missing
        aborted = len(self._uncommitted_offsets(lo, end)) - committed
        # In a log that is never compacted only control records of transactions have no record.
        other = Gap.COMPACTED if self._compacted else Gap.MARKER
        return Counter({Gap.ABORTED: aborted, other: missing - aborted})


def _hash(message: Any) -> int:
    return record_hash(
        message.offset(), message.timestamp()[1], message.key(), message.value(), message.headers() or ()
    )
