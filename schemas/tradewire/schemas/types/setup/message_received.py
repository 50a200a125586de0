"""setup.message.received v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    """A chat message reached the bot. Usually the root of a flow. Published by the chat bot."""

    event_type: ClassVar[str] = "setup.message.received"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "message_id"

    message_id: str
    """The chat service's id of the message. Set by the chat service."""
    channel_id: str
    """The chat service's id of the channel. Set by the chat service."""
    channel_name: str | None = None
    """The channel's name at the time; null where not told. Set by the chat service."""
    guild_id: str | None = None
    """The chat service's id of the server that the channel belongs to; null for direct messages. Set by the chat
    service.
    """
    author: str
    """Display name of who wrote it, at the time. Set by the chat service."""
    author_id: str | None = None
    """The chat service's id of who wrote it; null where not told. Set by the chat service."""
    author_is_bot: bool = False
    """True if a program wrote it. Set by the chat service."""
    content: str
    """The text, unchanged. Set by the author."""
    attachment_urls: tuple[str, ...] = ()
    """Where files sent with it lie. Set by the chat service."""
    reply_to_message_id: str | None = None
    """Message that it answers; null where it answers none. Set by the chat service."""
    edited: bool = False
    """True if this is a later wording of a message received before. Set by the chat bot."""
    posted_ns: int
    """UTC epoch nanoseconds when it was written, by the chat service's clock. Set by the chat service."""
    received_ns: int | None = None
    """UTC epoch nanoseconds when it reached the bot, by the bot's clock; null where not noted. Set by the chat bot."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "message_id": self.message_id,
            "channel_id": self.channel_id,
            "channel_name": self.channel_name,
            "guild_id": self.guild_id,
            "author": self.author,
            "author_id": self.author_id,
            "author_is_bot": self.author_is_bot,
            "content": self.content,
            "attachment_urls": list(self.attachment_urls),
            "reply_to_message_id": self.reply_to_message_id,
            "edited": self.edited,
            "posted_ns": self.posted_ns,
            "received_ns": self.received_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            message_id=data["message_id"],
            channel_id=data["channel_id"],
            channel_name=data["channel_name"],
            guild_id=data["guild_id"],
            author=data["author"],
            author_id=data["author_id"],
            author_is_bot=data["author_is_bot"],
            content=data["content"],
            attachment_urls=tuple(data["attachment_urls"]),
            reply_to_message_id=data["reply_to_message_id"],
            edited=data["edited"],
            posted_ns=data["posted_ns"],
            received_ns=data["received_ns"],
        )
