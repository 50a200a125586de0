"""flows.step.recorded v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecorded:
    """One event of any domain, reduced to what correlation needs and re-keyed by its correlation id. Published by the
    correlator, once or more per event: (topic, partition, offset) tells repeats.
    """

    event_type: ClassVar[str] = "flows.step.recorded"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "correlation_id"

    event_id: str
    """Id of the event (ce_id). Set by its publisher."""
    event_type_: str
    """Type of the event (ce_type), e.g. 'trading.order.filled'. Set by its publisher."""
    source: str
    """Service that published the event (ce_source). Set by its publisher."""
    subject: str
    """Aggregate id of the event (ce_subject, the record key). Set by its publisher."""
    correlation_id: str
    """Id of the flow: one value for a root event and all that follows from it (ce_correlationid). Set by the root's
    publisher.
    """
    causation_id: str | None = None
    """Id of the event that this one was published in answer to (ce_causationid); null for a root. Set by its
    publisher.
    """
    occurred_ns: int
    """UTC epoch nanoseconds when the event occurred (ce_time). Set by its publisher."""
    recorded_ns: int
    """UTC epoch nanoseconds of the record's timestamp in Kafka (millisecond steps). Set by the broker."""
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
            "correlation_id": self.correlation_id,
            "causation_id": self.causation_id,
            "occurred_ns": self.occurred_ns,
            "recorded_ns": self.recorded_ns,
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
            correlation_id=data["correlation_id"],
            causation_id=data["causation_id"],
            occurred_ns=data["occurred_ns"],
            recorded_ns=data["recorded_ns"],
            topic=data["topic"],
            partition=data["partition"],
            offset=data["offset"],
        )
