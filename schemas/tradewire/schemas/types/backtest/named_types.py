"""Records and enums inside the event types of backtest. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self


class BacktestOutcome(StrEnum):
    """How a backtest ended. COMPLETED: with a result; FAILED: an error ended it; CANCELLED: somebody stopped it. Set by
    the backtester.
    """

    UNKNOWN = "UNKNOWN"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Goal(StrEnum):
    """What is best. Set by the requester."""

    UNKNOWN = "UNKNOWN"
    MAXIMISE = "MAXIMISE"
    MINIMISE = "MINIMISE"


class SearchMethod(StrEnum):
    """How the space is searched. Set by the requester."""

    UNKNOWN = "UNKNOWN"
    GRID = "GRID"
    RANDOM = "RANDOM"
    BAYESIAN = "BAYESIAN"
    GENETIC = "GENETIC"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchDimension:
    """One parameter that may vary, over a range or a list. Set by the requester."""

    parameter: str
    """Name of the parameter. Set by the requester."""
    value_min: Decimal | None = None
    """Least value of the range, inclusive; null for a list. Set by the requester."""
    value_max: Decimal | None = None
    """Greatest value of the range, inclusive; null for a list. Set by the requester."""
    value_step: Decimal | None = None
    """Distance between values to try; null for any value in the range. Set by the requester."""
    choices: tuple[str, ...] = ()
    """The values to try, as text; empty for a range. Set by the requester."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "parameter": self.parameter,
            "value_min": self.value_min,
            "value_max": self.value_max,
            "value_step": self.value_step,
            "choices": list(self.choices),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            parameter=data["parameter"],
            value_min=data["value_min"],
            value_max=data["value_max"],
            value_step=data["value_step"],
            choices=tuple(data["choices"]),
        )
