"""Declared flows: which event begins one, which steps it then takes by when, and what fails it.

``flows.yaml`` beside this file has ours; one of the same form, named by the setting ``worker.flows_file``, adds to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from tradewire.processors.declarations import NAME, Span, known_types, read_declarations
from tradewire.schemas import Catalogue

BUILT_IN_FLOWS: Final = Path(str(files("tradewire.processors").joinpath("flows.yaml")))
STEPS_OF_FLOW_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class DeclaredStep:
    """A step is reached by any of ``types``, and is late ``within_ns`` after the step before it (None: never)."""

    name: str
    types: tuple[str, ...]
    within_ns: int | None


@dataclass(frozen=True)
class DeclaredFlow:
    """A flow is complete when all ``steps`` are reached, in any order of arrival; an event of ``fails`` ends it.

    ``per_subject``: one run per aggregate of the first event, which its other events must share; else one run per
    correlation id.
    """

    name: str
    begins: str
    steps: tuple[DeclaredStep, ...]
    fails: frozenset[str]
    per_subject: bool

    @cached_property
    def step_of(self) -> Mapping[str, DeclaredStep]:
        """The step that an event type reaches."""
        return {type: step for step in self.steps for type in step.types}

    @property
    def types(self) -> Iterator[str]:
        yield self.begins
        yield from self.step_of
        yield from self.fails


class DeclaredFlows:
    """All declared flows, looked up by event type; immutable."""

    def __init__(self, flows: Iterable[DeclaredFlow] = ()) -> None:
        self.by_name: Mapping[str, DeclaredFlow] = {flow.name: flow for flow in flows}
        self._beginning: dict[str, list[DeclaredFlow]] = {}
        for flow in self.by_name.values():
            self._beginning.setdefault(flow.begins, []).append(flow)
        self.types = frozenset(type for flow in self.by_name.values() for type in flow.types)

    @classmethod
    def load(cls, catalogue: Catalogue, users_file: Path | None = None) -> DeclaredFlows:
        """Reads our file and the user's. Raises DeclarationInvalid, naming file, flow and field."""

        def make(name: str, entry: _Flow) -> DeclaredFlow | None:
            return _flow(name, entry, catalogue) if entry.enabled else None

        found = read_declarations(BUILT_IN_FLOWS, users_file, "flows", _Flow, make)
        return cls(flow for flow in found.values() if flow is not None)

    def beginning(self, event_type: str) -> Sequence[DeclaredFlow]:
        """The flows that an event of this type begins."""
        return self._beginning.get(event_type, ())


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME)
    any_of: list[str] = Field(min_length=1)
    within: Span | None = None


class _Flow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    begins: str
    per: Literal["subject", "correlation"] = "correlation"
    steps: list[_Step] = Field(min_length=1, max_length=STEPS_OF_FLOW_MAX)
    fails: list[str] = []
    enabled: bool = True


def _flow(name: str, entry: _Flow, catalogue: Catalogue) -> DeclaredFlow:
    steps = tuple(DeclaredStep(step.name, tuple(step.any_of), step.within) for step in entry.steps)
    seen: dict[str, str] = {}
    named = [("begins", (entry.begins,)), *((f"steps.{s.name}", s.types) for s in steps), ("fails", tuple(entry.fails))]
    for field, types in named:
        known_types(catalogue, field, types)
        for type in types:
            if type in seen:
                raise ValueError(
                    f"{field}: {type} is under {seen[type]} already; an event type has one meaning in a flow"
                )
            seen[type] = field
    names = [step.name for step in steps]
    if len(set(names)) < len(names):
        raise ValueError(f"steps: two of {', '.join(names)} have the same name")
    return DeclaredFlow(name, entry.begins, steps, frozenset(entry.fails), entry.per == "subject")
