"""Records and enums inside the event types of setup. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self


class Direction(StrEnum):
    """Which way a setup expects the price to move. Set by the parser."""

    UNKNOWN = "UNKNOWN"
    LONG = "LONG"
    SHORT = "SHORT"


class MessageOutcome(StrEnum):
    """What came of a message. Set by the ingestion service."""

    UNKNOWN = "UNKNOWN"
    SETUPS_FOUND = "SETUPS_FOUND"
    NO_SETUP = "NO_SETUP"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedSetup:
    """One setup that the parser found in a message. Set by the parser."""

    setup_id: str | None = None
    """Id under which it is planned (setup.plan.created); null if not given yet. Set by the parser."""
    ticker: str
    """Ticker, upper case, e.g. 'AAPL'. Set by the author."""
    direction: Direction = Direction.UNKNOWN
    """Which way it expects the price to move. Set by the parser."""
    confidence: Decimal | None = None
    """How sure the parser is of its reading, 0 to 1; null where not rated."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "setup_id": self.setup_id,
            "ticker": self.ticker,
            "direction": self.direction,
            "confidence": self.confidence,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            setup_id=data["setup_id"],
            ticker=data["ticker"],
            direction=Direction(data["direction"]),
            confidence=data["confidence"],
        )
