"""system.redrive.requested v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveRequested:
    """The dead letters of a key are to be handled again, by the failing group alone. Published by tradewire dlq and
    tradewire recover, before the request is written.
    """

    event_type: ClassVar[str] = "system.redrive.requested"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "parked_key"

    group: str
    """Consumer group that will handle them. Set by the command."""
    parked_key: str
    """topic:partition:key, the key as text; of a record without a key @ and its offset. Set by the command."""
    source_topic: str
    """Source topic. Set by the command."""
    source_partition: int
    """Source partition. Set by the command."""
    parked_from: int
    """Source offset of the record that failed first. Set by the command."""
    letter_count: int
    """Letters that waited when it was asked for. Set by the command."""
    operator: str
    """Who asked for it: user and host, or the name given. Set by the command."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "group": self.group,
            "parked_key": self.parked_key,
            "source_topic": self.source_topic,
            "source_partition": self.source_partition,
            "parked_from": self.parked_from,
            "letter_count": self.letter_count,
            "operator": self.operator,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            group=data["group"],
            parked_key=data["parked_key"],
            source_topic=data["source_topic"],
            source_partition=data["source_partition"],
            parked_from=data["parked_from"],
            letter_count=data["letter_count"],
            operator=data["operator"],
        )
