"""Contenders that are processes: started on an empty topic, warmed up, held still while the topic is filled, let go.

So the clock runs only while they work: not while they start, join their group, make tables or compile.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from benchmarks.log import produce_ready
from benchmarks.measure import NotVerified
from benchmarks.report import Run
from benchmarks.servers import REPO
from benchmarks.trades import Ready
from tradewire.core import Settings
from tradewire.operations.local_stack import environment_of
from tradewire.operations.stack import Child, start_child

_STOP_S: Final = 25
_WARM_UP_S: Final = 90
# A question costs the engine some 3 ms of processor: asked more often, the observer slows what it looks at.
_POLL_S: Final = 0.05


@contextmanager
def contender_process(
    name: str,
    command: Sequence[str],
    settings: Settings,
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """``python -m …`` (or a command with a program of its own) with our settings in its environment, until the end.

    Its output goes to ``<folder>/<name>.log``.
    """
    full = list(command) if os.sep in command[0] else [sys.executable, "-m", *command]
    child = start_child(
        full,
        name=name,
        log_file=folder / f"{name}.log",
        env={**environment_of(settings), "TRADEWIRE_LOG__LEVEL": "WARNING", **(env or {})},
        cwd=REPO,
    )
    try:
        yield child
    finally:
        child.signal(signal.SIGCONT)
        child.stop(_STOP_S)


def wait_until(child: Child, done: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Blocks until ``done``.

    Raises:
        NotVerified: the process has ended or the time is up; quotes its log.
    """
    deadline = time.monotonic() + timeout_s
    while not done():
        if child.poll() is not None:
            raise NotVerified(f"{child.name} ended with {child.poll()} before {what}:\n{child.log_tail()}")
        if time.monotonic() > deadline:
            raise NotVerified(f"{child.name}: not {what} within {timeout_s:.0f} s:\n{child.log_tail()}")
        time.sleep(_POLL_S)


def time_backlog(
    child: Child,
    settings: Settings,
    topic: str,
    records: Sequence[Ready],
    *,
    warm_up: int,
    done: Callable[[int], bool],
    timeout_s: float,
) -> Run:
    """The run in which a running process works through a backlog.

    It gets the first ``warm_up`` records and time to finish them, is stopped (SIGSTOP), the rest is produced, and the
    clock runs from SIGCONT until ``done(len(records))``. ``done`` is asked with the number of records produced so far.

    Raises:
        NotVerified: it does not finish in time, or ends.
    """
    produce_ready(settings, topic, records[:warm_up])
    wait_until(child, lambda: done(warm_up), "through its warm-up", _WARM_UP_S)
    child.signal(signal.SIGSTOP)
    produce_ready(settings, topic, records[warm_up:])
    cpu_s, began = _cpu_s(child), time.perf_counter()
    child.signal(signal.SIGCONT)
    wait_until(child, lambda: done(len(records)), "done", timeout_s)
    seconds = time.perf_counter() - began
    return Run(len(records) - warm_up, seconds, _cpu_s(child) - cpu_s)


def _cpu_s(child: Child) -> float:
    process = psutil.Process(child.pid)
    return sum(sum(found.cpu_times()[:2]) for found in (process, *process.children(recursive=True)))
