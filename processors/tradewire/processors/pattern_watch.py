"""The fold of events into patterns, and the alerts that matches raise. No Kafka, no Faust."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tradewire.core.errors import MalformedRecord
from tradewire.processors.applied import At
from tradewire.processors.patterns import (
    Match,
    Memory,
    Pattern,
    Patterns,
    Seen,
    alert_data,
    alert_key,
    empty,
    match_id,
    observe,
    pass_time,
    wakes_at,
)
from tradewire.processors.records import Cause, Forward, Read, headers_with_id, is_replayed
from tradewire.processors.tables import KEYED_PATTERN, MARKET_PATTERN, PATTERNS_TOPIC, Table
from tradewire.schemas import Codec, Envelope

if TYPE_CHECKING:
    from tradewire.processors.folds import States

PATTERN_HEADER: Final = "tradewire_pattern"
_NS_PER_MS: Final = 1_000_000


class PatternWatch:
    """Folds events into what patterns remember of them. Alerts are told before the memory of their match is written.

    Neither replayed events nor alerts of this worker itself are watched: the one would alarm about the past, the other
    about its own alarms.
    """

    def __init__(
        self,
        codec: Codec,
        patterns: Patterns,
        source: str,
        topic_of: Callable[[str], str],
        on_match: Callable[[Pattern], None] = lambda _: None,
    ) -> None:
        self._patterns = patterns
        self._source = source
        self._on_match = on_match
        self.types = patterns.types
        self._raised = {
            type: (topic_of(type), codec.encoder(type, topic_of(type)))
            for type in {pattern.raises for pattern in patterns.by_name.values()}
        }

    def watch(self, read: Read, envelope: Envelope, key: str, states: States) -> None:
        """Folds an event where it lies, and writes it again for patterns that watch it under another key."""
        if envelope.source == self._source or is_replayed(read.record.headers):
            return
        for pattern in self._patterns.in_place(envelope.type):
            if read.record.topic == MARKET_PATTERN.source:
                self._observe(MARKET_PATTERN, pattern, key, read, envelope, states)
        for pattern in self._patterns.elsewhere(envelope.type):
            states.forward(_again(read, pattern, key if pattern.per == "key" else _field(read, pattern.per)))

    def fold_again(self, read: Read, envelope: Envelope, states: States) -> None:
        """Folds a record of ``patterns.events``. One of a pattern that is no longer declared changes nothing."""
        name = _text(read, PATTERN_HEADER)
        pattern = self._patterns.by_name.get(name)
        if pattern is None:
            return
        key = (read.record.key or b"").decode(errors="replace").removeprefix(f"{name}:")
        self._observe(KEYED_PATTERN, pattern, key, read, envelope, states)

    def look(self, state_key: str, now_ns: int, states: States) -> None:
        """Lets time pass for a memory whose time has come."""
        memory: Memory | None = states.get(KEYED_PATTERN, state_key)
        pattern = self._patterns.by_name.get(memory.pattern) if memory is not None else None
        if memory is None or pattern is None:
            return
        after, matches = pass_time(pattern.rule, pattern.lateness_ns, memory, now_ns)
        known = next(iter((*memory.pending, *(one for slot in memory.kept for one in slot))), None)
        if after is not memory and known is not None:
            self._raise(pattern, memory.key, matches, At("clock", now_ns), states)
            cause = Cause(known.event_id, known.correlation_id, known.time_ns, At(f"clock:{state_key}", now_ns))
            states.put(KEYED_PATTERN, state_key, after, cause)

    def wakes_at(self, memory: Memory) -> int | None:
        """When to look at it, None if only an event can change it."""
        pattern = self._patterns.by_name.get(memory.pattern)
        return None if pattern is None else wakes_at(pattern.rule, pattern.lateness_ns, memory)

    def _observe(
        self, table: Table, pattern: Pattern, key: str, read: Read, envelope: Envelope, states: States
    ) -> None:
        state_key = f"{pattern.name}:{key}"
        before: Memory | None = states.get(table, state_key)
        memory = empty(pattern.name, key, pattern.rule) if before is None else before
        data: Mapping[str, Any] = read.data or {}
        value = data.get(pattern.value) if pattern.value is not None else None
        seen = Seen(envelope.time_ns, envelope.id, envelope.correlation_id, envelope.type, value)
        recorded_ns = read.record.timestamp * _NS_PER_MS
        after, matches = observe(pattern.rule, pattern.lateness_ns, memory, seen, read.origin, recorded_ns)
        if after is memory:
            return
        if matches:
            self._raise(pattern, key, matches, read.origin, states)
        states.put(table, state_key, after, Cause(envelope.id, envelope.correlation_id, envelope.time_ns, read.at))

    def _raise(self, pattern: Pattern, key: str, matches: Iterable[Match], at: At, states: States) -> None:
        topic, encode = self._raised[pattern.raises]
        for match in matches:
            cause = Cause(match.last.event_id, match.last.correlation_id, match.time_ns, at)
            subject = alert_key(pattern, key, match)
            headers = headers_with_id(match_id(pattern, key, match), pattern.raises, self._source, subject, cause)
            states.forward(Forward(topic, subject.encode(), encode(alert_data(pattern, key, match)), headers))
            self._on_match(pattern)


def _field(read: Read, name: str) -> str:
    value = (read.data or {}).get(name)
    return "" if value is None else str(value)


def _text(read: Read, name: str) -> str:
    value = dict(read.record.headers).get(name)
    if value is None:
        raise MalformedRecord(f"header {name} is missing: was this record written by a worker?", header=name)
    return value.decode(errors="replace")


def _again(read: Read, pattern: Pattern, key: str) -> Forward:
    """The event as it was read, under the key of its pattern; ``tradewire_position`` says where it lies."""
    return Forward(
        PATTERNS_TOPIC,
        f"{pattern.name}:{key}".encode(),
        read.record.value,
        [
            *read.record.headers,
            (PATTERN_HEADER, pattern.name.encode()),
            ("tradewire_position", f"{read.origin.source}:{read.origin.offset}".encode()),
        ],
    )
