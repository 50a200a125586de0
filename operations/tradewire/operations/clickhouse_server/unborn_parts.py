"""Tokens whose rows never came to be, forgotten before the engine opens its data.

The engine (26.9) writes down the deduplication token of an insert, then gives the part its name. Killed in between, it
remembers a token without rows: the same insert, sent again, is answered as done and stores nothing. ClickHouse has
since turned the two steps round (``MergeTreeSink::commitPart``), which leaves rows without a token instead.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

_PART: Final = re.compile(r"([^_]+)_(\d+)_(\d+)_\d+(?:_\d+)?")
_ADDED, _DROPPED = "1", "2"
# Parts get their names one after another, so that only the last can be missing; some more, for what runs beside it.
_LAST: Final = 16


class Part(NamedTuple):
    """A part's partition and its first and last block."""

    partition: str
    first: int
    last: int

    @classmethod
    def of(cls, name: str) -> Part | None:
        found = _PART.fullmatch(name)
        return cls(found[1], int(found[2]), int(found[3])) if found else None

    def covers(self, other: Part) -> bool:
        return self.partition == other.partition and self.first <= other.first and other.last <= self.last


def forget_unborn(folder: Path) -> list[str]:
    """Takes tokens of parts that are not there out of every table's memory; returns the parts by their paths.

    A part that was merged into another is there. Does nothing while an engine holds the folder. Safe to repeat.

    Raises:
        OSError: a log cannot be read or written; what was forgotten stays forgotten.
    """
    forgotten: list[str] = []
    with _unheld(folder) as unheld:
        for logs in folder.glob("store/*/*/deduplication_logs") if unheld else ():
            forgotten += [str(logs.parent / name) for name in _forget(logs)]
    return forgotten


def _forget(logs: Path) -> list[str]:
    files = sorted(logs.glob("deduplication_log_*.txt"), key=lambda file: int(file.stem.rpartition("_")[2]))
    text = "".join(file.read_text() for file in files)
    if not text.endswith("\n"):
        return []
    remembered: dict[str, str] = {}
    for line in text.splitlines():
        what, name, token = line.split("\t", 2)
        remembered.pop(token, None)
        if what == _ADDED:
            remembered[token] = name
    there = [part for found in logs.parent.iterdir() if (part := Part.of(found.name))]
    unborn = {
        token: name
        for token, name in list(remembered.items())[-_LAST:]
        if (part := Part.of(name)) and not any(other.covers(part) for other in there)
    }
    if unborn:
        with files[-1].open("a") as log:
            log.write("".join(f"{_DROPPED}\t{name}\t{token}\n" for token, name in unborn.items()))
    return sorted(set(unborn.values()))


@contextmanager
def _unheld(folder: Path) -> Iterator[bool]:
    """Whether no engine runs on the folder; none can begin to meanwhile, if one ever ran there."""
    status = folder / "status"
    if not status.exists():
        yield True
        return
    with status.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
