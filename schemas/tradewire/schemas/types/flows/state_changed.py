"""flows.state.changed v2. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from .named_types import FlowRun, FlowStatus, FlowStep


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """The whole state of one flow after a change; the newest replaces all before. Published by the correlator to a
    compacted topic.
    """

    event_type: ClassVar[str] = "flows.state.changed"
    schema_version: ClassVar[int] = 2
    aggregate: ClassVar[str] = "correlation_id"

    correlation_id: str
    """Id of the flow: one value for a root event and all that follows from it (ce_correlationid). Set by the root's
    publisher.
    """
    flow_type: str | None = None
    """Name of the declared flow that began first; null for a flow without a declared one. Set by the correlator."""
    status: FlowStatus = FlowStatus.UNKNOWN
    """Where the flow stands. Set by the correlator."""
    root_event_id: str
    """Id of the event that began the flow; of the earliest one seen while the root has not come. Set by the
    correlator.
    """
    started_ns: int
    """UTC epoch nanoseconds when the earliest step occurred. Set by the correlator."""
    last_ns: int
    """UTC epoch nanoseconds when the latest step occurred. Set by the correlator."""
    duration_ns: int
    """last_ns minus started_ns, nanoseconds. Set by the correlator."""
    steps: tuple[FlowStep, ...] = ()
    """Every event seen, causes before effects, then by occurrence. Set by the correlator."""
    orphan_count: int = 0
    """Number of steps that are orphans. Set by the correlator."""
    truncated_count: int = 0
    """Number of steps seen and not kept, because a flow keeps a bounded number; 0 means that steps is complete. Set by
    the correlator.
    """
    runs: tuple[FlowRun, ...] = ()
    """Runs of declared flows in this flow, in order of their beginning. Set by the correlator."""
    applied: Mapping[str, int] = field(default_factory=dict)
    """Last source offset folded in, by 'topic:partition'; an event at or below it is a repeat and changes nothing. Set
    by the projection.
    """

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "correlation_id": self.correlation_id,
            "flow_type": self.flow_type,
            "status": self.status,
            "root_event_id": self.root_event_id,
            "started_ns": self.started_ns,
            "last_ns": self.last_ns,
            "duration_ns": self.duration_ns,
            "steps": [item.to_data() for item in self.steps],
            "orphan_count": self.orphan_count,
            "truncated_count": self.truncated_count,
            "runs": [item.to_data() for item in self.runs],
            "applied": dict(self.applied),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            correlation_id=data["correlation_id"],
            flow_type=data["flow_type"],
            status=FlowStatus(data["status"]),
            root_event_id=data["root_event_id"],
            started_ns=data["started_ns"],
            last_ns=data["last_ns"],
            duration_ns=data["duration_ns"],
            steps=tuple(FlowStep.from_data(item) for item in data["steps"]),
            orphan_count=data["orphan_count"],
            truncated_count=data["truncated_count"],
            runs=tuple(FlowRun.from_data(item) for item in data["runs"]),
            applied=data["applied"],
        )
