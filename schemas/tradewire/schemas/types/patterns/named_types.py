"""Records and enums inside the event types of patterns. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEvent:
    """An event that a pattern remembers. Set by the pattern."""

    seen_ns: int
    """UTC epoch nanoseconds when it occurred. Set by the pattern."""
    seen_id: str
    """Id of the event. Set by the pattern."""
    seen_correlation: str
    """Its correlation id. Set by the pattern."""
    seen_type: str
    """Type of the event. Set by the pattern."""
    seen_value: Decimal | None = None
    """Value of the watched field; null for patterns without one. Set by the pattern."""
    slot: int = 0
    """What it is remembered for; the meaning is the pattern's own. Set by the pattern."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "seen_ns": self.seen_ns,
            "seen_id": self.seen_id,
            "seen_correlation": self.seen_correlation,
            "seen_type": self.seen_type,
            "seen_value": self.seen_value,
            "slot": self.slot,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            seen_ns=data["seen_ns"],
            seen_id=data["seen_id"],
            seen_correlation=data["seen_correlation"],
            seen_type=data["seen_type"],
            seen_value=data["seen_value"],
            slot=data["slot"],
        )
