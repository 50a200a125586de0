"""The worker's data folder: one process at a time, a name that stays with it, and what to say when its disk is full."""

from __future__ import annotations

import errno
import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from tradewire.core.errors import ProcessingError, SettingsError

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
# RocksDB and Faust tell what the system told them, in a text.
_FULL_TEXTS: Final = ("No space left on device", "Disk quota exceeded")


class DataFolderFull(ProcessingError):
    """Raised when a worker cannot start because the disk of its data folder is full; nothing is lost.

    Operator: make room or name a folder on a larger disk in worker.data_folder, then start it again.
    """

    retriable = True


@contextmanager
def own_folder(folder: Path) -> Iterator[str]:
    """Makes the data folder this process's own and yields the instance id with which it is a member of its group.

    The id stays with the folder: a restart with the same topics takes the place of the process before it, without
    waiting for its session to end (``core.membership.static_name``).

    Raises:
        SettingsError: another worker has the folder, or it cannot be used.
        DataFolderFull: there is no room for the name.
    """
    lock: TextIO
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise _unusable(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(f"worker.data_folder {folder} belongs to another running worker") from None
        try:
            name = _name(folder)
        except OSError as error:
            raise _unusable(folder, error) from error
        yield name


def _name(folder: Path) -> str:
    """Whole or not at all: an empty name would be taken for no name, and each start would wait for the one before."""
    file = folder / "instance_id"
    name = file.read_text().strip() if file.exists() else ""
    if not name:
        name = f"worker-{uuid.uuid4().hex[:12]}"
        part = file.with_suffix(".part")
        part.write_text(name)
        part.replace(file)
    return name


def _unusable(folder: Path, error: OSError) -> ProcessingError | SettingsError:
    if error.errno in _FULL:
        return DataFolderFull(f"the worker cannot start: {error.strerror}; {room_wanted(folder)}", folder=str(folder))
    return SettingsError(f"worker.data_folder {folder} cannot be used: {error}", folder=str(folder))


def room_wanted(folder: Path) -> str:
    """What an operator is to do about a full disk."""
    return (
        f"the disk of worker.data_folder {folder} is full: make room or name a folder on a larger one, then start it "
        "again; nothing is lost"
    )


def with_cause(reason: str, folder: Path | None) -> str:
    """Why a worker ends, with what to do if its disk is the cause."""
    if folder is None or not any(text in reason for text in _FULL_TEXTS):
        return reason
    return f"{reason}; {room_wanted(folder)}"
