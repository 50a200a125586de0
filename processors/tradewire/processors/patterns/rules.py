"""The vocabulary of patterns over several events: what each remembers of one key, and when it matches. Pure.

Events are given in order of their occurrence (``memory`` sees to that); ``kept`` is what a rule remembers, one tuple
per slot. After a match a rule forgets all, but a change goes on from the event that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Final, Literal, NamedTuple, Protocol

# Of a slot: what is beyond is forgotten, oldest first. A change over a monotone run of prices keeps every one of them.
KEPT_MAX: Final = 2_000
_EXACT: Final = Context(prec=100, traps=[])


class Seen(NamedTuple):
    """An event as patterns see it."""

    time_ns: int
    event_id: str
    correlation_id: str
    type: str
    value: Decimal | None = None


Kept = tuple[tuple[Seen, ...], ...]


class Match(NamedTuple):
    """Events that fit a pattern: the first and the last of them and how many. ``time_ns`` is when it came true."""

    first: Seen
    last: Seen
    events: int
    time_ns: int
    observed: Decimal | None = None


class Rule(Protocol):
    """One kind of pattern. Its methods give back what is then remembered; ``kept`` given is not changed."""

    @property
    def slots(self) -> int: ...
    @property
    def types(self) -> frozenset[str]: ...
    def take(self, kept: Kept, event: Seen) -> tuple[Kept, Match | None]: ...
    def pass_time(self, kept: Kept, reached_ns: int) -> tuple[Kept, Sequence[Match]]: ...
    def due_ns(self, kept: Kept) -> int | None: ...


class _Timeless:
    """Only events bring a match about."""

    def pass_time(self, kept: Kept, reached_ns: int) -> tuple[Kept, Sequence[Match]]:
        return kept, ()

    def due_ns(self, kept: Kept) -> int | None:
        return None


@dataclass(frozen=True, slots=True)
class CountWithin(_Timeless):
    """``count`` events of ``types`` of which the last came at most ``within_ns`` after the first."""

    types: frozenset[str]
    count: int
    within_ns: int
    slots: int = 1

    def take(self, kept: Kept, event: Seen) -> tuple[Kept, Match | None]:
        oldest_ns = event.time_ns - self.within_ns
        window = (*(one for one in kept[0] if one.time_ns >= oldest_ns), event)
        if len(window) >= self.count:
            return ((),), Match(window[0], event, len(window), event.time_ns, Decimal(len(window)))
        return (window,), None


@dataclass(frozen=True, slots=True)
class SequenceWithin(_Timeless):
    """An event of each of ``steps`` in turn, others between them allowed, at most ``within_ns`` from first to last.

    Of several that may be the first the latest counts. Slot k holds the first event of the youngest chain that has come
    as far as step k.
    """

    steps: tuple[frozenset[str], ...]
    within_ns: int

    @property
    def slots(self) -> int:
        return len(self.steps) - 1

    @property
    def types(self) -> frozenset[str]:
        return frozenset().union(*self.steps)

    def take(self, kept: Kept, event: Seen) -> tuple[Kept, Match | None]:
        chains = list(kept)
        last = len(self.steps) - 1
        # From the last step back: an event is one step of a chain, not two.
        for number in range(last, -1, -1):
            if event.type not in self.steps[number]:
                continue
            start = (event,) if number == 0 else chains[number - 1]
            if not start or event.time_ns - start[0].time_ns > self.within_ns:
                continue
            if number == last:
                return ((),) * last, Match(start[0], event, len(self.steps), event.time_ns)
            chains[number] = start
        return tuple(chains), None


@dataclass(frozen=True, slots=True)
class AbsenceWithin:
    """An event of ``after`` that no event of ``missing`` follows within ``within_ns``; one follows at its very end too.

    Each event of ``after`` is waited for by itself; one of ``missing`` answers all that wait.
    """

    after: frozenset[str]
    missing: frozenset[str]
    within_ns: int
    slots: int = 1

    @property
    def types(self) -> frozenset[str]:
        return self.after | self.missing

    def take(self, kept: Kept, event: Seen) -> tuple[Kept, Match | None]:
        if event.type in self.missing:
            return ((),), None
        return ((*kept[0], event)[-KEPT_MAX:],), None

    def pass_time(self, kept: Kept, reached_ns: int) -> tuple[Kept, Sequence[Match]]:
        waiting = kept[0]
        if not waiting or waiting[0].time_ns + self.within_ns >= reached_ns:
            return kept, ()
        over = [one for one in waiting if one.time_ns + self.within_ns < reached_ns]
        return (waiting[len(over) :],), [Match(one, one, 1, one.time_ns + self.within_ns) for one in over]

    def due_ns(self, kept: Kept) -> int | None:
        return kept[0][0].time_ns + self.within_ns + 1 if kept[0] else None


@dataclass(frozen=True, slots=True)
class ChangeWithin(_Timeless):
    """A value that rises or falls by at least ``ratio`` of an earlier one, at most ``within_ns`` apart.

    Compared with the lowest and the highest of the window; of equal ones the latest counts. Slot 0 holds those that may
    still become the lowest (rising values), slot 1 those that may become the highest. Values that are absent or not
    above zero are left out.
    """

    types: frozenset[str]
    ratio: Decimal
    within_ns: int
    direction: Literal["any", "up", "down"] = "any"
    slots: int = 2

    def take(self, kept: Kept, event: Seen) -> tuple[Kept, Match | None]:
        value = event.value
        if value is None or value <= 0:
            return kept, None
        lows, highs = kept
        oldest_ns = event.time_ns - self.within_ns
        match: Match | None = None
        if self.direction != "down":
            lows = _young(lows, oldest_ns)
            if lows and value > lows[0].value:  # type: ignore[operator]
                match = self._change(lows[0], event, value)
            lows = _with_low(lows, event, value)
        if match is None and self.direction != "up":
            highs = _young(highs, oldest_ns)
            if highs and value < highs[0].value:  # type: ignore[operator]
                match = self._change(highs[0], event, value)
            highs = _with_high(highs, event, value)
        if match is not None:
            return ((event,), (event,)), match
        return (lows, highs), None

    def _change(self, first: Seen, event: Seen, value: Decimal) -> Match | None:
        before: Any = first.value
        moved = _EXACT.subtract(value, before)
        if abs(moved) < _EXACT.multiply(before, self.ratio):
            return None
        return Match(first, event, 2, event.time_ns, _EXACT.divide(moved, before))


def _young(kept: tuple[Seen, ...], oldest_ns: int) -> tuple[Seen, ...]:
    if not kept or kept[0].time_ns >= oldest_ns:
        return kept
    return tuple(one for one in kept if one.time_ns >= oldest_ns)


def _with_low(lows: tuple[Seen, ...], event: Seen, value: Decimal) -> tuple[Seen, ...]:
    end = len(lows)
    while end and lows[end - 1].value >= value:  # type: ignore[operator]
        end -= 1
    return (*lows[:end], event)[-KEPT_MAX:]


def _with_high(highs: tuple[Seen, ...], event: Seen, value: Decimal) -> tuple[Seen, ...]:
    end = len(highs)
    while end and highs[end - 1].value <= value:  # type: ignore[operator]
        end -= 1
    return (*highs[:end], event)[-KEPT_MAX:]
