"""setup.parse.failed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseFailed:
    """The parser could not read a message; nothing was planned from it. Published by the parser."""

    event_type: ClassVar[str] = "setup.parse.failed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "message_id"

    message_id: str
    """The chat service's id of the message. Set by the chat service."""
    channel_id: str | None = None
    """The chat service's id of the channel; null where it was not handed on. Set by the chat service."""
    error_type: str
    """Kind of failure, stable for grouping, e.g. 'UnknownTicker'. Set by the parser."""
    message: str
    """What went wrong, in words. Set by the parser."""
    line: int | None = None
    """Line of the text that it failed at, from 1; null where it is not one line. Set by the parser."""
    excerpt: str | None = None
    """The part of the text that it failed at; null where it is not one part. Set by the parser."""
    parser: str | None = None
    """Parser and its version, e.g. 'aplus/3'; null where unnamed. Set by the parser."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "message_id": self.message_id,
            "channel_id": self.channel_id,
            "error_type": self.error_type,
            "message": self.message,
            "line": self.line,
            "excerpt": self.excerpt,
            "parser": self.parser,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            message_id=data["message_id"],
            channel_id=data["channel_id"],
            error_type=data["error_type"],
            message=data["message"],
            line=data["line"],
            excerpt=data["excerpt"],
            parser=data["parser"],
        )
