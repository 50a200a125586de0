"""strategy.run.started v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from .named_types import RunMode


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A strategy begins to run. Published by the strategy runner."""

    event_type: ClassVar[str] = "strategy.run.started"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "strategy"

    strategy: str
    """Name of the strategy, stable over its runs. Set by the strategy runner."""
    run_id: str
    """Id of this run, unique for ever. Set by the strategy runner."""
    mode: RunMode = RunMode.UNKNOWN
    """What is at stake in this run. Set by the strategy runner."""
    version: str | None = None
    """Version of the strategy's code; null where unknown. Set by the strategy runner."""
    account: str | None = None
    """Account traded; null where none. Set by the strategy runner."""
    symbols: tuple[str, ...] = ()
    """Instruments the run may trade. Set by the strategy runner."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Parameters at the start, by name, as text. Set by the strategy runner."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "strategy": self.strategy,
            "run_id": self.run_id,
            "mode": self.mode,
            "version": self.version,
            "account": self.account,
            "symbols": list(self.symbols),
            "parameters": dict(self.parameters),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            strategy=data["strategy"],
            run_id=data["run_id"],
            mode=RunMode(data["mode"]),
            version=data["version"],
            account=data["account"],
            symbols=tuple(data["symbols"]),
            parameters=data["parameters"],
        )
