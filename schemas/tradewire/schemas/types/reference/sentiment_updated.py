"""reference.sentiment.updated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentUpdated:
    """What people say about an instrument was measured anew. Published by the data adapter."""

    event_type: ClassVar[str] = "reference.sentiment.updated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "symbol"

    symbol: str
    """Instrument or theme talked about. Set by the data adapter."""
    score: Decimal
    """From -1, all against, to 1, all in favour. Set by the provider."""
    as_of_ns: int
    """UTC epoch nanoseconds that the data are valid for. Set by the provider."""
    magnitude: Decimal | None = None
    """How strong the feeling is whichever way, 0 or more; null where not measured. Set by the provider."""
    positive_ratio: Decimal | None = None
    """Share in favour, 0 to 1; null where not measured. Set by the provider."""
    negative_ratio: Decimal | None = None
    """Share against, 0 to 1; null where not measured. Set by the provider."""
    mention_count: int | None = None
    """Number of texts looked at; null where not counted. Set by the provider."""
    medium: str | None = None
    """Where people said it, e.g. 'news' or 'reddit'; null where mixed. Set by the provider."""
    window_ms: int | None = None
    """Length of time looked at, up to as_of_ns, milliseconds; null where unsaid. Set by the provider."""
    provider: str | None = None
    """Who delivers the data; null where unnamed. Set by the data adapter."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "symbol": self.symbol,
            "score": self.score,
            "as_of_ns": self.as_of_ns,
            "magnitude": self.magnitude,
            "positive_ratio": self.positive_ratio,
            "negative_ratio": self.negative_ratio,
            "mention_count": self.mention_count,
            "medium": self.medium,
            "window_ms": self.window_ms,
            "provider": self.provider,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            symbol=data["symbol"],
            score=data["score"],
            as_of_ns=data["as_of_ns"],
            magnitude=data["magnitude"],
            positive_ratio=data["positive_ratio"],
            negative_ratio=data["negative_ratio"],
            mention_count=data["mention_count"],
            medium=data["medium"],
            window_ms=data["window_ms"],
            provider=data["provider"],
        )
