"""system.replay.completed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import ReplayOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCompleted:
    """A replay of past events ended. Published by the replayer."""

    event_type: ClassVar[str] = "system.replay.completed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "replay_id"

    replay_id: str
    """Id of the replay, carried in a header of each replayed record. Set by the replayer."""
    outcome: ReplayOutcome = ReplayOutcome.UNKNOWN
    """How it ended. Set by the replayer."""
    selection: str
    """What was replayed, as the replayer was told: topics, range, filters. Set by the operator."""
    target: str
    """Where it went: 'topic:NAME', 'file:PATH', 'stdout' or 'callback'. Set by the operator."""
    replayed_count: int
    """Number of events delivered. Set by the replayer."""
    skipped_count: int = 0
    """Number of events in range that the filters left out. Set by the replayer."""
    failed_count: int = 0
    """Number of events that could not be delivered. Set by the replayer."""
    speed_ratio: Decimal | None = None
    """Speed against real time, 1 is real time; null for as fast as possible. Set by the operator."""
    dry_run: bool = False
    """True if it only counted and delivered nothing. Set by the operator."""
    from_ns: int | None = None
    """UTC epoch nanoseconds of the earliest event selected, inclusive; null for the beginning. Set by the operator."""
    until_ns: int | None = None
    """UTC epoch nanoseconds of the end of the selection, exclusive; null for the end. Set by the operator."""
    duration_ms: int | None = None
    """How long it took, milliseconds; null where not measured. Set by the replayer."""
    message: str | None = None
    """Why it failed or was cancelled; else null. Set by the replayer."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "replay_id": self.replay_id,
            "outcome": self.outcome,
            "selection": self.selection,
            "target": self.target,
            "replayed_count": self.replayed_count,
            "skipped_count": self.skipped_count,
            "failed_count": self.failed_count,
            "speed_ratio": self.speed_ratio,
            "dry_run": self.dry_run,
            "from_ns": self.from_ns,
            "until_ns": self.until_ns,
            "duration_ms": self.duration_ms,
            "message": self.message,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            replay_id=data["replay_id"],
            outcome=ReplayOutcome(data["outcome"]),
            selection=data["selection"],
            target=data["target"],
            replayed_count=data["replayed_count"],
            skipped_count=data["skipped_count"],
            failed_count=data["failed_count"],
            speed_ratio=data["speed_ratio"],
            dry_run=data["dry_run"],
            from_ns=data["from_ns"],
            until_ns=data["until_ns"],
            duration_ms=data["duration_ms"],
            message=data["message"],
        )
