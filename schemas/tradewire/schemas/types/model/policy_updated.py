"""model.policy.updated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyUpdated:
    """The policy of a learning agent changed. Published by the agent's learner."""

    event_type: ClassVar[str] = "model.policy.updated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "model_id"

    model_id: str
    """Name of the model, stable over its versions. Set by the model service."""
    model_version: str
    """Version of the model, unique per model_id. Set by the model service."""
    previous_version: str | None = None
    """Version it replaces; null for the first. Set by the learner."""
    algorithm: str | None = None
    """Learning method, e.g. 'ppo'; null where unsaid. Set by the learner."""
    episode_count: int | None = None
    """Number of episodes learned from so far; null where not counted. Set by the learner."""
    step_count: int | None = None
    """Number of steps learned from so far; null where not counted. Set by the learner."""
    reward_mean: Decimal | None = None
    """Mean reward of an episode lately, in the agent's own unit; null where not measured. Set by the learner."""
    loss: Decimal | None = None
    """Loss of the last update, in the agent's own unit; null where not measured. Set by the learner."""
    exploration_ratio: Decimal | None = None
    """Share of actions taken at random, 0 to 1; null where it has no such share. Set by the learner."""
    metrics: Mapping[str, Decimal] = field(default_factory=dict)
    """Further figures by name. Set by the learner."""
    artifact_uri: str | None = None
    """Where the policy lies; null where only the model service finds it. Set by the learner."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "model_id": self.model_id,
            "model_version": self.model_version,
            "previous_version": self.previous_version,
            "algorithm": self.algorithm,
            "episode_count": self.episode_count,
            "step_count": self.step_count,
            "reward_mean": self.reward_mean,
            "loss": self.loss,
            "exploration_ratio": self.exploration_ratio,
            "metrics": dict(self.metrics),
            "artifact_uri": self.artifact_uri,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            model_id=data["model_id"],
            model_version=data["model_version"],
            previous_version=data["previous_version"],
            algorithm=data["algorithm"],
            episode_count=data["episode_count"],
            step_count=data["step_count"],
            reward_mean=data["reward_mean"],
            loss=data["loss"],
            exploration_ratio=data["exploration_ratio"],
            metrics=data["metrics"],
            artifact_uri=data["artifact_uri"],
        )
