"""The hands of a subscriber: threads that take work by unit, and the event loop on which async handlers run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Any, Final, Generic, TypeVar

from tradewire.core.logs import get_logger
from tradewire.processors.handling import HandlerCancelled
from tradewire.processors.key_queues import KeyQueues

_log = get_logger(__name__)
_JOIN_S: Final = 2.0
_HELP_AFTER_S: Final = 0.001
_STANDS_S: Final = 0.01

Unit = TypeVar("Unit", bound=Hashable)
Item = TypeVar("Item")


class HandlerLoop:
    """Runs awaitables on one event loop, the service's or one of its own; callers wait for the end."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._own: threading.Thread | None = None
        self._lock = threading.Lock()
        self._pending: set[concurrent.futures.Future[Any]] = set()

    def run(self, awaitable: Awaitable[Any]) -> None:
        """Returns when it has ended; raises what it raised. It sees the context variables of the caller (PEP 567).

        Raises:
            HandlerCancelled: it was cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(_awaited(awaitable), self._running_loop())
        self._pending.add(future)
        try:
            future.result()
        except concurrent.futures.CancelledError as error:
            raise HandlerCancelled("the handler was cancelled") from error
        finally:
            self._pending.discard(future)

    def cancel(self) -> None:
        """Cancels what runs: nobody waits for it any longer."""
        for future in list(self._pending):
            future.cancel()

    def close(self) -> None:
        """Ends a loop of its own."""
        self.cancel()
        with self._lock:
            if self._own is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._own.join(_JOIN_S)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._own = threading.Thread(target=self._loop.run_forever, name="tradewire-handlers-loop", daemon=True)
                self._own.start()
            return self._loop


async def _awaited(awaitable: Awaitable[Any]) -> None:
    await awaitable


class Lanes(Generic[Unit, Item]):
    """``count`` threads that work on items, of one unit never two at a time and in order.

    ``work`` is called with an item and returns None when it is done with, or after how many seconds it wants the same
    item again. What it raises ends all lanes and is kept in ``failure``; its item is not done with.
    """

    def __init__(self, count: int, work: Callable[[Item], float | None], name: str) -> None:
        self._work = work
        self._queues: KeyQueues[Unit, Item] = KeyQueues()
        lock = threading.RLock()
        # Lanes help each other only where a call waits for something: over the others four threads fight for the
        # interpreter. While there is more to do, one idle lane watches.
        self._changed = threading.Condition(lock)
        self._is_watched = False
        # How many items were begun, and at which number of them, since when, a lane has found them standing.
        self._begun = 0
        self._stands = (-1, 0.0)
        # For who waits for the end of what runs.
        self._ended = threading.Condition(lock)
        # With since when.
        self._running: dict[Unit, tuple[Item, float]] = {}
        self._is_closed = False
        # Items done with, for the thread that commits.
        self.finished: deque[Item] = deque()
        self.failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._work_forever, name=f"tradewire-{name}-{number}", daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def add(self, work: Iterable[tuple[Unit, Item]]) -> None:
        """Puts items behind what their units have."""
        with self._changed:
            for unit, item in work:
                self._queues.add(unit, item)
            if not self._is_watched:
                self._changed.notify()

    def drop(self, chosen: Callable[[Unit], bool]) -> None:
        """Forgets what is queued or waits, of the chosen units; what runs goes on."""
        with self._changed:
            self._queues.drop(chosen)

    def finish(
        self,
        chosen: Callable[[Unit], bool],
        bound: Callable[[Iterable[Item]], Callable[[Item], bool]],
        timeout_s: float,
    ) -> bool:
        """Lets the chosen units come to rest and forgets what they have left; False if the time did not suffice.

        What runs may end. Of what is queued only the items go on that ``bound`` keeps: it is told which run or have
        just ended. A retry is not waited for.
        """

        def rests() -> bool:
            if self._is_closed:
                return not any(chosen(unit) for unit in self._running)
            return not self._queues.is_busy(chosen)

        with self._changed:
            begun = [item for unit, (item, _) in self._running.items() if chosen(unit)]
            self._queues.trim(chosen, bound([*begun, *self.finished]))
            in_time = self._ended.wait_for(rests, timeout_s)
            self._queues.drop(chosen)
            return in_time

    def close(self) -> None:
        """No item begins any more. Threads whose handler does not return are left behind; they are daemons."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            self._ended.notify_all()

    def join(self, timeout_s: float) -> None:
        """Waits for the threads, all together at most that long."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def longest_s(self) -> float:
        """For how long the oldest of what runs has been running."""
        with self._changed:
            return time.monotonic() - min(since for _, since in self._running.values()) if self._running else 0.0

    def __len__(self) -> int:
        return len(self._queues)

    def _work_forever(self) -> None:
        ended: tuple[Unit, Item, float | None] | None = None
        while True:
            with self._changed:
                if ended is not None:
                    self._put_back(*ended)
                taken = self._next(comes_from_work=ended is not None)
            if taken is None:
                return
            unit, item = taken
            try:
                ended = unit, item, self._work(item)
            except BaseException as error:
                with self._changed:
                    self.failure = self.failure or error
                    self._is_closed = True
                    self._running.pop(unit, None)
                    self._changed.notify_all()
                    self._ended.notify_all()
                return

    def _next(self, *, comes_from_work: bool) -> tuple[Unit, Item] | None:
        may_begin = comes_from_work
        while not self._is_closed:
            now = time.monotonic()
            taken = self._queues.take(now) if may_begin or not self._running else None
            if taken is not None:
                self._begun += 1
                self._running[taken[0]] = (taken[1], now)
                if self._queues.has_ready:
                    if not self._is_watched:
                        self._changed.notify()
                elif self._queues.next_due() is not None:
                    self._changed.notify()
                return taken
            may_begin = self._wait(now)
        return None

    def _wait(self, now: float) -> bool:
        """Whether help is wanted: nothing was begun, and a call waits for something else than the interpreter.

        Where that is busy, a lane that watches is itself late. After _STANDS_S it begins all the same.
        """
        due = self._queues.next_due()
        if not self._queues.has_ready or self._is_watched:
            self._changed.wait(None if due is None else max(0.001, due - now))
            return due is not None and time.monotonic() >= due
        begun = self._begun
        if begun != self._stands[0]:
            self._stands = begun, now
        self._is_watched = True
        self._changed.wait(_HELP_AFTER_S)
        self._is_watched = False
        woke = time.monotonic()
        return begun == self._begun and (woke - now < 2 * _HELP_AFTER_S or woke - self._stands[1] >= _STANDS_S)

    def _put_back(self, unit: Unit, item: Item, delay_s: float | None) -> None:
        if delay_s is None:
            self.finished.append(item)
            self._queues.done(unit)
        else:
            self._queues.again(unit, time.monotonic() + delay_s)
            self._changed.notify()
        self._running.pop(unit, None)
        self._ended.notify_all()
