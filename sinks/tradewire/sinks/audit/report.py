"""What an audit says, as values and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tradewire.sinks.audit.findings import Anomaly, Finding, Gap
from tradewire.sinks.positions import PartitionPosition

FINDINGS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionReport:
    """One partition, offsets ``lo`` to ``end``, exclusive.

    ``anomalies`` and ``gaps`` count offsets; ``findings`` lists where they are, ``truncated`` says that there are more.
    Of a compacted topic ``records`` and ``rows`` count keys, and only positions are compared.
    """

    position: PartitionPosition
    lo: int
    end: int
    records: int
    rows: int
    dead_letters: int
    gaps: Mapping[Gap, int]
    findings: Sequence[Finding]
    anomalies: Mapping[Anomaly, int]
    truncated: bool
    compacted: bool = False

    @property
    def topic(self) -> str:
        return self.position.topic

    @property
    def partition(self) -> int:
        return self.position.partition

    @property
    def equal(self) -> bool:
        return not self.anomalies

    @property
    def complete_to(self) -> int:
        """Everything from ``lo`` up to here, exclusive, is in ClickHouse once and as it was in Kafka."""
        return min([self.end, *(finding.lo for finding in self.findings)])


@dataclass(frozen=True, slots=True)
class AuditReport:
    """One run over some partitions. ``columns`` says that derived columns were compared, too."""

    partitions: Sequence[PartitionReport]
    seconds: float
    columns: bool = False

    @property
    def equal(self) -> bool:
        """Nothing is lost, doubled, altered or added in what was compared."""
        return all(partition.equal for partition in self.partitions)

    @property
    def records(self) -> int:
        return sum(partition.records for partition in self.partitions)

    @property
    def records_per_s(self) -> float:
        return self.records / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data: names as in the dataclasses, anomalies and gaps by their names."""
        return {
            "equal": self.equal,
            "columns": self.columns,
            "records": self.records,
            "seconds": round(self.seconds, 3),
            "records_per_s": round(self.records_per_s),
            "partitions": [_partition_json(partition) for partition in self.partitions],
        }


def counted(findings: Iterable[Finding]) -> dict[Anomaly, int]:
    """Offsets per anomaly."""
    counts: dict[Anomaly, int] = {}
    for finding in findings:
        counts[finding.anomaly] = counts.get(finding.anomaly, 0) + finding.offsets
    return counts


def _partition_json(report: PartitionReport) -> dict[str, Any]:
    return {
        "topic": report.topic,
        "partition": report.partition,
        "from": report.lo,
        "to": report.end - 1,
        "complete_to": report.complete_to,
        "kafka_low": report.position.low,
        "kafka_end": report.position.end,
        "stored_to": report.position.stored_to,
        "records": report.records,
        "rows": report.rows,
        "dead_letters": report.dead_letters,
        "compacted": report.compacted,
        "anomalies": {str(name): count for name, count in report.anomalies.items()},
        "gaps": {str(name): count for name, count in report.gaps.items() if count},
        "findings": [
            {"anomaly": str(found.anomaly), "from": found.lo, "to": found.hi, "offsets": found.offsets}
            for found in report.findings
        ],
        "truncated": report.truncated,
    }
