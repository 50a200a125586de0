"""What is done about a worker that hangs: whom a verdict ends, and how it is started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from tradewire.core.errors import StackError
from tradewire.core.logs import get_logger
from tradewire.operations.stack import Restarts, created_at
from tradewire.processors.group_watch import GroupWatch
from tradewire.processors.liveness import read_membership
from tradewire.processors.watchdog import Standing

_log = get_logger(__name__)
_POLL_S: Final = 0.1


class Watched(Protocol):
    """A process that may hang."""

    def keep(self) -> None:
        """Called again and again: starts it if that is the watchdog's business and it does not run."""

    def end(self, stop_ms: int) -> None:
        """Returns when it is gone: SIGTERM, after ``stop_ms`` SIGKILL."""

    def leave(self, stop_ms: int) -> None:
        """The watchdog itself ends."""


class RunningCommand:
    """A command that the watchdog runs itself, in our terminal; started again after a growing delay.

    Raises:
        StackError: on ``keep``, the command does not exist.
    """

    def __init__(self, command: Sequence[str], restarts: Restarts | None = None) -> None:
        self._command = list(command)
        self._restarts = restarts or Restarts()
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at = 0.0
        self._failures = 0

    def keep(self) -> None:
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process = None
            self._failures = 1 if now - self._started_at > self._restarts.stable_s else self._failures + 1
            delay_s = self._restarts.delay_s(self._failures)
            self._start_at = now + delay_s
            _log.warning("the command has ended, it is started again", exit_code=code, delay_s=round(delay_s, 1))
        if now >= self._start_at:
            try:
                self._process = subprocess.Popen(self._command)
            except OSError as error:
                raise StackError(f"{self._command[0]} cannot be started: {error}") from error
            self._started_at = now

    def end(self, stop_ms: int) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(stop_ms / 1000)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def leave(self, stop_ms: int) -> None:
        self.end(stop_ms)


class ToldProcess:
    """A process that somebody else supervises; ``told`` names it when it is to be ended, None if there is none."""

    def __init__(self, told: Callable[[], int | None]) -> None:
        self._told = told

    @classmethod
    def of_pid_file(cls, file: Path) -> ToldProcess:
        """The process that a file names. One that began after the file was written is another one."""

        def told() -> int | None:
            try:
                pid, written_at = int(file.read_text()), file.stat().st_mtime
            except (FileNotFoundError, ValueError):
                return None
            created = created_at(pid)
            return pid if created is not None and created <= written_at + 1 else None

        return cls(told)

    @classmethod
    def of_worker(cls, folder: Path) -> ToldProcess:
        """The worker of a data folder."""

        def told() -> int | None:
            member = read_membership(folder)
            return None if member is None or created_at(member.pid) is None else member.pid

        return cls(told)

    def keep(self) -> None:
        pass

    def end(self, stop_ms: int) -> None:
        pid = self._told()
        if pid is None:
            _log.warning("nobody to end: the process is gone, or not named")
            return
        created = created_at(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + stop_ms / 1000
            while created_at(pid) == created:
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                    return
                time.sleep(_POLL_S)

    def leave(self, stop_ms: int) -> None:
        pass


def watch_forever(
    watch: GroupWatch, watched: Watched | None, stopping: threading.Event, *, every_ms: int, stop_ms: int
) -> bool:
    """Looks until ``stopping`` is set, and ends what hangs. Without anybody to end: False at the first hang.

    Raises:
        StackError: the command that is to be run does not exist.
    """
    look_at = 0.0
    try:
        while not stopping.wait(_POLL_S):
            if watched is not None:
                watched.keep()
            if time.monotonic() < look_at:
                continue
            look_at = time.monotonic() + every_ms / 1000
            standing = watch.look()
            if standing is None:
                continue
            watch.restarted(standing)
            if watched is None:
                return False
            watched.end(stop_ms)
    finally:
        if watched is not None:
            watched.leave(stop_ms)
    return True


class WatchedPart:
    """A worker as a part of the stack: it is not well when it is not ``ready``, or when its commits stand."""

    def __init__(self, watch: GroupWatch, ready: Callable[[], str | None]) -> None:
        self._watch = watch
        self._ready = ready
        self._standing: Standing | None = None

    def pending(self) -> str | None:
        """What is missing; see ``Part``."""
        missing = self._ready()
        if missing is not None:
            return missing
        self._standing = self._watch.look()
        return None if self._standing is None else str(self._standing)

    def ended(self, _exit_code: int) -> None:
        """Notes whether the worker was ended for its hanging; then time begins anew."""
        if self._standing is not None:
            self._watch.restarted(self._standing)
            self._standing = None
