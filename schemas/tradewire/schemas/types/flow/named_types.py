"""Records and enums inside the event types of flow. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A declared step that was reached. Set by the correlator."""

    step: str
    """Name of the step in the declaration. Set by the correlator."""
    reached_by: str
    """Id of the event that reached it. Set by the correlator."""
    reached_type: str
    """Type of that event. Set by the correlator."""
    latency_ns: int
    """Its occurrence minus that of the step before (of the beginning for the first), nanoseconds; below zero if clocks
    disagree. Set by the correlator.
    """
    late: bool = False
    """True if that took longer than declared. Set by the correlator."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "step": self.step,
            "reached_by": self.reached_by,
            "reached_type": self.reached_type,
            "latency_ns": self.latency_ns,
            "late": self.late,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            step=data["step"],
            reached_by=data["reached_by"],
            reached_type=data["reached_type"],
            latency_ns=data["latency_ns"],
            late=data["late"],
        )
