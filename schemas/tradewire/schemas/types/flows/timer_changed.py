"""flows.timer.changed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerChanged:
    """When the correlator has to look at a flow again. A hint: what is due is said by the flow's own state; deleted
    when nothing is waited for. Published by the correlator to a compacted topic.
    """

    event_type: ClassVar[str] = "flows.timer.changed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "correlation_id"

    correlation_id: str
    """Id of the flow. Set by the correlator."""
    deadline_ns: int
    """UTC epoch nanoseconds of the earliest deadline of its runs. Set by the correlator."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "correlation_id": self.correlation_id,
            "deadline_ns": self.deadline_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            correlation_id=data["correlation_id"],
            deadline_ns=data["deadline_ns"],
        )
