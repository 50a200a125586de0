"""The local stack: Kafka, schema registry and our own processes on one machine, started, watched and ended together."""

from tradewire.operations.stack._artifacts import Artifacts, default_cache_dir, resolve_artifacts
from tradewire.operations.stack._errors import (
    ArtifactsCorrupt,
    ArtifactsUnavailable,
    DiskFull,
    PartFailed,
    PartRefused,
    PortTaken,
    StackBusy,
    ToolMissing,
)
from tradewire.operations.stack._java import JVM_PROFILES, Java, find_java
from tradewire.operations.stack._part import (
    Part,
    PartStatus,
    Restarts,
    StackStatus,
    command_part,
    pending_http,
    pending_port,
)
from tradewire.operations.stack._parts import kafka_part, registry_part
from tradewire.operations.stack._ports import ensure_port_free, free_ports
from tradewire.operations.stack._process import Child, start_child
from tradewire.operations.stack._state import created_at, is_running, read_status, reset_data_folder, stop_running
from tradewire.operations.stack._supervisor import Supervisor
from tradewire.operations.stack._table import live_table, status_table

__all__ = [
    "JVM_PROFILES",
    "Artifacts",
    "ArtifactsCorrupt",
    "ArtifactsUnavailable",
    "Child",
    "DiskFull",
    "Java",
    "Part",
    "PartFailed",
    "PartRefused",
    "PartStatus",
    "PortTaken",
    "Restarts",
    "StackBusy",
    "StackStatus",
    "Supervisor",
    "ToolMissing",
    "command_part",
    "created_at",
    "default_cache_dir",
    "ensure_port_free",
    "find_java",
    "free_ports",
    "is_running",
    "kafka_part",
    "live_table",
    "pending_http",
    "pending_port",
    "read_status",
    "registry_part",
    "reset_data_folder",
    "resolve_artifacts",
    "start_child",
    "status_table",
    "stop_running",
]
