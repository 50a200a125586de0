"""strategy.analysis.completed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import Outlook


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisCompleted:
    """An analyst, human or not, finished looking at one or more instruments. Published by the analyst."""

    event_type: ClassVar[str] = "strategy.analysis.completed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "analysis_id"

    analysis_id: str
    """Id of the analysis, unique for ever. Set by the analyst."""
    analyst: str
    """Who analysed: a service, a model or a person. Set by the analyst."""
    symbols: tuple[str, ...] = ()
    """Instruments analysed; empty for the market as a whole. Set by the analyst."""
    kind: str | None = None
    """Kind of analysis, lower case, e.g. 'technical', 'fundamental', 'sentiment'; null where unsaid. Set by the
    analyst.
    """
    outlook: Outlook = Outlook.UNKNOWN
    """What the analysis expects. Set by the analyst."""
    confidence: Decimal | None = None
    """How sure the analyst is, 0 to 1; null where unsaid."""
    summary: str | None = None
    """The result in words; null where there are only figures. Set by the analyst."""
    metrics: Mapping[str, Decimal] = field(default_factory=dict)
    """The result in figures, by name, in the analyst's own units. Set by the analyst."""
    period_start_ns: int | None = None
    """UTC epoch nanoseconds of the start of the data looked at, inclusive; null where unsaid. Set by the analyst."""
    period_end_ns: int | None = None
    """UTC epoch nanoseconds of the end of the data looked at, exclusive; null where unsaid. Set by the analyst."""
    duration_ms: int | None = None
    """How long the analysis took, milliseconds; null where not measured. Set by the analyst."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "analysis_id": self.analysis_id,
            "analyst": self.analyst,
            "symbols": list(self.symbols),
            "kind": self.kind,
            "outlook": self.outlook,
            "confidence": self.confidence,
            "summary": self.summary,
            "metrics": dict(self.metrics),
            "period_start_ns": self.period_start_ns,
            "period_end_ns": self.period_end_ns,
            "duration_ms": self.duration_ms,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            analysis_id=data["analysis_id"],
            analyst=data["analyst"],
            symbols=tuple(data["symbols"]),
            kind=data["kind"],
            outlook=Outlook(data["outlook"]),
            confidence=data["confidence"],
            summary=data["summary"],
            metrics=data["metrics"],
            period_start_ns=data["period_start_ns"],
            period_end_ns=data["period_end_ns"],
            duration_ms=data["duration_ms"],
        )
