"""Starts the parts of the stack in order, starts them again when they die, and ends them in reverse order."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Self

import structlog

from tradewire.core.errors import StackError
from tradewire.operations.stack._errors import PartFailed, PartRefused
from tradewire.operations.stack._part import Part, PartStatus, Restarts, StackState, StackStatus, start_levels
from tradewire.operations.stack._process import Child, exit_meaning, part_failed, wait_until_ready
from tradewire.operations.stack._state import created_at, lock_data_folder, with_memory, write_status

_POLL_S = 0.1
_TICK_S = 0.5
_HUNG_STOP_S = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Slot:
    """The running side of a part. Its status is replaced under the supervisor's lock only."""

    part: Part
    status: PartStatus
    child: Child | None = None
    ever_ready: bool = False
    ready_since: float | None = None


class Supervisor:
    """Keeps parts running, with one thread per part.

    ``start`` returns at once; ``run`` is what a command calls: it blocks until Ctrl-C or a failure. A part that has
    never been ready and cannot start fails the stack (``error``); one that dies later is started again for ever, with
    growing delays. One that says by its exit code that another start will not help stays ``failed``, and fails the
    stack if that has not been ready yet. All state is in memory and in ``stack.json`` of the data folder, which other
    terminals read. The folder is locked from ``start`` to the end of ``stop``. An instance is used once.
    """

    def __init__(self, parts: Sequence[Part], *, data_folder: Path, restarts: Restarts | None = None) -> None:
        self._levels = start_levels(parts)
        self._slots = {part.name: _Slot(part, PartStatus(name=part.name, ports=part.ports)) for part in parts}
        self._data_folder = data_folder
        self._restarts = restarts or Restarts()
        self._changed = threading.Condition(threading.RLock())
        self._ending = threading.Event()
        self._killing = threading.Event()
        self._resources = contextlib.ExitStack()
        self._threads: list[threading.Thread] = []
        self._state: StackState = "starting"
        self._since = time.time()
        self._error: StackError | None = None
        self._signals_seen = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def error(self) -> StackError | None:
        """Why the stack failed, None as long as it has not."""
        return self._error

    def start(self) -> None:
        """Locks the data folder and lets the parts start; returns before any of them is ready.

        Raises:
            StackBusy: another stack uses the folder; nothing has been started.
            DiskFull, PartFailed: the folder cannot be used; nothing has been started.
        """
        self._resources.enter_context(lock_data_folder(self._data_folder))
        self._since = time.time()
        for slot in self._slots.values():
            self._set(slot, state="waiting")
            thread = threading.Thread(target=self._keep, args=(slot,), name=f"part-{slot.part.name}", daemon=True)
            self._threads.append(thread)
        for thread in self._threads:
            thread.start()

    def wait_ready(self, timeout_s: float) -> None:
        """Blocks until every part is ready or done. After an exception the parts still run: call ``stop``.

        Raises:
            StackError: a part failed; the same object as ``error``.
            PartFailed: not ready within ``timeout_s``; names the parts that are missing.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._state == "ready", timeout_s)
            if self._error:
                raise self._error
            if self._state != "ready":
                late = ", ".join(slot.part.name for slot in self._slots.values() if not _is_up(slot.status))
                raise PartFailed(f"not ready after {timeout_s:.0f} s: {late}; see their logs in {self._data_folder}")

    def status(self) -> StackStatus:
        """What is known now, with the resident memory of each live part."""
        with self._changed:
            status = self._status()
        return with_memory(status)

    def run(self, *, on_tick: Callable[[StackStatus], None] | None = None) -> None:
        """Starts everything, blocks until SIGINT, SIGTERM, SIGHUP or a failure, then stops everything.

        A second signal kills what has not ended yet. ``on_tick`` gets the status twice a second, also while stopping.
        Must be called in the main thread, for the signals; their former handlers are restored.

        Raises:
            StackError: why the stack could not start; everything has been stopped by then.
        """
        with self._handling_signals():
            self.start()
            tick = on_tick or (lambda _: None)
            try:
                self._tick_until(lambda: self._signals_seen > 0 or self._error is not None, tick)
            finally:
                stopper = threading.Thread(target=self.stop, name="stopper")
                stopper.start()
                self._tick_until(lambda: not stopper.is_alive(), tick)
                stopper.join()
        if self._error:
            raise self._error

    def stop(self) -> None:
        """Stops the parts in reverse order and returns when all are gone: SIGTERM, after its own timeout SIGKILL.

        Does nothing if nothing was started or all is stopped. ``kill`` from another thread cuts it short.
        """
        if not self._threads:
            self._resources.close()
            return
        with self._changed:
            self._ending.set()
            self._refresh()
        for thread in self._threads:
            thread.join()
        for level in reversed(self._levels):
            self._stop_level([self._slots[name] for name in level])
        self._threads.clear()
        with self._changed:
            self._refresh()
        self._resources.close()

    def kill(self) -> None:
        """Lets ``stop``, which must be called too, kill everything without waiting for an orderly end."""
        self._killing.set()
        self._ending.set()

    def _stop_level(self, slots: Sequence[_Slot]) -> None:
        running = [(slot, child) for slot in slots if (child := slot.child) is not None]
        for slot, child in running:
            self._set(slot, state="stopping")
            child.signal(signal.SIGKILL if self._killing.is_set() else signal.SIGTERM)
        began = time.monotonic()
        for slot, child in running:
            while (code := child.poll()) is None:
                if self._killing.is_set() or time.monotonic() - began > slot.part.stop_timeout_s:
                    code = child.kill()
                    break
                time.sleep(0.02)
            slot.part.ended(code)
            slot.child = None
        for slot in slots:
            if slot.status.state not in ("done", "failed"):
                self._set(slot, state="stopped", pid=None, created=None, note="")

    def _keep(self, slot: _Slot) -> None:
        """A part's thread: one run after the other until the end, or until there is no point in another."""
        if not self._dependencies_up(slot.part):
            return
        failures = 0
        while not self._ending.is_set():
            refused, error = self._run_once(slot)
            if error is None:
                return
            if isinstance(error, PartRefused):
                self._fail(slot, error, alone=self._state in ("ready", "degraded"))
                return
            now = time.monotonic()
            stable = slot.ready_since is not None and now - slot.ready_since > self._restarts.stable_s
            failures = 1 if stable else failures + 1
            slot.ready_since = None
            if not slot.ever_ready and (refused or failures >= self._restarts.first_tries_max):
                self._fail(slot, error)
                return
            delay_s = self._restarts.delay_s(failures)
            what = _summary(error)
            _log.warning(
                "A part of the stack ended, it is started again.",
                part=slot.part.name,
                error=what,
                delay_s=round(delay_s, 1),
            )
            self._set(
                slot,
                state="backoff",
                pid=None,
                created=None,
                restarts=slot.status.restarts + 1,
                note=f"{what}; next start in {delay_s:.1f} s",
            )
            self._ending.wait(delay_s)

    def _run_once(self, slot: _Slot) -> tuple[bool, StackError | None]:
        """Starts the part and watches it to its end: whether it refused to start, and the error.

        No error: it is done, or the whole stack is ending and ``stop`` takes over the child.
        """
        part = slot.part
        self._set(slot, state="starting", note="")
        try:
            child = part.start()
        except StackError as error:
            return True, error
        except OSError as error:
            return True, PartFailed(f"{part.name} cannot start: {error}", part=part.name)
        slot.child = child
        self._set(slot, pid=child.pid, created=created_at(child.pid), log_file=str(child.log_file))
        failure: StackError | None = None
        try:
            if part.one_shot:
                self._watch_one_shot(slot, child)
            elif wait_until_ready(child, part.pending, timeout_s=part.ready_timeout_s, cancelled=self._ending.is_set):
                self._watch_service(slot, child)
        except PartFailed as error:
            failure = error
        if not self._ending.is_set():
            # One that hangs may still hear the polite word, and finish what it has begun.
            code = child.stop(min(_HUNG_STOP_S, part.stop_timeout_s))
            part.ended(code)
            slot.child = None
            if failure is not None and code == part.refused_code:
                failure = PartRefused(failure.message, **failure.context)
        return False, failure

    def _watch_service(self, slot: _Slot, child: Child) -> None:
        slot.ever_ready = True
        slot.ready_since = time.monotonic()
        self._set(slot, state="ready", note="")
        part = slot.part
        good_at = checked_at = time.monotonic()
        while not self._ending.wait(_POLL_S):
            code = child.poll()
            if code is not None:
                raise part_failed(child, exit_meaning(code))
            if time.monotonic() - checked_at < part.check_every_s:
                continue
            missing = part.pending()
            checked_at = time.monotonic()
            if missing is None:
                good_at = checked_at
                if slot.status.state != "ready":
                    self._set(slot, state="ready", note="")
            elif part.hang_timeout_s is not None and checked_at - good_at > part.hang_timeout_s:
                raise part_failed(child, f"has hung for {checked_at - good_at:.0f} s: {missing}")
            else:
                self._set(slot, state="unresponsive", note=missing)

    def _watch_one_shot(self, slot: _Slot, child: Child) -> None:
        deadline = time.monotonic() + slot.part.ready_timeout_s
        while not self._ending.wait(_POLL_S):
            code = child.poll()
            if code == 0:
                self._set(slot, state="done", pid=None, created=None, note="")
                return
            if code is not None:
                raise part_failed(child, exit_meaning(code))
            if time.monotonic() > deadline:
                raise part_failed(child, f"is not done after {slot.part.ready_timeout_s:.0f} s")

    def _dependencies_up(self, part: Part) -> bool:
        with self._changed:
            while not self._ending.is_set():
                missing = [name for name in part.depends_on if not self._has_been_up(name)]
                if not missing:
                    return True
                self._changed.wait(_POLL_S)
        return False

    def _has_been_up(self, name: str) -> bool:
        slot = self._slots[name]
        return slot.ever_ready or slot.status.state == "done"

    def _fail(self, slot: _Slot, error: StackError, *, alone: bool = False) -> None:
        """Gives the part up, and the stack with it unless the part fails ``alone``."""
        _log.error("A part of the stack cannot start.", part=slot.part.name, error=error.message)
        with self._changed:
            if self._error is None and not alone:
                self._error = error
            self._set(slot, state="failed", pid=None, created=None, note=_summary(error))

    def _set(self, slot: _Slot, **changes: Any) -> None:
        with self._changed:
            if changes.get("state", slot.status.state) != slot.status.state or not slot.status.since:
                changes["since"] = time.time()
            slot.status = replace(slot.status, **changes)
            self._refresh()

    def _refresh(self) -> None:
        """Derives the stack's state from the parts' and tells everybody; the lock is held."""
        statuses = [slot.status for slot in self._slots.values()]
        all_ended = all(status.state in ("stopped", "done", "failed") for status in statuses)
        if self._ending.is_set():
            ended: StackState = "failed" if self._error else "stopped"
            self._state = ended if all_ended else "stopping"
        elif self._error:
            self._state = "failed"
        elif all(_is_up(status) for status in statuses):
            self._state = "ready"
        elif self._state == "ready":
            self._state = "degraded"
        try:
            write_status(self._data_folder, self._status())
        except OSError as error:  # a full disk must not end the supervisor of parts that may still work
            _log.error(
                "The state file of the stack cannot be written.", folder=str(self._data_folder), error=str(error)
            )
        self._changed.notify_all()

    def _status(self) -> StackStatus:
        return StackStatus(
            state=self._state,
            supervisor_pid=os.getpid(),
            supervisor_created=created_at(os.getpid()) or 0.0,
            data_folder=str(self._data_folder),
            since=self._since,
            parts=tuple(slot.status for slot in self._slots.values()),
            error=self._error.message if self._error else None,
        )

    def _tick_until(self, over: Callable[[], bool], tick: Callable[[StackStatus], None]) -> None:
        next_tick = 0.0
        while not over():
            if self._signals_seen > 1:
                self.kill()
            if time.monotonic() >= next_tick:
                tick(self.status())
                next_tick = time.monotonic() + _TICK_S
            time.sleep(0.05)
        tick(self.status())

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        def count(_number: int, _frame: FrameType | None) -> None:
            # Nothing but this: the handler may interrupt the main thread while it holds any lock.
            self._signals_seen += 1

        former = {number: signal.signal(number, count) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def _summary(error: StackError) -> str:
    """One line for the table: an error of a child ends in a quotation of its log, of which the last line is enough."""
    return str(error.context.get("summary") or error.message.splitlines()[0])


def _is_up(status: PartStatus) -> bool:
    return status.state in ("ready", "done")
