"""Parts of the stack and what is known about them: frozen values, and the arithmetic of restarts."""

from __future__ import annotations

import graphlib
import random
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Literal

from tradewire.core.errors import StackError
from tradewire.operations.stack._ports import port_answers
from tradewire.operations.stack._process import Child, start_child

# `unresponsive`: it runs and was ready, but `pending` names something again.
PartState = Literal["waiting", "starting", "ready", "unresponsive", "done", "backoff", "stopping", "stopped", "failed"]
# `degraded`: all parts were ready once, now one of them is not.
StackState = Literal["starting", "ready", "degraded", "stopping", "stopped", "failed"]

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _nothing_pending() -> str | None:
    return None


def _ignore(_exit_code: int) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One supervised process.

    ``start`` returns a new child each time it is called, ``pending`` says what is missing until the part is ready (it
    may block a few seconds, and must not raise), ``ended`` is told the exit code of every child. A ``one_shot`` part
    is done when it ends with 0. The names in ``depends_on`` must be ready or done before the first start; a part does
    not follow the restarts of those it depends on. A part that ends with ``refused_code`` is not started again.

    Every ``check_every_s`` a ready part is asked for ``pending`` again: the answer shows in its status, and after
    ``hang_timeout_s`` without a good one (None: never) its process is killed and started again.
    """

    name: str
    start: Callable[[], Child]
    pending: Callable[[], str | None] = _nothing_pending
    ended: Callable[[int], None] = _ignore
    depends_on: tuple[str, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    one_shot: bool = False
    refused_code: int | None = None
    ready_timeout_s: float = 60.0
    stop_timeout_s: float = 20.0
    check_every_s: float = 5.0
    hang_timeout_s: float | None = None


def command_part(
    name: str,
    command: Sequence[str],
    *,
    log_file: Path,
    pending: Callable[[], str | None] = _nothing_pending,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    depends_on: Sequence[str] = (),
    ports: Mapping[str, int] | None = None,
    one_shot: bool = False,
    refused_code: int | None = None,
    ready_timeout_s: float = 60.0,
    stop_timeout_s: float = 20.0,
    check_every_s: float = 5.0,
    hang_timeout_s: float | None = None,
) -> Part:
    """A part that is one command, stdout and stderr appended to ``log_file``; Python children write unbuffered."""
    full_env = {"PYTHONUNBUFFERED": "1", **(env or {})}
    return Part(
        name=name,
        start=lambda: start_child(command, name=name, log_file=log_file, env=full_env, cwd=cwd),
        pending=pending,
        depends_on=tuple(depends_on),
        ports=dict(ports or {}),
        one_shot=one_shot,
        refused_code=refused_code,
        ready_timeout_s=ready_timeout_s,
        stop_timeout_s=stop_timeout_s,
        check_every_s=check_every_s,
        hang_timeout_s=hang_timeout_s,
    )


def pending_http(url: str, *, timeout_s: float = 2.0) -> Callable[[], str | None]:
    """A ``pending`` that is satisfied by any answer below 400 to GET."""

    def pending() -> str | None:
        try:
            with _opener.open(url, timeout=timeout_s):
                return None
        except (OSError, HTTPException) as error:
            return f"no good answer from {url}: {error}"

    return pending


def pending_port(host: str, port: int) -> Callable[[], str | None]:
    """A ``pending`` that is satisfied when something accepts connections there."""
    return lambda: None if port_answers(host, port) else f"nothing listens on {host}:{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """What is known about a part. ``since`` is the Unix time in seconds at which ``state`` began.

    ``created`` is the kernel's start time of ``pid``: both together name a process for good, ``pid`` alone may be
    given to another one. ``rss_bytes`` is filled by whoever displays the status.
    """

    name: str
    state: PartState = "waiting"
    pid: int | None = None
    created: float | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    restarts: int = 0
    since: float = 0.0
    note: str = ""
    log_file: str | None = None
    rss_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    """What is known about the whole stack; ``error`` says why it failed."""

    state: StackState
    supervisor_pid: int
    supervisor_created: float
    data_folder: str
    since: float
    parts: tuple[PartStatus, ...]
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """When a part that died is started again.

    After the n-th failure in a row the delay is ``delay_s_min * 2**(n-1)``, at most ``delay_s_max``, times a random
    factor of 1 ± ``jitter``. A part that was ready for ``stable_s`` starts counting anew. ``first_tries_max`` bounds
    the starts of a part that has never been ready: after them the stack gives up, so that a mistake in the
    configuration is an error message and not a loop.
    """

    delay_s_min: float = 0.5
    delay_s_max: float = 30.0
    jitter: float = 0.2
    stable_s: float = 30.0
    first_tries_max: int = 3

    def delay_s(self, failures: int) -> float:
        """The delay after that many failures in a row (at least one), drawn anew on each call."""
        exponent = min(max(failures, 1) - 1, 32)
        return min(self.delay_s_min * 2.0**exponent, self.delay_s_max) * random.uniform(
            1 - self.jitter, 1 + self.jitter
        )


def start_levels(parts: Sequence[Part]) -> tuple[tuple[str, ...], ...]:
    """The names in levels: each part comes after all that it depends on; stopping goes backwards.

    Raises:
        StackError: two parts have one name, a dependency does not exist, or they depend on each other in a circle.
    """
    names = [part.name for part in parts]
    if len(set(names)) != len(names):
        raise StackError(f"two parts of the stack have the same name: {', '.join(names)}")
    for part in parts:
        if unknown := set(part.depends_on) - set(names):
            raise StackError(f"part {part.name} depends on {', '.join(sorted(unknown))}, which is not in the stack")
    sorter = graphlib.TopologicalSorter({part.name: part.depends_on for part in parts})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise StackError(f"parts depend on each other in a circle: {' -> '.join(error.args[1])}") from error
    levels: list[tuple[str, ...]] = []
    while sorter.is_active():
        level = sorter.get_ready()
        levels.append(tuple(name for name in names if name in level))
        sorter.done(*level)
    return tuple(levels)
