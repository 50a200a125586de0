"""The data folder's lock and state file: how other terminals see the stack, and how they end it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import psutil

from tradewire.operations.stack._errors import DiskFull, PartFailed, StackBusy
from tradewire.operations.stack._part import PartStatus, StackStatus

_LOCK = "stack.lock"
_STATE = "stack.json"
_CLOCK_SLACK_S = 1.0
_LOCK_PATIENCE_S = 0.3
# How long a supervisor that was told to kill its parts may take until it is killed itself.
_LAST_WORD_S = 15.0


@contextlib.contextmanager
def lock_data_folder(data_folder: Path) -> Iterator[None]:
    """Holds the folder for this process; the kernel lets go of it however the process ends.

    Raises:
        StackBusy: another live process holds it; names its process id.
        DiskFull, PartFailed: the folder cannot be made or written.
    """
    try:
        data_folder.mkdir(parents=True, exist_ok=True)
        handle = (data_folder / _LOCK).open("a+", encoding="ascii")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{data_folder} is full: free some room, then start again") from error
        raise PartFailed(f"the data folder {data_folder} cannot be used: {error}") from error
    with handle:
        _take_lock(handle, data_folder)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _take_lock(handle: TextIO, data_folder: Path) -> None:
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # Somebody who only looks whether the stack is running holds the lock for a moment.
            if time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise StackBusy(
                f"a stack with process id {holder} already uses {data_folder}: end it with `tradewire down`, or set "
                "local.data_folder to another folder",
                pid=holder,
            ) from None


def is_running(data_folder: Path) -> bool:
    """Whether a live process holds the folder; what the state file says does not matter."""
    try:
        with (data_folder / _LOCK).open("r", encoding="ascii") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    except FileNotFoundError:
        pass
    return False


def write_status(data_folder: Path, status: StackStatus) -> None:
    """Replaces the state file at once: a reader sees the former or the new status, never a part of one."""
    file = data_folder / _STATE
    draft = file.with_name(f"{_STATE}.{os.getpid()}")
    draft.write_text(json.dumps(dataclasses.asdict(status), indent=1), encoding="utf-8")
    draft.replace(file)


def read_status(data_folder: Path) -> StackStatus | None:
    """The last status written for this folder, with the memory of the live parts filled in; None if there is none.

    A status that was left by a supervisor that died is corrected: stack and parts are then ``stopped``, and a
    part whose process is still alive says so in its note.
    """
    status = _stored_status(data_folder)
    if status is None:
        return None
    if is_running(data_folder):
        return with_memory(status)
    if status.state in ("stopped", "failed"):
        return status
    return dataclasses.replace(
        status, state="stopped", error="the supervisor died", parts=tuple(_after_death(part) for part in status.parts)
    )


def with_memory(status: StackStatus) -> StackStatus:
    """The same status with the resident bytes of each live process."""
    parts = tuple(dataclasses.replace(part, rss_bytes=_resident_bytes(part.pid)) for part in status.parts)
    return dataclasses.replace(status, parts=parts)


def created_at(pid: int) -> float | None:
    """The kernel's start time of the process, None if it is gone."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def stop_running(data_folder: Path, *, timeout_s: float = 60.0, kill: bool = False) -> bool:
    """Ends the stack of this folder from another process; False if none was running.

    Sends SIGTERM to its supervisor (with ``kill``, twice: parts are then killed, not stopped) and waits until the lock
    is free. After ``timeout_s`` the supervisor is killed, and its parts with it. Processes that a dead supervisor
    left behind are killed, if they are still the ones it started.

    Raises:
        StackBusy: the stack is still there ``timeout_s`` after the last signal.
    """
    status = _stored_status(data_folder)
    if not is_running(data_folder):
        left_over = _kill_parts(status)
        return left_over > 0
    pid = int((data_folder / _LOCK).read_text(encoding="ascii") or 0)
    for number, patience_s in (
        (signal.SIGTERM, 0.2 if kill else timeout_s),
        (signal.SIGTERM, _LAST_WORD_S),
        (signal.SIGKILL, 5.0),
    ):
        with contextlib.suppress(ProcessLookupError):
            if pid > 0:
                os.kill(pid, number)
        if _wait_until_free(data_folder, patience_s):
            _kill_parts(status)
            return True
    raise StackBusy(f"the stack with process id {pid} in {data_folder} does not end: kill it by hand", pid=pid)


def reset_data_folder(data_folder: Path) -> None:
    """Deletes everything in a folder that a stack has used; does nothing if the folder does not exist or is empty.

    Raises:
        StackBusy: a stack is running on it. Nothing has been deleted.
        PartFailed: no stack has ever used the folder, so its content is not ours to delete.
    """
    if not data_folder.exists() or not any(data_folder.iterdir()):
        return
    if not (data_folder / _LOCK).exists():
        raise PartFailed(f"{data_folder} is not a data folder of the stack ({_LOCK} is missing): nothing was deleted")
    with lock_data_folder(data_folder):
        for entry in data_folder.iterdir():
            if entry.name == _LOCK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _wait_until_free(data_folder: Path, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while is_running(data_folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _stored_status(data_folder: Path) -> StackStatus | None:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        raw: dict[str, Any] = json.loads((data_folder / _STATE).read_text(encoding="utf-8"))
        return StackStatus(**raw | {"parts": tuple(PartStatus(**part) for part in raw["parts"])})
    return None


def _kill_parts(status: StackStatus | None) -> int:
    alive = [part for part in status.parts if _is_alive(part)] if status else []
    for part in alive:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            assert part.pid is not None
            os.killpg(part.pid, signal.SIGKILL)
    return len(alive)


def _is_alive(part: PartStatus) -> bool:
    if part.pid is None or part.created is None:
        return False
    try:
        process = psutil.Process(part.pid)
        # A zombie runs nothing: it only waits for its new parent to ask for its exit code.
        same = abs(process.create_time() - part.created) < _CLOCK_SLACK_S
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _after_death(part: PartStatus) -> PartStatus:
    if _is_alive(part):
        return dataclasses.replace(part, state="stopped", note=f"left behind, still alive as pid {part.pid}")
    return dataclasses.replace(part, state="done" if part.state == "done" else "stopped", pid=None, note="")


def _resident_bytes(pid: int | None) -> int | None:
    if pid is None:
        return None
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
