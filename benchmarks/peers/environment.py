"""Virtual environments for peers that need other packages than ours. Made once, kept in the cache.

Quix Streams pins another confluent-kafka; FastStream is nothing that our own environment needs.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

QUIX_VERSION: Final = "3.28.1"
FASTSTREAM_VERSION: Final = "0.7.8"
_TIMEOUT_S: Final = 300


class EnvironmentMissing(Exception):
    """Raised when the environment cannot be made; says why. Nothing half made is taken for whole later."""


def quix_python(cache_folder: Path) -> Path:
    """The interpreter of an environment that has Quix Streams; raises as ``peer_python`` does."""
    return peer_python(cache_folder, f"quixstreams=={QUIX_VERSION}", "fastavro")


def faststream_python(cache_folder: Path) -> Path:
    """The interpreter of an environment that has FastStream; raises as ``peer_python`` does."""
    return peer_python(
        cache_folder, f"faststream[kafka]=={FASTSTREAM_VERSION}", "aiokafka[lz4]", "fastavro", "uuid-utils"
    )


def peer_python(cache_folder: Path, peer: str, *packages: str) -> Path:
    """The interpreter of an environment that has ``peer`` (``name==version``); makes it if it is not there.

    Raises:
        EnvironmentMissing: no venv, no package index, or no wheel for this Python.
    """
    name = re.sub(r"[^a-z0-9.]+", "-", peer)
    folder = cache_folder / "benchmarks" / f"{name}-py{sys.version_info[0]}{sys.version_info[1]}"
    python, made = folder / "bin" / "python", folder / "made"
    if made.is_file():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", peer, *packages])
    made.touch()
    return python


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentMissing(f"{' '.join(command[1:4])}: {type(error).__name__}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise EnvironmentMissing(f"{' '.join(command[1:4])} failed: {said[-1] if said else done.returncode}")
