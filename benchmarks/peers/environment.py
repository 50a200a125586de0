"""A virtual environment for Quix Streams, whose pinned confluent-kafka is not ours. Made once, kept in the cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

QUIX_VERSION: Final = "3.28.1"
_TIMEOUT_S: Final = 300


class EnvironmentMissing(Exception):
    """Raised when the environment cannot be made; says why. Nothing half made is taken for whole later."""


def quix_python(cache_folder: Path) -> Path:
    """The interpreter of an environment that has Quix Streams; makes it if it is not there.

    Raises:
        EnvironmentMissing: no venv, no package index, or no wheel for this Python.
    """
    folder = cache_folder / "benchmarks" / f"quixstreams-{QUIX_VERSION}-py{sys.version_info[0]}{sys.version_info[1]}"
    python, made = folder / "bin" / "python", folder / "made"
    if made.is_file():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check",
          f"quixstreams=={QUIX_VERSION}", "fastavro"])  # fmt: skip
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
