"""reference.economic.updated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import Importance


@dataclass(frozen=True, slots=True, kw_only=True)
class EconomicUpdated:
    """An economic indicator was published, revised or forecast. Published by the data adapter."""

    event_type: ClassVar[str] = "reference.economic.updated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "region:indicator"

    region: str
    """Country or area, ISO 3166 where there is a code, e.g. 'US'. Set by the data adapter."""
    indicator: str
    """Name of the indicator, e.g. 'cpi_yoy'. Set by the data adapter."""
    period: str
    """Time that the figure is about, e.g. '2024-07' or '2024-Q2'. Set by the provider."""
    actual: Decimal | None = None
    """The figure, in unit; null before it is out. Set by the provider."""
    forecast: Decimal | None = None
    """The figure expected, in unit; null where nobody forecast it. Set by the provider."""
    previous: Decimal | None = None
    """The figure of the period before, in unit, as now revised; null where unsaid. Set by the provider."""
    unit: str | None = None
    """Unit of all three, e.g. 'percent', 'index', a currency code; null where the name says it. Set by the data
    adapter.
    """
    importance: Importance = Importance.UNKNOWN
    """How far markets care about it. Set by the provider."""
    release_time_ns: int | None = None
    """UTC epoch nanoseconds at which the figure comes or came out; null where unsaid. Set by the provider."""
    provider: str | None = None
    """Who delivers the data; null where unnamed. Set by the data adapter."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "region": self.region,
            "indicator": self.indicator,
            "period": self.period,
            "actual": self.actual,
            "forecast": self.forecast,
            "previous": self.previous,
            "unit": self.unit,
            "importance": self.importance,
            "release_time_ns": self.release_time_ns,
            "provider": self.provider,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            region=data["region"],
            indicator=data["indicator"],
            period=data["period"],
            actual=data["actual"],
            forecast=data["forecast"],
            previous=data["previous"],
            unit=data["unit"],
            importance=Importance(data["importance"]),
            release_time_ns=data["release_time_ns"],
            provider=data["provider"],
        )
