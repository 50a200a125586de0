"""Records and enums inside the event types of flows. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class FlowStatus(StrEnum):
    """Where a flow stands. OPEN: more may come; COMPLETED: the declared last event came; STALLED: an expected event
    missed its deadline; FAILED: an event of the flow says so. Set by the correlator.
    """

    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    COMPLETED = "COMPLETED"
    STALLED = "STALLED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRun:
    """One run of a declared flow. Set by the correlator."""

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
    begun_recorded_ns: int
    """UTC epoch nanoseconds of that event's timestamp in Kafka. Set by the correlator."""
    run_status: FlowStatus = FlowStatus.UNKNOWN
    """Where the run stands. COMPLETED and FAILED are final. Set by the correlator."""
    quiet: bool = False
    """True if a replay began or changed it: it has no deadlines and raises nothing. Set by the correlator."""
    waiting_step: str | None = None
    """Declared step that is waited for; null when the run has ended. Set by the correlator."""
    deadline_ns: int | None = None
    """UTC epoch nanoseconds, by the broker's clock, until which it is waited for; null without a deadline and once it
    has stalled. Set by the correlator.
    """
    failed_by: str | None = None
    """Id of the event that failed it. Set by the correlator."""
    reached: tuple[ReachedStep, ...] = ()
    """The steps reached, in declared order. Set by the correlator."""
    stalls: tuple[Stall, ...] = ()
    """Deadlines that passed, in order; the step may have come later. Set by the correlator."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "run_id": self.run_id,
            "flow_name": self.flow_name,
            "run_subject": self.run_subject,
            "begin_event_id": self.begin_event_id,
            "begun_ns": self.begun_ns,
            "begun_recorded_ns": self.begun_recorded_ns,
            "run_status": self.run_status,
            "quiet": self.quiet,
            "waiting_step": self.waiting_step,
            "deadline_ns": self.deadline_ns,
            "failed_by": self.failed_by,
            "reached": [item.to_data() for item in self.reached],
            "stalls": [item.to_data() for item in self.stalls],
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
            begun_recorded_ns=data["begun_recorded_ns"],
            run_status=FlowStatus(data["run_status"]),
            quiet=data["quiet"],
            waiting_step=data["waiting_step"],
            deadline_ns=data["deadline_ns"],
            failed_by=data["failed_by"],
            reached=tuple(ReachedStep.from_data(item) for item in data["reached"]),
            stalls=tuple(Stall.from_data(item) for item in data["stalls"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStep:
    """One event in a flow and its place in the tree of causes. Set by the correlator."""

    event_id: str
    """Id of the event (ce_id). Set by its publisher."""
    event_type_: str
    """Type of the event (ce_type), e.g. 'trading.order.filled'. Set by its publisher."""
    source: str
    """Service that published the event (ce_source). Set by its publisher."""
    subject: str
    """Aggregate id of the event (ce_subject, the record key). Set by its publisher."""
    causation_id: str | None = None
    """Id of the event that this one was published in answer to (ce_causationid); null for a root. Set by its
    publisher.
    """
    occurred_ns: int
    """UTC epoch nanoseconds when the event occurred (ce_time). Set by its publisher."""
    recorded_ns: int
    """UTC epoch nanoseconds of the record's timestamp in Kafka (millisecond steps). Set by the broker."""
    depth: int
    """Distance from the root along causes: 0 for the root and for orphans. Set by the correlator."""
    hop_latency_ns: int | None = None
    """occurred_ns minus that of its cause, nanoseconds, below zero if clocks disagree; null for the root and for
    orphans. Set by the correlator.
    """
    orphan: bool = False
    """True while the event that it names as its cause has not been seen. Set by the correlator."""
    topic: str
    """Topic that holds the event. Set by the correlator."""
    partition: int
    """Partition that holds the event. Set by the correlator."""
    offset: int
    """Offset of the event in its partition. Set by the correlator."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "event_id": self.event_id,
            "event_type": self.event_type_,
            "source": self.source,
            "subject": self.subject,
            "causation_id": self.causation_id,
            "occurred_ns": self.occurred_ns,
            "recorded_ns": self.recorded_ns,
            "depth": self.depth,
            "hop_latency_ns": self.hop_latency_ns,
            "orphan": self.orphan,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            event_id=data["event_id"],
            event_type_=data["event_type"],
            source=data["source"],
            subject=data["subject"],
            causation_id=data["causation_id"],
            occurred_ns=data["occurred_ns"],
            recorded_ns=data["recorded_ns"],
            depth=data["depth"],
            hop_latency_ns=data["hop_latency_ns"],
            orphan=data["orphan"],
            topic=data["topic"],
            partition=data["partition"],
            offset=data["offset"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachedStep:
    """A declared step and the earliest event that reached it. Set by the correlator."""

    step: str
    """Name of the step in the declaration. Set by the correlator."""
    reached_by: str
    """Id of the event. Set by the correlator."""
    reached_type: str
    """Type of the event. Set by the correlator."""
    reached_ns: int
    """UTC epoch nanoseconds when it occurred. Set by the correlator."""
    reached_recorded_ns: int
    """UTC epoch nanoseconds of its timestamp in Kafka. Set by the correlator."""
    late: bool = False
    """True if it occurred later than declared after the step before. Set by the correlator."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "step": self.step,
            "reached_by": self.reached_by,
            "reached_type": self.reached_type,
            "reached_ns": self.reached_ns,
            "reached_recorded_ns": self.reached_recorded_ns,
            "late": self.late,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            step=data["step"],
            reached_by=data["reached_by"],
            reached_type=data["reached_type"],
            reached_ns=data["reached_ns"],
            reached_recorded_ns=data["reached_recorded_ns"],
            late=data["late"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStep:
    """One event. Set by the correlator."""

    correlation_id: str
    """Id of the flow: one value for a root event and all that follows from it (ce_correlationid). Set by the root's
    publisher.
    """
    event_id: str
    """Id of the event (ce_id). Set by its publisher."""
    event_type_: str
    """Type of the event (ce_type), e.g. 'trading.order.filled'. Set by its publisher."""
    source: str
    """Service that published the event (ce_source). Set by its publisher."""
    subject: str
    """Aggregate id of the event (ce_subject, the record key). Set by its publisher."""
    causation_id: str | None = None
    """Id of the event that this one was published in answer to (ce_causationid); null for a root. Set by its
    publisher.
    """
    occurred_ns: int
    """UTC epoch nanoseconds when the event occurred (ce_time). Set by its publisher."""
    recorded_ns: int
    """UTC epoch nanoseconds of the record's timestamp in Kafka (millisecond steps). Set by the broker."""
    offset: int
    """Offset of the event in its partition. Set by the correlator."""
    replayed: bool = False
    """Whether the event is one that a replay wrote again: it is folded, and raises nothing. Set by the correlator."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "correlation_id": self.correlation_id,
            "event_id": self.event_id,
            "event_type": self.event_type_,
            "source": self.source,
            "subject": self.subject,
            "causation_id": self.causation_id,
            "occurred_ns": self.occurred_ns,
            "recorded_ns": self.recorded_ns,
            "offset": self.offset,
            "replayed": self.replayed,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            correlation_id=data["correlation_id"],
            event_id=data["event_id"],
            event_type_=data["event_type"],
            source=data["source"],
            subject=data["subject"],
            causation_id=data["causation_id"],
            occurred_ns=data["occurred_ns"],
            recorded_ns=data["recorded_ns"],
            offset=data["offset"],
            replayed=data["replayed"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """A deadline that passed. Set by the correlator."""

    step: str
    """Step that was waited for. Set by the correlator."""
    deadline_ns: int
    """UTC epoch nanoseconds of the deadline. Set by the correlator."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "step": self.step,
            "deadline_ns": self.deadline_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            step=data["step"],
            deadline_ns=data["deadline_ns"],
        )
