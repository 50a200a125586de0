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
