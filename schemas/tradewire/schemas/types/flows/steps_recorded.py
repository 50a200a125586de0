"""flows.steps.recorded v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from .named_types import RecordedStep


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsRecorded:
    """Events of one partition of a domain topic, reduced to what correlation needs, all of flows that are kept in the
    partition of flows.steps in which this record lies. Published by the correlator, each step once or more: (topic,
    partition, offset) tells repeats.
    """

    event_type: ClassVar[str] = "flows.steps.recorded"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "topic"

    topic: str
    """Topic that holds the events. Set by the correlator."""
    partition: int
    """Partition that holds the events. Set by the correlator."""
    steps: tuple[RecordedStep, ...] = ()
    """The events, in the order of their offsets. Set by the correlator."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "steps": [item.to_data() for item in self.steps],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            topic=data["topic"],
            partition=data["partition"],
            steps=tuple(RecordedStep.from_data(item) for item in data["steps"]),
        )
