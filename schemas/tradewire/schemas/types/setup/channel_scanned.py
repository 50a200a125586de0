"""setup.channel.scanned v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelScanned:
    """The bot looked through a channel, at start or on request. Published by the chat bot."""

    event_type: ClassVar[str] = "setup.channel.scanned"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "channel_id"

    channel_id: str
    """The chat service's id of the channel. Set by the chat service."""
    channel_name: str | None = None
    """The channel's name at the time; null where not told. Set by the chat service."""
    guild_id: str | None = None
    """The chat service's id of the server that the channel belongs to; null for direct messages. Set by the chat
    service.
    """
    message_count: int
    """Number of messages looked at. Set by the chat bot."""
    new_message_count: int = 0
    """Number of them not received before. Set by the chat bot."""
    oldest_posted_ns: int | None = None
    """UTC epoch nanoseconds of the oldest message looked at; null if there was none. Set by the chat service."""
    newest_posted_ns: int | None = None
    """UTC epoch nanoseconds of the newest message looked at; null if there was none. Set by the chat service."""
    monitored: bool = False
    """True if the bot listens to this channel from now on. Set by the chat bot."""
    duration_ms: int | None = None
    """How long the scan took, milliseconds; null where not measured. Set by the chat bot."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "channel_id": self.channel_id,
            "channel_name": self.channel_name,
            "guild_id": self.guild_id,
            "message_count": self.message_count,
            "new_message_count": self.new_message_count,
            "oldest_posted_ns": self.oldest_posted_ns,
            "newest_posted_ns": self.newest_posted_ns,
            "monitored": self.monitored,
            "duration_ms": self.duration_ms,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            channel_id=data["channel_id"],
            channel_name=data["channel_name"],
            guild_id=data["guild_id"],
            message_count=data["message_count"],
            new_message_count=data["new_message_count"],
            oldest_posted_ns=data["oldest_posted_ns"],
            newest_posted_ns=data["newest_posted_ns"],
            monitored=data["monitored"],
            duration_ms=data["duration_ms"],
        )
