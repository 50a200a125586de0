"""A sign of life for whoever watches the worker: a file that says when it last committed, and how far.

Faust can hang without a word after trouble with a broker, and its own notion of the last commit is set before the
commit is tried. A watcher compares this file with the end offsets of the topics: end offsets that move under commits
that do not mean that the process has to be killed, which is safe at any moment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tradewire.core.clock import Clock, SystemClock

FILE_NAME: Final = "progress.json"


class Progress:
    """Writes ``progress.json`` into a folder; a reader sees a whole file or none."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self._file = folder / FILE_NAME
        self._clock = clock or SystemClock()
        self._committed: dict[str, int] = {}

    def committed(self, offsets: Mapping[str, int]) -> None:
        """Notes offsets that the broker has accepted, by ``topic:partition``; keeps those of other partitions."""
        self._committed.update(offsets)
        part = self._file.with_suffix(".part")
        part.write_text(
            json.dumps(
                {
                    "pid": os.getpid(),
                    "committed_at_ns": self._clock.now_ns(),
                    "committed": dict(sorted(self._committed.items())),
                }
            )
        )
        part.replace(self._file)


def read_progress(folder: Path) -> Mapping[str, Any] | None:
    """The newest sign of life of a worker's data folder; None before its first commit."""
    try:
        content: Mapping[str, Any] = json.loads((folder / FILE_NAME).read_text())
    except FileNotFoundError:
        return None
    return content
