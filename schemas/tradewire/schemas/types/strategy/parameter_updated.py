"""strategy.parameter.updated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterUpdated:
    """A parameter of a strategy has a new value from now on. Published by whoever changes it, one event per
    parameter.
    """

    event_type: ClassVar[str] = "strategy.parameter.updated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "strategy"

    strategy: str
    """Name of the strategy, stable over its runs. Set by the strategy runner."""
    parameter: str
    """Name of the parameter. Set by whoever changes it."""
    value: str
    """The new value as text. Set by whoever changes it."""
    previous_value: str | None = None
    """The value before as text; null for a parameter that is new. Set by whoever changes it."""
    run_id: str | None = None
    """Run that this belongs to (strategy.run.started); null outside a run. Set by the strategy runner."""
    changed_by: str | None = None
    """Person or service that changed it; null where unknown. Set by whoever changes it."""
    reason: str | None = None
    """Why; null where unsaid. Set by whoever changes it."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "strategy": self.strategy,
            "parameter": self.parameter,
            "value": self.value,
            "previous_value": self.previous_value,
            "run_id": self.run_id,
            "changed_by": self.changed_by,
            "reason": self.reason,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            strategy=data["strategy"],
            parameter=data["parameter"],
            value=data["value"],
            previous_value=data["previous_value"],
            run_id=data["run_id"],
            changed_by=data["changed_by"],
            reason=data["reason"],
        )
