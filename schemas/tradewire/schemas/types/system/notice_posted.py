"""system.notice.posted v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePosted:
    """Something happened that operators may like to know; nothing is wrong. Published by any component."""

    event_type: ClassVar[str] = "system.notice.posted"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "component"

    component: str
    """Part of the system that speaks, e.g. 'sink' or 'worker.correlation'. Set by the component."""
    message: str
    """What happened, in words. Set by the component."""
    notice_type: str | None = None
    """Kind of notice, stable for grouping; null where it has none. Set by the component."""
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
            "message": self.message,
            "notice_type": self.notice_type,
            "instance": self.instance,
            "details": dict(self.details),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            component=data["component"],
            message=data["message"],
            notice_type=data["notice_type"],
            instance=data["instance"],
            details=data["details"],
        )
