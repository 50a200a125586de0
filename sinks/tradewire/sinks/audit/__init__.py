"""The proof: Kafka against ClickHouse, by an independent reader."""

from tradewire.sinks.audit.auditor import Auditor, AuditRange, Progress
from tradewire.sinks.audit.findings import Anomaly, Finding, Gap
from tradewire.sinks.audit.kafka_reader import NotAuditable
from tradewire.sinks.audit.report import AuditReport, PartitionReport

__all__ = [
    "Anomaly",
    "AuditRange",
    "AuditReport",
    "Auditor",
    "Finding",
    "Gap",
    "NotAuditable",
    "PartitionReport",
    "Progress",
]
