"""Patterns over several events: sequence, absence, count and change within a span; per key, by time of occurrence."""

from tradewire.processors.patterns.alerts import alert_data, alert_key, match_id
from tradewire.processors.patterns.declared import Pattern, Patterns
from tradewire.processors.patterns.memory import (
    Memory,
    empty,
    memory_data,
    memory_of,
    observe,
    pass_time,
    wakes_at,
)
from tradewire.processors.patterns.rules import (
    AbsenceWithin,
    ChangeWithin,
    CountWithin,
    Match,
    Rule,
    Seen,
    SequenceWithin,
)

__all__ = [
    "AbsenceWithin",
    "ChangeWithin",
    "CountWithin",
    "Match",
    "Memory",
    "Pattern",
    "Patterns",
    "Rule",
    "Seen",
    "SequenceWithin",
    "alert_data",
    "alert_key",
    "empty",
    "match_id",
    "memory_data",
    "memory_of",
    "observe",
    "pass_time",
    "wakes_at",
]
