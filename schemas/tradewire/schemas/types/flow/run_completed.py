"""flow.run.completed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from .named_types import Hop


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCompleted:
    """A declared flow reached its last step, and all steps before. Published by the correlator, once per run; a repeat
    has the same event id.
    """

    event_type: ClassVar[str] = "flow.run.completed"
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
    duration_ns: int
    """From the beginning to the event that ended the run, by occurrence, nanoseconds. Set by the correlator."""
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
            "duration_ns": self.duration_ns,
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
            duration_ns=data["duration_ns"],
            hops=tuple(Hop.from_data(item) for item in data["hops"]),
        )
