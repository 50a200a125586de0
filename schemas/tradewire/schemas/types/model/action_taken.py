"""model.action.taken v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTaken:
    """A learning agent chose an action. Published by the agent."""

    event_type: ClassVar[str] = "model.action.taken"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "model_id"

    model_id: str
    """Name of the model, stable over its versions. Set by the model service."""
    model_version: str
    """Version of the model, unique per model_id. Set by the model service."""
    action: str
    """What it chose, in its own words, e.g. 'buy' or 'hold'. Set by the agent."""
    symbol: str | None = None
    """Instrument acted on, as the venue writes it; null where none. Set by the agent."""
    episode_id: str | None = None
    """Episode that the step belongs to; null outside episodes. Set by the agent."""
    step: int | None = None
    """Number of the step in its episode, from 0; null outside episodes. Set by the agent."""
    state: Mapping[str, Decimal] = field(default_factory=dict)
    """What it saw, by feature name. Set by the agent."""
    action_values: Mapping[str, Decimal] = field(default_factory=dict)
    """How it rated each action, by action. Set by the agent."""
    probability: Decimal | None = None
    """Probability with which it chose this action, 0 to 1; null where not known. Set by the agent."""
    explored: bool = False
    """True if it chose at random in order to learn. Set by the agent."""
    reward: Decimal | None = None
    """Reward of the step before, in the agent's own unit; null where not known yet. Set by the agent."""
    decision_id: str | None = None
    """Decision that came of it (trading.decision.made); null where none. Set by the agent."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "model_id": self.model_id,
            "model_version": self.model_version,
            "action": self.action,
            "symbol": self.symbol,
            "episode_id": self.episode_id,
            "step": self.step,
            "state": dict(self.state),
            "action_values": dict(self.action_values),
            "probability": self.probability,
            "explored": self.explored,
            "reward": self.reward,
            "decision_id": self.decision_id,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            model_id=data["model_id"],
            model_version=data["model_version"],
            action=data["action"],
            symbol=data["symbol"],
            episode_id=data["episode_id"],
            step=data["step"],
            state=data["state"],
            action_values=data["action_values"],
            probability=data["probability"],
            explored=data["explored"],
            reward=data["reward"],
            decision_id=data["decision_id"],
        )
