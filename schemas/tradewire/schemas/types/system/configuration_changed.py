"""system.configuration.changed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationChanged:
    """A setting of a component has a new value. Published by whoever changes it, one event per setting."""

    event_type: ClassVar[str] = "system.configuration.changed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "component"

    component: str
    """Part of the system that speaks, e.g. 'sink' or 'worker.correlation'. Set by the component."""
    setting: str
    """Name of the setting, e.g. 'sink.batch_rows_max'. Set by whoever changes it."""
    value: str | None = None
    """The new value as text; null if removed; masked if secret. Set by whoever changes it."""
    previous_value: str | None = None
    """The value before as text; null if it was not set; masked if secret. Set by whoever changes it."""
    changed_by: str | None = None
    """Person or service that changed it; null where unknown. Set by whoever changes it."""
    reason: str | None = None
    """Why; null where unsaid. Set by whoever changes it."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "component": self.component,
            "setting": self.setting,
            "value": self.value,
            "previous_value": self.previous_value,
            "changed_by": self.changed_by,
            "reason": self.reason,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            component=data["component"],
            setting=data["setting"],
            value=data["value"],
            previous_value=data["previous_value"],
            changed_by=data["changed_by"],
            reason=data["reason"],
        )
