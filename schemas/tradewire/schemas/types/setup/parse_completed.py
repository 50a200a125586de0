"""setup.parse.completed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import ParsedSetup


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseCompleted:
    """The parser read a message through; setup_count 0 means that it holds no setup. Published by the parser."""

    event_type: ClassVar[str] = "setup.parse.completed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "message_id"

    message_id: str
    """The chat service's id of the message. Set by the chat service."""
    channel_id: str | None = None
    """The chat service's id of the channel; null where it was not handed on. Set by the chat service."""
    setup_count: int
    """Number of setups found. Set by the parser."""
    ticker: str | None = None
    """Ticker of the first setup found, e.g. 'AAPL'; null if there is none. Set by the parser."""
    confidence: Decimal | None = None
    """Lowest confidence over the setups found, 0 to 1; null if there is none or it is not rated. Set by the parser."""
    setups: tuple[ParsedSetup, ...] = ()
    """The setups found, in the order of the text. Set by the parser."""
    parser: str | None = None
    """Parser and its version, e.g. 'aplus/3'; null where unnamed. Set by the parser."""
    duration_ms: int | None = None
    """How long parsing took, milliseconds; null where not measured. Set by the parser."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "message_id": self.message_id,
            "channel_id": self.channel_id,
            "setup_count": self.setup_count,
            "ticker": self.ticker,
            "confidence": self.confidence,
            "setups": [item.to_data() for item in self.setups],
            "parser": self.parser,
            "duration_ms": self.duration_ms,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            message_id=data["message_id"],
            channel_id=data["channel_id"],
            setup_count=data["setup_count"],
            ticker=data["ticker"],
            confidence=data["confidence"],
            setups=tuple(ParsedSetup.from_data(item) for item in data["setups"]),
            parser=data["parser"],
            duration_ms=data["duration_ms"],
        )
