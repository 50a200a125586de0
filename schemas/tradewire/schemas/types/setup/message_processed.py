"""setup.message.processed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from .named_types import MessageOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageProcessed:
    """Everything that was to be done with a message is done. Published by the ingestion service."""

    event_type: ClassVar[str] = "setup.message.processed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "message_id"

    message_id: str
    """The chat service's id of the message. Set by the chat service."""
    channel_id: str
    """The chat service's id of the channel. Set by the chat service."""
    outcome: MessageOutcome = MessageOutcome.UNKNOWN
    """What came of it. Set by the ingestion service."""
    setup_count: int = 0
    """Number of setups made from it. Set by the ingestion service."""
    reason: str | None = None
    """Why it was skipped or failed; else null. Set by the ingestion service."""
    duration_ms: int | None = None
    """Time from receipt to the end of the work, milliseconds; null where not measured. Set by the ingestion service."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "message_id": self.message_id,
            "channel_id": self.channel_id,
            "outcome": self.outcome,
            "setup_count": self.setup_count,
            "reason": self.reason,
            "duration_ms": self.duration_ms,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            message_id=data["message_id"],
            channel_id=data["channel_id"],
            outcome=MessageOutcome(data["outcome"]),
            setup_count=data["setup_count"],
            reason=data["reason"],
            duration_ms=data["duration_ms"],
        )
