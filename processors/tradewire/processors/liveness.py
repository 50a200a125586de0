"""What a worker leaves in its data folder for whoever watches it: who it is, how far it has come, what it works on.

Faust can hang without a word after trouble with a broker, and its own notion of the last commit is set before the
commit is tried. A watcher (``group_watch``) compares commits with the end offsets of the topics: end offsets that move
under commits that do not mean that the process has to be killed, which is safe at any moment. While tables are
recovered, or a schema cannot be had, commits stand for a good reason; the worker says so here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tradewire.core.clock import Clock, SystemClock

FILE_NAME: Final = "progress.json"
_MEMBER_FILE: Final = "worker.json"
_WORK_FILE: Final = "work.json"


class Membership(NamedTuple):
    """Who a worker is: its process, its group, its name in it, and the topics that it commits."""

    pid: int
    group: str
    instance_id: str
    topics: tuple[str, ...]


class Progress:
    """Writes into a folder; a reader sees a whole file or none."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self._folder = folder
        self._clock = clock or SystemClock()
        self._committed: dict[str, int] = {}

    def begun(self, group: str, instance_id: str, topics: Iterable[str]) -> None:
        """Notes who the worker is. What an earlier one was working on is forgotten."""
        self.idle()
        self._write(
            _MEMBER_FILE,
            {"pid": os.getpid(), "group": group, "instance_id": instance_id, "topics": sorted(topics)},
        )

    def committed(self, offsets: Mapping[str, int]) -> None:
        """Notes offsets that the broker has accepted, by ``topic:partition``; keeps those of other partitions."""
        self._committed.update(offsets)
        content = {
            "pid": os.getpid(),
            "committed_at_ns": self._clock.now_ns(),
            "committed": dict(sorted(self._committed.items())),
        }
        self._write(FILE_NAME, content)

    def working(self, on: str) -> None:
        """Notes what is worked on while nothing can be committed. As long as ``on`` changes, it is work."""
        self._write(_WORK_FILE, {"pid": os.getpid(), "on": on})

    def idle(self) -> None:
        """Notes that nothing stands in the way of commits."""
        (self._folder / _WORK_FILE).unlink(missing_ok=True)

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        file = self._folder / name
        part = file.with_suffix(".part")
        part.write_text(json.dumps(content))
        part.replace(file)


def read_progress(folder: Path) -> Mapping[str, Any] | None:
    """The newest sign of life of a worker's data folder; None before its first commit."""
    return _read(folder / FILE_NAME)


def read_membership(folder: Path) -> Membership | None:
    """Who the last worker of a data folder is or was; None before the first one."""
    content = _read(folder / _MEMBER_FILE)
    return None if content is None else Membership(**{**content, "topics": tuple(content["topics"])})


def read_work(folder: Path) -> str | None:
    """What the worker of a data folder says that it is working on; None if nothing keeps it from committing."""
    content = _read(folder / _WORK_FILE)
    return None if content is None else str(content["on"])


def _read(file: Path) -> Mapping[str, Any] | None:
    try:
        content: Mapping[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    return content
