"""Kafka to Kafka: correlation of events into flows, and read models. Plain folds, with Faust as the shell."""

from tradewire.processors.applied import Applied, At
from tradewire.processors.flows import Flow, PlacedStep, Step, add_step, lay_out
from tradewire.processors.ledger import Claim, Ledger
from tradewire.processors.liveness import Progress, read_progress
from tradewire.processors.metrics import WorkerMetrics
from tradewire.processors.tables import TABLES, Table

__all__ = [
    "TABLES",
    "Applied",
    "At",
    "Claim",
    "Flow",
    "Ledger",
    "PlacedStep",
    "Progress",
    "Step",
    "Table",
    "WorkerMetrics",
    "add_step",
    "lay_out",
    "read_progress",
]
