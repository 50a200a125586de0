"""An audit's report as Prometheus metrics in a file: an audit is a job, not a server."""

from __future__ import annotations

import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from tradewire.sinks.audit import Anomaly, AuditReport


def write_metrics(report: AuditReport, file: Path) -> None:
    """Replaces the file at once, so that a collector never reads half of it. Names are part of the interface."""
    registry = CollectorRegistry()
    at = ["topic", "partition"]

    def gauge(name: str, said: str, labels: list[str] = at) -> Gauge:
        return Gauge(f"tradewire_audit_{name}", said, labels, registry=registry)

    anomalies = gauge("anomalous_offsets", "Offsets that are lost, doubled, altered or unexpected", [*at, "anomaly"])
    gaps = gauge("gap_offsets", "Offsets without a row or a record where nothing is wrong", [*at, "gap"])
    records = gauge("records", "Records of Kafka that were compared")
    complete = gauge("complete_to", "Everything below this offset is stored once and unaltered")
    for found in report.partitions:
        where = (found.topic, str(found.partition))
        for anomaly in Anomaly:
            anomalies.labels(*where, anomaly).set(found.anomalies.get(anomaly, 0))
        for gap, count in found.gaps.items():
            gaps.labels(*where, gap).set(count)
        records.labels(*where).set(found.records)
        complete.labels(*where).set(found.complete_to)
    gauge("equal", "1 when the last audit found no difference", []).set(report.equal)
    gauge("duration_seconds", "Time of the last audit", []).set(report.seconds)
    gauge("completed_timestamp_seconds", "When the last audit ended", []).set(time.time())
    write_to_textfile(str(file), registry)
