"""system.error.raised v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from .named_types import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRaised:
    """Something failed and somebody should know. Published by the component that failed or by the one that watches
    it.
    """

    event_type: ClassVar[str] = "system.error.raised"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "component"

    component: str
    """Part of the system that speaks, e.g. 'sink' or 'worker.correlation'. Set by the component."""
    error_type: str
    """Kind of failure, stable for grouping: the exception's class name. Set by the component."""
    message: str
    """What went wrong, in words. Set by the component."""
    severity: Severity = Severity.ERROR
    """How bad it is. Set by the component."""
    stack_trace: str | None = None
    """Where in the code it happened; null where there is no trace. Set by the component."""
    retriable: bool | None = None
    """True if trying again may help; null where unknown. Set by the component."""
    failed_event_id: str | None = None
    """Event being handled at the time; null where none was. Set by the component."""
    failed_event_type: str | None = None
    """Type of that event; null where none was. Set by the component."""
    instance: str | None = None
    """Which running copy of the component, e.g. a host name with a number; null where there is only one. Set by the
    component.
    """
    details: Mapping[str, str] = field(default_factory=dict)
    """More that helps to find the cause, by name, as text; never secrets. Set by the component."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "component": self.component,
            "error_type": self.error_type,
            "message": self.message,
            "severity": self.severity,
            "stack_trace": self.stack_trace,
            "retriable": self.retriable,
            "failed_event_id": self.failed_event_id,
            "failed_event_type": self.failed_event_type,
            "instance": self.instance,
            "details": dict(self.details),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            component=data["component"],
            error_type=data["error_type"],
            message=data["message"],
            severity=Severity(data["severity"]),
            stack_trace=data["stack_trace"],
            retriable=data["retriable"],
            failed_event_id=data["failed_event_id"],
            failed_event_type=data["failed_event_type"],
            instance=data["instance"],
            details=data["details"],
        )
