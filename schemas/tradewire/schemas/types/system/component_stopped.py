"""system.component.stopped v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from .named_types import StopReason


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentStopped:
    """A component does its work no more. Published by the component itself, or by its supervisor if it died."""

    event_type: ClassVar[str] = "system.component.stopped"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "component"

    component: str
    """Part of the system that speaks, e.g. 'sink' or 'worker.correlation'. Set by the component."""
    instance: str | None = None
    """Which running copy of the component, e.g. a host name with a number; null where there is only one. Set by the
    component.
    """
    reason: StopReason = StopReason.UNKNOWN
    """Why it stopped. Set by whoever publishes it."""
    message: str | None = None
    """More about the reason; null where there is nothing to say. Set by whoever publishes it."""
    exit_code: int | None = None
    """Exit status of the process, below zero for a signal; null where unknown. Set by the supervisor."""
    uptime_ms: int | None = None
    """How long it had been up, milliseconds; null where unknown. Set by whoever publishes it."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "component": self.component,
            "instance": self.instance,
            "reason": self.reason,
            "message": self.message,
            "exit_code": self.exit_code,
            "uptime_ms": self.uptime_ms,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            component=data["component"],
            instance=data["instance"],
            reason=StopReason(data["reason"]),
            message=data["message"],
            exit_code=data["exit_code"],
            uptime_ms=data["uptime_ms"],
        )
