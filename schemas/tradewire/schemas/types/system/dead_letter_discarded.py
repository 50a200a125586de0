"""system.dead_letter.discarded v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterDiscarded:
    """A dead letter will be skipped when its key is re-driven. It stays readable until retention. Published by
    tradewire dlq, before the mark is written.
    """

    event_type: ClassVar[str] = "system.dead_letter.discarded"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "position"

    group: str
    """Consumer group whose dead letter it is. Set by the command."""
    position: str
    """Where the record lies, topic:partition:offset. Set by the command."""
    source_topic: str
    """Source topic. Set by the command."""
    source_partition: int
    """Source partition. Set by the command."""
    source_offset: int
    """Source offset. Set by the command."""
    letter_type: str = ""
    """Type of the event as its headers say; empty if they do not. Set by the command."""
    letter_id: str = ""
    """Id of the event as its headers say; empty if they do not. Set by the command."""
    operator: str
    """Who asked for it: user and host, or the name given. Set by the command."""
    reason: str = ""
    """Why, in the operator's words. Set by the operator."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "group": self.group,
            "position": self.position,
            "source_topic": self.source_topic,
            "source_partition": self.source_partition,
            "source_offset": self.source_offset,
            "letter_type": self.letter_type,
            "letter_id": self.letter_id,
            "operator": self.operator,
            "reason": self.reason,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            group=data["group"],
            position=data["position"],
            source_topic=data["source_topic"],
            source_partition=data["source_partition"],
            source_offset=data["source_offset"],
            letter_type=data["letter_type"],
            letter_id=data["letter_id"],
            operator=data["operator"],
            reason=data["reason"],
        )
