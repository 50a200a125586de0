"""model.training.completed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCompleted:
    """A new version of a model is trained and ready for use. Published by the trainer."""

    event_type: ClassVar[str] = "model.training.completed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "model_id"

    model_id: str
    """Name of the model, stable over its versions. Set by the model service."""
    model_version: str
    """Version of the model, unique per model_id. Set by the model service."""
    algorithm: str | None = None
    """Kind of model, e.g. 'gradient_boosting'; null where unsaid. Set by the trainer."""
    symbols: tuple[str, ...] = ()
    """Instruments it was trained on. Set by the trainer."""
    dataset: str | None = None
    """Name or address of the training data; null where unsaid. Set by the trainer."""
    sample_count: int | None = None
    """Number of samples trained on; null where not counted. Set by the trainer."""
    data_start_ns: int | None = None
    """UTC epoch nanoseconds of the start of the training data, inclusive; null where unsaid. Set by the trainer."""
    data_end_ns: int | None = None
    """UTC epoch nanoseconds of the end of the training data, exclusive; null where unsaid. Set by the trainer."""
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    """Settings of the training, by name, as text. Set by the trainer."""
    metrics: Mapping[str, Decimal] = field(default_factory=dict)
    """How good it is, by name, e.g. 'accuracy', 'auc', 'loss'. Set by the trainer."""
    promoted: bool = False
    """True if it is used for trading from now on. Set by the model service."""
    artifact_uri: str | None = None
    """Where the model lies; null where only the model service finds it. Set by the trainer."""
    duration_ms: int | None = None
    """How long training took, milliseconds; null where not measured. Set by the trainer."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "model_id": self.model_id,
            "model_version": self.model_version,
            "algorithm": self.algorithm,
            "symbols": list(self.symbols),
            "dataset": self.dataset,
            "sample_count": self.sample_count,
            "data_start_ns": self.data_start_ns,
            "data_end_ns": self.data_end_ns,
            "hyperparameters": dict(self.hyperparameters),
            "metrics": dict(self.metrics),
            "promoted": self.promoted,
            "artifact_uri": self.artifact_uri,
            "duration_ms": self.duration_ms,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            model_id=data["model_id"],
            model_version=data["model_version"],
            algorithm=data["algorithm"],
            symbols=tuple(data["symbols"]),
            dataset=data["dataset"],
            sample_count=data["sample_count"],
            data_start_ns=data["data_start_ns"],
            data_end_ns=data["data_end_ns"],
            hyperparameters=data["hyperparameters"],
            metrics=data["metrics"],
            promoted=data["promoted"],
            artifact_uri=data["artifact_uri"],
            duration_ms=data["duration_ms"],
        )
