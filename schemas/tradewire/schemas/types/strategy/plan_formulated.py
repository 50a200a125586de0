"""strategy.plan.formulated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import PlanStep


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFormulated:
    """A strategy settled on what it is going to do over the coming time. Published by the strategy."""

    event_type: ClassVar[str] = "strategy.plan.formulated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "strategy"

    plan_id: str
    """Id of the plan, unique for ever. Set by the strategy."""
    strategy: str
    """Name of the strategy, stable over its runs. Set by the strategy runner."""
    analysis_id: str | None = None
    """Analysis that the plan rests on (strategy.analysis.completed); null where none. Set by the strategy."""
    summary: str | None = None
    """The plan in words; null where there are only steps. Set by the strategy."""
    steps: tuple[PlanStep, ...] = ()
    """What to do, in order. Set by the strategy."""
    risk_budget: Decimal | None = None
    """Most that the plan may lose, in currency; null where unlimited. Set by the strategy."""
    currency: str | None = None
    """Currency of risk_budget; null where there is none. Set by the strategy."""
    confidence: Decimal | None = None
    """How sure the strategy is, 0 to 1; null where it does not say."""
    valid_from_ns: int | None = None
    """UTC epoch nanoseconds from which the plan holds; null for at once. Set by the strategy."""
    valid_until_ns: int | None = None
    """UTC epoch nanoseconds after which the plan is void; null for until replaced. Set by the strategy."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "plan_id": self.plan_id,
            "strategy": self.strategy,
            "analysis_id": self.analysis_id,
            "summary": self.summary,
            "steps": [item.to_data() for item in self.steps],
            "risk_budget": self.risk_budget,
            "currency": self.currency,
            "confidence": self.confidence,
            "valid_from_ns": self.valid_from_ns,
            "valid_until_ns": self.valid_until_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            plan_id=data["plan_id"],
            strategy=data["strategy"],
            analysis_id=data["analysis_id"],
            summary=data["summary"],
            steps=tuple(PlanStep.from_data(item) for item in data["steps"]),
            risk_budget=data["risk_budget"],
            currency=data["currency"],
            confidence=data["confidence"],
            valid_from_ns=data["valid_from_ns"],
            valid_until_ns=data["valid_until_ns"],
        )
