"""Declared patterns: what is watched for, by which key, and which alert a match raises.

``patterns.yaml`` beside this file has ours and says what each key means; a file of the same form, named by the setting
``worker.patterns_file``, adds to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tradewire.processors.declarations import Span, SpanOrZero, known_types, read_declarations
from tradewire.processors.patterns.rules import AbsenceWithin, ChangeWithin, CountWithin, Rule, SequenceWithin
from tradewire.schemas import Catalogue

BUILT_IN_PATTERNS: Final = Path(str(files("tradewire.processors").joinpath("patterns/patterns.yaml")))
RISK_ALERT: Final = "risk.alert.raised"
MARKET_ALERT: Final = "market.alert.triggered"
KEY: Final = "key"
_COUNT_MAX: Final = 1_000
_SEQUENCE_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Pattern:
    """A declared pattern. ``per`` is ``key`` or a field of the data, ``value`` the field that a change is watched in.

    ``in_place``: watched in the partition of the market data itself, where its key already keeps what belongs together
    and nothing is held back; else its events are written once more, to ``patterns.events``, under their pattern's key.
    """

    name: str
    rule: Rule
    within_ns: int
    lateness_ns: int
    per: str
    value: str | None
    raises: Literal["risk.alert.raised", "market.alert.triggered"]
    severity: str
    in_place: bool


class Patterns:
    """All declared patterns, looked up by event type; immutable."""

    def __init__(self, patterns: Iterable[Pattern] = ()) -> None:
        self.by_name: Mapping[str, Pattern] = {pattern.name: pattern for pattern in patterns}
        self._in_place: dict[str, list[Pattern]] = {}
        self._elsewhere: dict[str, list[Pattern]] = {}
        for pattern in self.by_name.values():
            for type in pattern.rule.types:
                (self._in_place if pattern.in_place else self._elsewhere).setdefault(type, []).append(pattern)
        self.types = frozenset((*self._in_place, *self._elsewhere))

    @classmethod
    def load(cls, catalogue: Catalogue, users_file: Path | None = None) -> Patterns:
        """Reads our file and the user's. Raises DeclarationInvalid, naming file, pattern and field."""

        def make(name: str, entry: _Pattern) -> Pattern | None:
            return _pattern(name, entry, catalogue) if entry.enabled else None

        found = read_declarations(BUILT_IN_PATTERNS, users_file, "patterns", _Pattern, make)
        return cls(pattern for pattern in found.values() if pattern is not None)

    def in_place(self, event_type: str) -> Sequence[Pattern]:
        """The patterns that watch this type where it lies."""
        return self._in_place.get(event_type, ())

    def elsewhere(self, event_type: str) -> Sequence[Pattern]:
        """The patterns that watch this type under another key, or with time to wait."""
        return self._elsewhere.get(event_type, ())


class _Absence(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    after: list[str] = Field(min_length=1)
    missing: list[str] = Field(min_length=1)


class _Pattern(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int | None = Field(default=None, ge=2, le=_COUNT_MAX)
    sequence: list[list[str]] | None = Field(default=None, min_length=2, max_length=_SEQUENCE_MAX)
    absence: _Absence | None = None
    change: Decimal | None = Field(default=None, gt=0, le=100)
    direction: Literal["any", "up", "down"] = "any"
    of: list[str] = []
    within: Span
    per: str = KEY
    lateness: SpanOrZero = 0
    value: str | None = None
    raises: Literal["risk.alert.raised", "market.alert.triggered"]
    severity: Literal["INFO", "WARNING", "ERROR", "CRITICAL"] = "WARNING"
    enabled: bool = True

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [name for name in ("count", "sequence", "absence", "change") if getattr(self, name) is not None]
        if len(kinds) != 1:
            raise ValueError(
                f"one of count, sequence, absence, change is needed; found {' and '.join(kinds) or 'none'}"
            )
        if (kinds[0] in ("count", "change")) != bool(self.of):
            raise ValueError("of: the event types that count and change watch; sequence and absence name their own")
        if (self.change is not None) != (self.value is not None):
            raise ValueError("value: the field that change watches, and nothing else has one")
        return self


def _pattern(name: str, entry: _Pattern, catalogue: Catalogue) -> Pattern:
    rule = _rule(entry)
    for key, types in _named(entry):
        known_types(catalogue, key, types)
    for type in sorted(rule.types):
        fields = _fields(catalogue, type)
        for field, wanted in (("per", None if entry.per == KEY else entry.per), ("value", entry.value)):
            if wanted is not None and wanted not in fields:
                raise ValueError(f"{field}: {type} has no field {wanted}; it has {', '.join(fields)}")
        if entry.value is not None and "decimal" not in str(fields[entry.value]):
            raise ValueError(f"value: {entry.value} of {type} is not a decimal")
    market = all(type.startswith("market.") for type in rule.types)
    if entry.raises == MARKET_ALERT and not (market and entry.per == KEY and entry.change is not None):
        raise ValueError(f"raises: {MARKET_ALERT} tells of a change per key of market data; raise {RISK_ALERT} instead")
    in_place = market and entry.per == KEY and entry.lateness == 0 and entry.absence is None
    return Pattern(
        name, rule, entry.within, entry.lateness, entry.per, entry.value, entry.raises, entry.severity, in_place
    )


def _named(entry: _Pattern) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The event types of an entry under the keys of the file that name them."""
    yield "of", tuple(entry.of)
    for place, step in enumerate(entry.sequence or ()):
        yield f"sequence.{place}", tuple(step)
    if entry.absence is not None:
        yield "absence.after", tuple(entry.absence.after)
        yield "absence.missing", tuple(entry.absence.missing)


def _rule(entry: _Pattern) -> Rule:
    if entry.count is not None:
        return CountWithin(frozenset(entry.of), entry.count, entry.within)
    if entry.change is not None:
        return ChangeWithin(frozenset(entry.of), entry.change, entry.within, entry.direction)
    if entry.sequence is not None:
        if not all(entry.sequence):
            raise ValueError("sequence: a step names no event type")
        return SequenceWithin(tuple(frozenset(step) for step in entry.sequence), entry.within)
    assert entry.absence is not None
    after, missing = frozenset(entry.absence.after), frozenset(entry.absence.missing)
    if after & missing:
        raise ValueError(f"absence: {', '.join(sorted(after & missing))} is under after and under missing")
    return AbsenceWithin(after, missing, entry.within)


def _fields(catalogue: Catalogue, type: str) -> dict[str, Any]:
    return {field["name"]: field["type"] for field in catalogue[type].latest.schema["fields"]}
