"""Records and enums inside the event types of system. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class HealthStatus(StrEnum):
    """How well a component does. HEALTHY: as it should; DEGRADED: works, but slowly or in part; UNHEALTHY: does not
    work. Set by the health check.
    """

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"


class ReplayOutcome(StrEnum):
    """How a replay ended. COMPLETED: all that was selected was delivered; FAILED: an error ended it; CANCELLED:
    somebody stopped it. Set by the replayer.
    """

    UNKNOWN = "UNKNOWN"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Severity(StrEnum):
    """How bad it is, least first. Set by the component that reports it."""

    UNKNOWN = "UNKNOWN"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class StopReason(StrEnum):
    """Why a component stopped. REQUESTED: asked to; COMPLETED: its work was done; FAILED: it gave up on an error;
    KILLED: it died without a word. Set by whoever publishes it.
    """

    UNKNOWN = "UNKNOWN"
    REQUESTED = "REQUESTED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """One thing that was looked at. Set by the health check."""

    name: str
    """What was looked at, e.g. 'broker' or 'registry'. Set by the health check."""
    status: HealthStatus = HealthStatus.UNKNOWN
    """How it is. Set by the health check."""
    message: str | None = None
    """What is wrong, in words; null when nothing is. Set by the health check."""
    duration_ms: int | None = None
    """How long the check took, milliseconds; null where not measured. Set by the health check."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "name": self.name,
            "status": self.status,
            "message": self.message,
            "duration_ms": self.duration_ms,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            name=data["name"],
            status=HealthStatus(data["status"]),
            message=data["message"],
            duration_ms=data["duration_ms"],
        )
