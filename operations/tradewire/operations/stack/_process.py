"""Child processes that cannot outlive us, write to a log file, and are stopped politely before they are killed."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from tradewire.operations.stack import _leash
from tradewire.operations.stack._errors import PartFailed

_LOG_BYTES_MAX = 16 * 1024 * 1024
_TAIL_BYTES = 16 * 1024
# What a log says and what it means; the first match is quoted as the likely cause.
_CAUSES = (
    ("No space left on device", "the disk is full: free some room"),
    ("Address already in use", "a port is taken: end its holder or set another port"),
    ("OutOfMemoryError", "the heap is too small: raise the part's heap setting"),
    ("Failed to acquire lock on file", "another broker uses this data folder: end it"),
    ("InconsistentClusterIdException", "the data folder belongs to another cluster: use another folder or reset it"),
    ("Database may be already in use", "another registry uses this data folder: end it"),
    ("ModuleNotFoundError", "a Python package is missing: install tradewire[local]"),
    ("Permission denied", "the data folder or a file in it belongs to another user"),
)


class Child:
    """A started process. ``terminate`` and ``kill`` reach its whole process group. Safe to use from several threads."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, logs: Mapping[Path, int]) -> None:
        self.name = name
        self.log_file = next(iter(logs))
        self._process = process
        self._logs = logs

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Blocks until it ends, at most ``timeout_s``; the exit code, or None if it still runs."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: signal.Signals) -> None:
        """Sends the signal to the process group; does nothing once the child has been reaped."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def stop(self, timeout_s: float) -> int:
        """SIGTERM, then SIGKILL after ``timeout_s``; returns the exit code of a process that is gone."""
        self.signal(signal.SIGTERM)
        code = self.wait(timeout_s)
        return self.kill() if code is None else code

    def kill(self) -> int:
        """SIGKILL, as a crash would; returns when it is gone."""
        self.signal(signal.SIGKILL)
        return self._process.wait()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of this run: those of its own log file, if it keeps one, and those of stdout and stderr."""
        tails = (tail(file, lines=lines, start=start) for file, start in self._logs.items())
        return "\n".join(text for text in tails if text)


def start_child(
    command: Sequence[str],
    *,
    name: str,
    log_file: Path,
    own_log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Starts the command with stdout and stderr appended to ``log_file``, in a session of its own.

    ``own_log`` is where the program itself writes its log, if it does: ``Child.log_file`` and ``log_tail`` start there.

    It gets no Ctrl-C of our terminal (the supervisor decides who stops when), and on Linux it dies with SIGKILL when
    this process dies, however that happens. ``env`` is added to our environment. A log beyond 16 MiB is set aside as
    ``<log_file>.1`` first.

    Raises:
        PartFailed: the program does not exist.
        OSError: the log file or the working folder cannot be used.
    """
    program = shutil.which(command[0])
    if program is None:
        raise PartFailed(f"{name} cannot start: there is no program {command[0]}", part=name)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > _LOG_BYTES_MAX:
        log_file.replace(log_file.with_name(log_file.name + ".1"))
    logs = {file: file.stat().st_size if file.exists() else 0 for file in (own_log, log_file) if file is not None}
    leash = [sys.executable, "-I", "-S", _leash.__file__, str(os.getpid())]

    def fork() -> Child:
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                [*leash, program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
            return Child(process, name, logs)

    return _forker.run(fork)


class _Forker:
    """Forks every child in one thread that never ends.

    The kernel sends the parent-death signal when the *thread* that forked ends: a child started in a worker thread
    would be killed as soon as that thread is done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Child], Future[Child]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def run(self, fork: Callable[[], Child]) -> Child:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # also in a forked copy of this process
                self._jobs = queue.SimpleQueue()
                self._thread = threading.Thread(target=self._loop, args=(self._jobs,), name="forker", daemon=True)
                self._thread.start()
            result: Future[Child] = Future()
            self._jobs.put((fork, result))
        return result.result()

    @staticmethod
    def _loop(jobs: queue.SimpleQueue[tuple[Callable[[], Child], Future[Child]]]) -> None:
        while True:
            fork, result = jobs.get()
            try:
                result.set_result(fork())
            except BaseException as error:
                result.set_exception(error)


_forker = _Forker()


def tail(file: Path, *, lines: int, start: int = 0) -> str:
    """The last ``lines`` lines of a file after byte ``start``, reading 16 KiB at most; empty if it cannot be read."""
    try:
        with file.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(start if start <= end else 0, end - _TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def likely_cause(log: str) -> str | None:
    """What a known line of the log means and how to fix it, None if no line is known."""
    return next((cause for sign, cause in _CAUSES if sign in log), None)


def exit_meaning(code: int) -> str:
    """``ended with exit code 3`` or ``was killed by SIGKILL``."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def part_failed(child: Child, what: str) -> PartFailed:
    """The error for a child that ended or never became ready, with its likely cause and the tail of its log."""
    log = child.log_tail()
    cause = likely_cause(log)
    hint = f" Likely cause: {cause}." if cause else ""
    last_line = log.splitlines()[-1] if log else "it logged nothing"
    quoted = "\n".join(f"  | {line}" for line in log.splitlines()) or "  | (empty)"
    return PartFailed(
        f"{child.name} {what}.{hint} End of {child.log_file}:\n{quoted}",
        part=child.name,
        log_file=str(child.log_file),
        summary=f"{what}; {cause or last_line[:200]}",
    )


def wait_until_ready(
    child: Child,
    pending: Callable[[], str | None],
    *,
    timeout_s: float,
    cancelled: Callable[[], bool] = lambda: False,
) -> bool:
    """Blocks until ``pending`` returns None; False if ``cancelled`` said so first.

    Raises:
        PartFailed: the child ended, or ``pending`` still named something after ``timeout_s``; quotes the log.
    """
    deadline = time.monotonic() + timeout_s
    missing: str | None = "nothing was checked"
    while not cancelled():
        code = child.poll()
        if code is not None:
            raise part_failed(child, f"{exit_meaning(code)} before it was ready")
        missing = pending()
        if missing is None:
            return True
        if time.monotonic() > deadline:
            raise part_failed(child, f"is not ready after {timeout_s:.0f} s: {missing}")
        time.sleep(0.03)
    return False
