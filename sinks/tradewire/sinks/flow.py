"""The events of one flow as a tree of causes. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event as history holds it. ``payload`` has Decimals as text and leaves out what is null.

    ``read_as`` is the version that ``payload`` is in, where that is not ``version``; ``unread`` says why an event could
    not be given as the newest version, which was asked for.
    """

    topic: str
    partition: int
    offset: int
    type: str
    version: int
    schema_id: int
    id: str
    source: str
    subject: str
    correlation_id: str
    causation_id: str
    sequence: int | None
    tags: dict[str, str]
    time_ns: int
    recorded_ms: int
    stored_ms: int
    payload: dict[str, Any]
    read_as: int | None = None
    unread: str | None = None


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One event of a flow. ``depth`` is 0 for a root and for an orphan, whose cause is not stored (yet).

    ``hop_latency_ns`` is the time since its cause, below zero where two clocks disagree; None at depth 0.
    """

    event: StoredEvent
    depth: int
    hop_latency_ns: int | None
    orphan: bool


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow as a list that reads as a tree: each event is followed by its effects, one deeper, oldest first.

    ``truncated`` says that there are more events than were asked for.
    """

    correlation_id: str
    steps: Sequence[FlowStep]
    truncated: bool

    @property
    def duration_ns(self) -> int:
        times = [step.event.time_ns for step in self.steps]
        return max(times) - min(times) if times else 0


def flow_tree(correlation_id: str, events: Iterable[StoredEvent], *, truncated: bool = False) -> Flow:
    """Orders events by cause. A repeated id counts once, as its oldest; a circle of causes begins at its oldest."""
    ordered = sorted(events, key=lambda event: (event.time_ns, event.topic, event.partition, event.offset))
    by_id: dict[str, StoredEvent] = {}
    for event in ordered:
        by_id.setdefault(event.id, event)
    effects: dict[str, list[StoredEvent]] = defaultdict(list)
    for event in by_id.values():
        if event.causation_id in by_id and event.causation_id != event.id:
            effects[event.causation_id].append(event)
    steps: list[FlowStep] = []
    placed: set[str] = set()

    def place(root: StoredEvent) -> None:
        waiting = [(root, 0)]
        while waiting:
            event, depth = waiting.pop()
            if event.id in placed:
                continue
            placed.add(event.id)
            cause = by_id.get(event.causation_id) if depth else None
            hop = None if cause is None else event.time_ns - cause.time_ns
            steps.append(FlowStep(event, depth, hop, depth == 0 and bool(event.causation_id)))
            waiting += [(effect, depth + 1) for effect in reversed(effects[event.id])]

    for event in by_id.values():
        if event.causation_id not in by_id or event.causation_id == event.id:
            place(event)
    for event in by_id.values():
        if event.id not in placed:
            place(event)
    return Flow(correlation_id, steps, truncated)
