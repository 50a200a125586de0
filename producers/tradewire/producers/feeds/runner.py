"""Publishes what a feed yields, at its own pace or as fast as possible, and says at the end what became of it all."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tradewire.core import NS_PER_SECOND, get_logger
from tradewire.producers.errors import FeedError
from tradewire.producers.feeds.items import FeedItem, OtherKind
from tradewire.producers.publisher import Publisher
from tradewire.schemas import Event

_log = get_logger(__name__)
_PROGRESS_EVERY_ITEMS: Final = 256
_PROGRESS_EVERY_SECONDS: Final = 0.1
# Sleeping less than this costs more than it spreads.
_PACE_STEP_SECONDS: Final = 0.001
_PROBLEMS_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class FeedProgress:
    """Counts so far; ``published`` events are in the queue, not yet confirmed."""

    published: int
    skipped: int
    other: int


@dataclass(frozen=True, slots=True)
class FeedResult:
    """What became of a feed. ``unknown`` events were not confirmed by the brokers; with any the run has failed.

    ``skipped`` counts malformed lines, of which ``problems`` holds the first 100; ``other_kinds`` counts lines that
    stand for no event. ``seconds`` includes the wait for the last confirmation.
    """

    published: Mapping[str, int]
    unknown: int
    skipped: int
    problems: tuple[FeedError, ...]
    other_kinds: Mapping[str, int]
    seconds: float

    @property
    def total(self) -> int:
        return sum(self.published.values())

    @property
    def rate_per_s(self) -> float:
        return self.total / self.seconds if self.seconds else 0.0

    @property
    def failed(self) -> bool:
        return self.unknown > 0


@dataclass(slots=True)
class _Run:
    """The mutable side of one run: draws items, hands on events, counts."""

    speed: float | None
    strict: bool
    limit: int | None
    on_progress: Callable[[FeedProgress], None] | None
    stop: threading.Event
    published: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    problems: list[FeedError] = field(default_factory=list)
    skipped: int = 0
    taken: int = 0

    def events(self, items: Iterable[FeedItem]) -> Iterator[Event]:
        reported = time.monotonic()
        first_ns, started = 0, 0.0
        for seen, item in enumerate(items, start=1):
            if isinstance(item, Event):
                if self.speed is not None:
                    if not self.taken:
                        first_ns, started = item.time_ns, time.monotonic()
                    self._wait_until(started + (item.time_ns - first_ns) / NS_PER_SECOND / self.speed)
                if self.stop.is_set():
                    return
                yield item
                self.taken += 1
                self.published[item.type] += 1
                if self.taken == self.limit:
                    return
            elif isinstance(item, OtherKind):
                self.others[item.kind] += 1
            else:
                self._malformed(item)
            if not seen % _PROGRESS_EVERY_ITEMS or self.speed is not None:
                now = time.monotonic()
                if now - reported >= _PROGRESS_EVERY_SECONDS:
                    reported = now
                    self.report()
            if self.stop.is_set():
                return

    def _wait_until(self, due: float) -> None:
        ahead = due - time.monotonic()
        while ahead > _PACE_STEP_SECONDS and not self.stop.is_set():
            self.stop.wait(min(ahead, _PROGRESS_EVERY_SECONDS))
            self.report()
            ahead = due - time.monotonic()

    def _malformed(self, error: FeedError) -> None:
        if self.strict:
            raise error
        self.skipped += 1
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(error)
            _log.warning("line skipped", file=error.file, line=error.line, error=error.message)

    def report(self) -> None:
        if self.on_progress is not None:
            self.on_progress(FeedProgress(self.taken, self.skipped, self.others.total()))


def run_feed(
    publisher: Publisher,
    items: Iterable[FeedItem],
    *,
    speed: float | None = None,
    strict: bool = False,
    limit: int | None = None,
    on_progress: Callable[[FeedProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> FeedResult:
    """Publishes the events of ``items`` in order, waits for their delivery and returns the counts. Blocks.

    ``speed`` None is as fast as the broker takes them, 1.0 keeps the distances of the events' own times, N is N times
    faster; an event whose time lies before the first one's is sent at once. A malformed line is logged with its file
    and line and left out. ``limit`` ends the run after so many events, ``stop`` when it is set; both still wait for
    delivery. ``on_progress`` is called in this thread about ten times a second.

    Raises:
        FeedError: with ``strict``, the first malformed line; without, only when the input as a whole cannot be read.
        PublishError, EventInvalid, RegistryUnavailable: as ``Publisher.publish``, at the first event that is refused.
            After any of these the events before it have been published; their delivery is not waited for.
    """
    if speed is not None and speed <= 0:
        raise ValueError(f"speed is {speed}; it is a factor above zero, or None for as fast as possible")
    run = _Run(speed, strict, limit, on_progress, stop or threading.Event())
    unknown_before = publisher.ledger.unknown
    started = time.monotonic()
    if limit != 0:
        publisher.publish_many(run.events(items))
    left = publisher.flush()
    run.report()
    return FeedResult(
        published=dict(sorted(run.published.items())),
        unknown=publisher.ledger.unknown - unknown_before + left,
        skipped=run.skipped,
        problems=tuple(run.problems),
        other_kinds=dict(sorted(run.others.items())),
        seconds=time.monotonic() - started,
    )
