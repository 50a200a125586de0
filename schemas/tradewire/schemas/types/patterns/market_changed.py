"""patterns.market.changed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from .named_types import SeenEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketChanged:
    """What a pattern over market data remembers of one instrument. Published by the worker to a compacted topic."""

    event_type: ClassVar[str] = "patterns.market.changed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "pattern:pattern_key"

    pattern: str
    """Name of the declared pattern. Set by the pattern."""
    pattern_key: str
    """Key that it is watched for, e.g. an account; empty for all. Set by the pattern."""
    newest_ns: int
    """UTC epoch nanoseconds of the newest event seen, by occurrence. Set by the pattern."""
    reached_ns: int
    """Watermark: UTC epoch nanoseconds up to which events are taken into account; older ones are late. Set by the
    pattern.
    """
    last_recorded_ns: int
    """UTC epoch nanoseconds of the Kafka timestamp of the last record. Set by the pattern."""
    kept: tuple[SeenEvent, ...] = ()
    """Events taken into account that may still be part of a match. Set by the pattern."""
    pending: tuple[SeenEvent, ...] = ()
    """Events not yet taken into account, because older ones may come. Set by the pattern."""
    at_reached: tuple[str, ...] = ()
    """Ids of the events taken that occurred at reached_ns. Set by the pattern."""
    late_count: int = 0
    """Events left out because they came too late. Set by the pattern."""
    match_count: int = 0
    """Matches found. Set by the pattern."""
    applied: Mapping[str, int] = field(default_factory=dict)
    """Last source offset folded in, by 'topic:partition'; an event at or below it is a repeat and changes nothing. Set
    by the projection.
    """

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "pattern": self.pattern,
            "pattern_key": self.pattern_key,
            "newest_ns": self.newest_ns,
            "reached_ns": self.reached_ns,
            "last_recorded_ns": self.last_recorded_ns,
            "kept": [item.to_data() for item in self.kept],
            "pending": [item.to_data() for item in self.pending],
            "at_reached": list(self.at_reached),
            "late_count": self.late_count,
            "match_count": self.match_count,
            "applied": dict(self.applied),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            pattern=data["pattern"],
            pattern_key=data["pattern_key"],
            newest_ns=data["newest_ns"],
            reached_ns=data["reached_ns"],
            last_recorded_ns=data["last_recorded_ns"],
            kept=tuple(SeenEvent.from_data(item) for item in data["kept"]),
            pending=tuple(SeenEvent.from_data(item) for item in data["pending"]),
            at_reached=tuple(data["at_reached"]),
            late_count=data["late_count"],
            match_count=data["match_count"],
            applied=data["applied"],
        )
