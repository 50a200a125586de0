"""What a pattern remembers of one key, and how time passes in it. Frozen values that serialise; no clock, no Kafka.

Events come in any order and are taken in order of occurrence (ties by event id) once the watermark has passed them: the
newest time seen, less the allowed ``lateness_ns``. An event that comes at or behind the watermark is late: it is
counted and left out. With a lateness of zero nothing is held back, equal times are taken as they come, and only what is
older than the newest is late. So with a lateness above zero what is found depends on the events that were not late, and
not on the order in which they came.

A key that gets no more events would stand still: ``pass_time`` moves it on by a clock.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tradewire.processors.applied import Applied, At, advanced, holds
from tradewire.processors.patterns.rules import Kept, Match, Rule, Seen

_BEFORE_ALL_NS: Final = -(1 << 62)
# Ids of one and the same nanosecond that are known for repeats; without allowed lateness only.
AT_REACHED_MAX: Final = 64


class Memory(NamedTuple):
    """State of one pattern and key. ``reached_ns`` is the watermark, ``pending`` are events ahead of it, in order."""

    pattern: str
    key: str
    newest_ns: int
    reached_ns: int
    last_recorded_ns: int
    kept: Kept
    pending: tuple[Seen, ...]
    at_reached: tuple[str, ...]
    late_count: int
    match_count: int
    applied: Applied


def empty(pattern: str, key: str, rule: Rule) -> Memory:
    """The memory before the first event."""
    return Memory(pattern, key, _BEFORE_ALL_NS, _BEFORE_ALL_NS, 0, ((),) * rule.slots, (), (), 0, 0, {})


def observe(
    rule: Rule, lateness_ns: int, memory: Memory, event: Seen, at: At, recorded_ns: int
) -> tuple[Memory, Sequence[Match]]:
    """The memory after an event whose record lies at ``at``, and the matches that it brought about, in order.

    The same object if ``at`` was applied before. An event that was published twice counts once: its repeat is pending
    already, or late.
    """
    if holds(memory.applied, at):
        return memory, ()
    applied = advanced(memory.applied, at)
    time_ns, reached_ns = event.time_ns, memory.reached_ns
    if lateness_ns:
        late = time_ns <= reached_ns
        repeated = any(one.event_id == event.event_id for one in memory.pending)
    else:
        late = time_ns < reached_ns
        repeated = time_ns == reached_ns and event.event_id in memory.at_reached
    if late or repeated:
        return memory._replace(late_count=memory.late_count + late, last_recorded_ns=recorded_ns, applied=applied), ()
    newest_ns = max(memory.newest_ns, time_ns)
    if lateness_ns:
        pending = list(memory.pending)
        bisect.insort(pending, event)
        memory = memory._replace(
            newest_ns=newest_ns, pending=tuple(pending), last_recorded_ns=recorded_ns, applied=applied
        )
        return _reach(rule, memory, newest_ns - lateness_ns)
    at_reached = (*memory.at_reached, event.event_id)[-AT_REACHED_MAX:] if time_ns == reached_ns else (event.event_id,)
    kept, matches = _take(rule, _fitting(rule, memory.kept), event)
    return (
        Memory(
            memory.pattern,
            memory.key,
            newest_ns,
            time_ns,
            recorded_ns,
            kept,
            (),
            at_reached,
            memory.late_count,
            memory.match_count + len(matches),
            applied,
        ),
        matches,
    )


def pass_time(rule: Rule, lateness_ns: int, memory: Memory, now_ns: int) -> tuple[Memory, Sequence[Match]]:
    """The memory at ``now_ns`` of the worker's clock, although no event came; the same object if nothing changes.

    Occurrence is taken to have gone on since the last record as fast as the clock did.
    """
    wakes_ns = wakes_at(rule, lateness_ns, memory)
    if wakes_ns is None or now_ns < wakes_ns:
        return memory, ()
    return _reach(rule, memory, memory.newest_ns + (now_ns - memory.last_recorded_ns) - lateness_ns)


def wakes_at(rule: Rule, lateness_ns: int, memory: Memory) -> int | None:
    """When, by the worker's clock, ``pass_time`` may change the memory; None while only an event can."""
    due_ns = rule.due_ns(_fitting(rule, memory.kept))
    if memory.pending:
        first_ns = memory.pending[0].time_ns
        due_ns = first_ns if due_ns is None else min(due_ns, first_ns)
    if due_ns is None:
        return None
    return memory.last_recorded_ns + max(0, due_ns + lateness_ns - memory.newest_ns)


def _reach(rule: Rule, memory: Memory, watermark_ns: int) -> tuple[Memory, Sequence[Match]]:
    if watermark_ns <= memory.reached_ns:
        return memory, ()
    passed = 0
    kept, matches = _fitting(rule, memory.kept), list[Match]()
    for event in memory.pending:
        if event.time_ns > watermark_ns:
            break
        passed += 1
        kept, found = _take(rule, kept, event)
        matches += found
    kept, over = rule.pass_time(kept, watermark_ns)
    matches += over
    return (
        memory._replace(
            reached_ns=watermark_ns,
            kept=kept,
            pending=memory.pending[passed:],
            at_reached=(),
            match_count=memory.match_count + len(matches),
        ),
        matches,
    )


def _take(rule: Rule, kept: Kept, event: Seen) -> tuple[Kept, list[Match]]:
    kept, over = rule.pass_time(kept, event.time_ns)
    kept, match = rule.take(kept, event)
    return kept, [*over, match] if match is not None else list(over)


def _fitting(rule: Rule, kept: Kept) -> Kept:
    """A declaration that was changed finds the memory of the one before it: what does not fit is forgotten."""
    return kept if len(kept) == rule.slots else (*kept, *((),) * rule.slots)[: rule.slots]


def memory_data(memory: Memory) -> dict[str, Any]:
    """The data of ``patterns.keyed.changed`` and ``patterns.market.changed``."""
    return {
        "pattern": memory.pattern,
        "pattern_key": memory.key,
        "newest_ns": memory.newest_ns,
        "reached_ns": memory.reached_ns,
        "last_recorded_ns": memory.last_recorded_ns,
        "kept": [_seen_data(one, slot) for slot, events in enumerate(memory.kept) for one in events],
        "pending": [_seen_data(one, 0) for one in memory.pending],
        "at_reached": list(memory.at_reached),
        "late_count": memory.late_count,
        "match_count": memory.match_count,
        "applied": memory.applied,
    }


def memory_of(data: Mapping[str, Any]) -> Memory:
    """The memory of such data. Slots behind the last one in use are added when a rule next uses it."""
    slots: list[list[Seen]] = []
    for one in data["kept"]:
        while len(slots) <= one["slot"]:
            slots.append([])
        slots[one["slot"]].append(_seen_of(one))
    return Memory(
        data["pattern"],
        data["pattern_key"],
        data["newest_ns"],
        data["reached_ns"],
        data["last_recorded_ns"],
        tuple(tuple(slot) for slot in slots),
        tuple(_seen_of(one) for one in data["pending"]),
        tuple(data["at_reached"]),
        data["late_count"],
        data["match_count"],
        data["applied"],
    )


def _seen_data(seen: Seen, slot: int) -> dict[str, Any]:
    return {
        "seen_ns": seen.time_ns,
        "seen_id": seen.event_id,
        "seen_correlation": seen.correlation_id,
        "seen_type": seen.type,
        "seen_value": seen.value,
        "slot": slot,
    }


def _seen_of(data: Mapping[str, Any]) -> Seen:
    return Seen(data["seen_ns"], data["seen_id"], data["seen_correlation"], data["seen_type"], data["seen_value"])
