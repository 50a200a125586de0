"""strategy.run.stopped v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from .named_types import RunStopReason


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStopped:
    """A run of a strategy ended. Published by the strategy runner."""

    event_type: ClassVar[str] = "strategy.run.stopped"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "strategy"

    strategy: str
    """Name of the strategy, stable over its runs. Set by the strategy runner."""
    run_id: str
    """The run that ended (strategy.run.started). Set by the strategy runner."""
    reason: RunStopReason = RunStopReason.UNKNOWN
    """Why it ended. Set by the strategy runner."""
    message: str | None = None
    """More about the reason, such as the error's text; null where there is none. Set by the strategy runner."""
    duration_ms: int | None = None
    """How long the run lasted, milliseconds; null where the start is not known. Set by the strategy runner."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "strategy": self.strategy,
            "run_id": self.run_id,
            "reason": self.reason,
            "message": self.message,
            "duration_ms": self.duration_ms,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            strategy=data["strategy"],
            run_id=data["run_id"],
            reason=RunStopReason(data["reason"]),
            message=data["message"],
            duration_ms=data["duration_ms"],
        )
