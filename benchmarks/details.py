"""What a figure depends on: the size of the machine and the versions of what was measured; no names, no paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform

import psutil

from tradewire.operations.stack import find_java

_PACKAGES = (
    "tradewire", "confluent-kafka", "aiokafka", "faust-streaming", "fastavro", "rocksdict", "chdb",
    "clickhouse-connect", "uvloop",
)  # fmt: skip


def machine() -> dict[str, object]:
    """Cores, memory, load of the last minute."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "architecture": platform.machine(),
        "load_1_min_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Of Python, Java and the packages that the rows rest on."""
    found = {"python": platform.python_version(), "java": str(find_java().version)}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
