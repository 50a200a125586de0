"""setup.message.stored v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageStored:
    """The text of a message is kept safe in the ingestion store. Published by the ingestion service."""

    event_type: ClassVar[str] = "setup.message.stored"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "message_id"

    message_id: str
    """The chat service's id of the message. Set by the chat service."""
    channel_id: str
    """The chat service's id of the channel. Set by the chat service."""
    store_id: str | None = None
    """Id of the message in the store; null where it is message_id. Set by the ingestion service."""
    duplicate: bool = False
    """True if the store held the message already. Set by the ingestion service."""
    content_length: int | None = None
    """Length of the text in characters; null where not counted. Set by the ingestion service."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "message_id": self.message_id,
            "channel_id": self.channel_id,
            "store_id": self.store_id,
            "duplicate": self.duplicate,
            "content_length": self.content_length,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            message_id=data["message_id"],
            channel_id=data["channel_id"],
            store_id=data["store_id"],
            duplicate=data["duplicate"],
            content_length=data["content_length"],
        )
