"""flow.run.repaired v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from .named_types import Hop


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRepaired:
    """The step that a stalled flow waited for came after all. Published by the correlator, once per run and step; a
    repeat has the same event id.
    """

    event_type: ClassVar[str] = "flow.run.repaired"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "run_id"

    run_id: str
    """Id of the run: derived from flow, declaration and aggregate, so that it is the same after any restart. Set by the
    correlator.
    """
    flow_name: str
    """Name of the declared flow, e.g. 'order'. Set by the correlator."""
    run_subject: str
    """Aggregate that the run is of; empty where the flow is declared per correlation. Set by the correlator."""
    begin_event_id: str
    """Id of the event that began the run. Set by the correlator."""
    begun_ns: int
    """UTC epoch nanoseconds when that event occurred. Set by the correlator."""
    repaired_step: str
    """Step that was missing. Set by the correlator."""
    repaired_by: str
    """Id of the event that reached it. Set by the correlator."""
    late_by_ns: int
    """Recorded time of that event minus the deadline, nanoseconds. Set by the correlator."""
    completed: bool = False
    """True if the run is complete with it. Set by the correlator."""
    hops: tuple[Hop, ...] = ()
    """The steps reached, in declared order. Set by the correlator."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "run_id": self.run_id,
            "flow_name": self.flow_name,
            "run_subject": self.run_subject,
            "begin_event_id": self.begin_event_id,
            "begun_ns": self.begun_ns,
            "repaired_step": self.repaired_step,
            "repaired_by": self.repaired_by,
            "late_by_ns": self.late_by_ns,
            "completed": self.completed,
            "hops": [item.to_data() for item in self.hops],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            run_id=data["run_id"],
            flow_name=data["flow_name"],
            run_subject=data["run_subject"],
            begin_event_id=data["begin_event_id"],
            begun_ns=data["begun_ns"],
            repaired_step=data["repaired_step"],
            repaired_by=data["repaired_by"],
            late_by_ns=data["late_by_ns"],
            completed=data["completed"],
            hops=tuple(Hop.from_data(item) for item in data["hops"]),
        )
