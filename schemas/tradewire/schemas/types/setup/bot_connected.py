"""setup.bot.connected v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class BotConnected:
    """The bot has a working connection to the chat service, new or again. Published by the chat bot."""

    event_type: ClassVar[str] = "setup.bot.connected"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "bot_id"

    bot_id: str
    """The chat service's id of the bot. Set by the chat service."""
    bot_name: str | None = None
    """The bot's display name; null where not told. Set by the chat service."""
    session_id: str | None = None
    """The chat service's id of the connection; null where it gives none."""
    resumed: bool = False
    """True if an earlier session was taken up again and no message was missed. Set by the chat service."""
    guild_count: int | None = None
    """Number of servers the bot is in; null where not told. Set by the chat service."""
    channel_count: int | None = None
    """Number of channels the bot listens to; null where not counted. Set by the chat bot."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "bot_id": self.bot_id,
            "bot_name": self.bot_name,
            "session_id": self.session_id,
            "resumed": self.resumed,
            "guild_count": self.guild_count,
            "channel_count": self.channel_count,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            bot_id=data["bot_id"],
            bot_name=data["bot_name"],
            session_id=data["session_id"],
            resumed=data["resumed"],
            guild_count=data["guild_count"],
            channel_count=data["channel_count"],
        )
