"""reference.alternative.updated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class AlternativeUpdated:
    """A data set outside of prices, such as shipping, weather or search trends, has new figures. Published by the data
    adapter.
    """

    event_type: ClassVar[str] = "reference.alternative.updated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "dataset"

    dataset: str
    """Name of the data set, stable over its updates. Set by the data adapter."""
    as_of_ns: int
    """UTC epoch nanoseconds that the data are valid for. Set by the provider."""
    symbol: str | None = None
    """Instrument described; null where it is about none alone. Set by the data adapter."""
    figures: Mapping[str, Decimal] = field(default_factory=dict)
    """Figures by name, in the data set's own units. Set by the provider."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Words that go with them, by name. Set by the provider."""
    provider: str | None = None
    """Who delivers the data; null where unnamed. Set by the data adapter."""
    uri: str | None = None
    """Where the full data lie; null where they are all here. Set by the data adapter."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "dataset": self.dataset,
            "as_of_ns": self.as_of_ns,
            "symbol": self.symbol,
            "figures": dict(self.figures),
            "labels": dict(self.labels),
            "provider": self.provider,
            "uri": self.uri,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            dataset=data["dataset"],
            as_of_ns=data["as_of_ns"],
            symbol=data["symbol"],
            figures=data["figures"],
            labels=data["labels"],
            provider=data["provider"],
            uri=data["uri"],
        )
