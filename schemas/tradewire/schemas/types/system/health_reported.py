"""system.health.reported v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import HealthCheck, HealthStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReported:
    """How a component is at this moment. Published by its health check, at intervals and on change."""

    event_type: ClassVar[str] = "system.health.reported"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "component"

    component: str
    """Part of the system that speaks, e.g. 'sink' or 'worker.correlation'. Set by the component."""
    instance: str | None = None
    """Which running copy of the component, e.g. a host name with a number; null where there is only one. Set by the
    component.
    """
    status: HealthStatus = HealthStatus.UNKNOWN
    """How it is as a whole: the worst of its checks. Set by the health check."""
    message: str | None = None
    """What is wrong, in words; null when nothing is. Set by the health check."""
    checks: tuple[HealthCheck, ...] = ()
    """The single checks. Set by the health check."""
    metrics: Mapping[str, Decimal] = field(default_factory=dict)
    """Figures at the time, by name with the unit last, e.g. 'queue_size', 'lag_events', 'subscriber_count'. Set by the
    component.
    """

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "component": self.component,
            "instance": self.instance,
            "status": self.status,
            "message": self.message,
            "checks": [item.to_data() for item in self.checks],
            "metrics": dict(self.metrics),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            component=data["component"],
            instance=data["instance"],
            status=HealthStatus(data["status"]),
            message=data["message"],
            checks=tuple(HealthCheck.from_data(item) for item in data["checks"]),
            metrics=data["metrics"],
        )
