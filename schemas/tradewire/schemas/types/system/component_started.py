"""system.component.started v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentStarted:
    """A component is up and does its work. Published by the component itself."""

    event_type: ClassVar[str] = "system.component.started"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "component"

    component: str
    """Part of the system that speaks, e.g. 'sink' or 'worker.correlation'. Set by the component."""
    instance: str | None = None
    """Which running copy of the component, e.g. a host name with a number; null where there is only one. Set by the
    component.
    """
    version: str | None = None
    """Version of its code; null where unknown. Set by the component."""
    host: str | None = None
    """Host it runs on; null where unknown. Set by the component."""
    process_id: int | None = None
    """Its process number on the host; null where unknown. Set by the component."""
    configuration_hash: str | None = None
    """Hash of the settings it runs with, to tell two runs apart; null where not computed. Set by the component."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "component": self.component,
            "instance": self.instance,
            "version": self.version,
            "host": self.host,
            "process_id": self.process_id,
            "configuration_hash": self.configuration_hash,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            component=data["component"],
            instance=data["instance"],
            version=data["version"],
            host=data["host"],
            process_id=data["process_id"],
            configuration_hash=data["configuration_hash"],
        )
