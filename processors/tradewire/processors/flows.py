"""A flow: all events of one correlation id, as a tree of causes with the latency of each hop. Plain folds on values.

``add_step`` takes steps in any order of causes: a step whose cause has not been seen is an orphan, and stops being one
when the cause comes. The tree is laid out (``lay_out``) when a state is published, not at each step.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tradewire.processors.applied import Applied, At, advanced, holds
from tradewire.processors.flow_declarations import DeclaredFlows
from tradewire.processors.flow_runs import FAILED, OPEN, Reached, Run, Stall, advance, expire, status_of

# A flow is one Kafka record and is written again at each change: a publisher that gives everything one correlation id
# must not make it grow without end.
STEPS_MAX: Final = 256

_FAILING_FACTS: Final = frozenset({"failed", "rejected"})
_FAILING_TYPES: Final = frozenset({"system.error.raised"})
NO_FLOWS: Final = DeclaredFlows()


class Step(NamedTuple):
    """One event, reduced to what correlation needs, and where it lies in the log."""

    event_id: str
    event_type: str
    source: str
    subject: str
    causation_id: str | None
    occurred_ns: int
    recorded_ns: int
    topic: str
    partition: int
    offset: int


class Flow(NamedTuple):
    """All that is known of one flow. ``steps`` are in the order in which they came, ``runs`` of what was declared.

    ``truncated_count`` steps beyond ``STEPS_MAX`` are counted in status and times but not kept: one that comes again is
    counted again, and its effects are orphans.
    """

    correlation_id: str
    status: str
    steps: tuple[Step, ...]
    truncated_count: int
    started_ns: int
    last_ns: int
    applied: Applied
    runs: tuple[Run, ...] = ()


class PlacedStep(NamedTuple):
    """A step in the tree: ``depth`` from the root, nanoseconds since its cause (below zero if clocks disagree)."""

    step: Step
    depth: int
    hop_latency_ns: int | None
    orphan: bool


def is_failure(event_type: str) -> bool:
    """Whether an event says that its flow failed: a rejection, a failed parse, an error."""
    return event_type.rpartition(".")[2] in _FAILING_FACTS or event_type in _FAILING_TYPES


def add_step(
    flow: Flow | None,
    correlation_id: str,
    step: Step,
    at: At,
    declared: DeclaredFlows = NO_FLOWS,
    *,
    replayed: bool = False,
) -> Flow:
    """The flow with one more step, whose record lies at ``at``; the same object if that was applied before.

    A step that comes again under another position (its worker crashed after writing it, or its event was published
    twice) is known by its event id and changes nothing but ``applied``. FAILED stays FAILED. A run that a ``replayed``
    event begins is quiet.
    """
    if flow is not None and holds(flow.applied, at):
        return flow
    return with_step(flow, correlation_id, step, at, declared, replayed=replayed)


def with_step(
    flow: Flow | None,
    correlation_id: str,
    step: Step,
    at: At,
    declared: DeclaredFlows = NO_FLOWS,
    *,
    replayed: bool = False,
) -> Flow:
    """As ``add_step``, for one of several steps of a record: whether ``at`` was applied before is not asked."""
    if flow is None:
        runs = advance((), correlation_id, step, (), declared, replayed=replayed)
        return Flow(
            correlation_id,
            _status(OPEN, step, runs),
            (step,),
            0,
            step.occurred_ns,
            step.occurred_ns,
            {at.source: at.offset},
            runs,
        )
    applied = advanced(flow.applied, at)
    if any(known.event_id == step.event_id for known in flow.steps):
        return flow._replace(applied=applied)
    kept = len(flow.steps) < STEPS_MAX
    runs = advance(flow.runs, correlation_id, step, flow.steps, declared, replayed=replayed)
    return Flow(
        correlation_id,
        _status(flow.status, step, runs),
        (*flow.steps, step) if kept else flow.steps,
        flow.truncated_count if kept else flow.truncated_count + 1,
        min(flow.started_ns, step.occurred_ns),
        max(flow.last_ns, step.occurred_ns),
        applied,
        runs,
    )


def _status(before: str, step: Step, runs: tuple[Run, ...]) -> str:
    if before == FAILED or is_failure(step.event_type):
        return FAILED
    return status_of(runs) if runs else OPEN


def pass_time(flow: Flow, now_ns: int) -> Flow:
    """The flow at ``now_ns`` of the worker's clock: runs whose deadline has come have stalled. The same if none has."""
    runs = expire(flow.runs, now_ns)
    if runs is flow.runs:
        return flow
    return flow._replace(runs=runs, status=FAILED if flow.status == FAILED else status_of(runs))


def lay_out(steps: Sequence[Step]) -> list[PlacedStep]:
    """The steps as a tree in one list: causes before effects, then by occurrence (ties by id).

    An orphan stands at depth 0 with its effects below it. Events that name each other as causes in a circle are
    impossible in a true log; the earliest of a circle is then taken for an orphan.
    """
    if len(steps) == 1:
        step = steps[0]
        return [PlacedStep(step, 0, None, step.causation_id is not None)]
    by_id = {step.event_id: step for step in steps}
    effects: dict[str, list[Step]] = {}
    waiting: list[tuple[int, str, int]] = []
    for step in steps:
        if step.causation_id in by_id and step.causation_id != step.event_id:
            effects.setdefault(str(step.causation_id), []).append(step)
        else:
            waiting.append((step.occurred_ns, step.event_id, 0))
    heapq.heapify(waiting)
    placed: dict[str, PlacedStep] = {}
    while len(placed) < len(steps):
        if not waiting:
            first = min((step for step in steps if step.event_id not in placed), key=_occurrence)
            waiting.append((first.occurred_ns, first.event_id, 0))
        _, event_id, depth = heapq.heappop(waiting)
        if event_id in placed:
            continue
        step = by_id[event_id]
        cause = by_id.get(step.causation_id) if depth and step.causation_id is not None else None
        latency = step.occurred_ns - cause.occurred_ns if cause is not None else None
        placed[event_id] = PlacedStep(step, depth, latency, cause is None and step.causation_id is not None)
        for effect in effects.get(event_id, ()):
            heapq.heappush(waiting, (effect.occurred_ns, effect.event_id, depth + 1))
    return list(placed.values())


def _occurrence(step: Step) -> tuple[int, str]:
    return step.occurred_ns, step.event_id


def root_event_id(steps: Iterable[Step]) -> str:
    """The earliest event without a cause; the earliest of all while the root has not come."""
    return min(steps, key=lambda step: (step.causation_id is not None, *_occurrence(step))).event_id


def flow_data(flow: Flow) -> dict[str, Any]:
    """The data of ``flows.state.changed``."""
    placed = lay_out(flow.steps)
    return {
        "correlation_id": flow.correlation_id,
        "flow_type": flow.runs[0].flow if flow.runs else None,
        "status": flow.status,
        "root_event_id": root_event_id(flow.steps) if len(flow.steps) > 1 else flow.steps[0].event_id,
        "started_ns": flow.started_ns,
        "last_ns": flow.last_ns,
        "duration_ns": flow.last_ns - flow.started_ns,
        "steps": [
            {
                "event_id": step.event_id,
                "event_type": step.event_type,
                "source": step.source,
                "subject": step.subject,
                "causation_id": step.causation_id,
                "occurred_ns": step.occurred_ns,
                "recorded_ns": step.recorded_ns,
                "depth": depth,
                "hop_latency_ns": latency,
                "orphan": orphan,
                "topic": step.topic,
                "partition": step.partition,
                "offset": step.offset,
            }
            for step, depth, latency, orphan in placed
        ],
        "orphan_count": sum(1 for step in placed if step.orphan),
        "truncated_count": flow.truncated_count,
        "runs": [_run_data(run) for run in flow.runs] if flow.runs else [],
        "applied": flow.applied,
    }


def _run_data(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "flow_name": run.flow,
        "run_subject": run.subject,
        "begin_event_id": run.begin_event_id,
        "begun_ns": run.begun_ns,
        "begun_recorded_ns": run.begun_recorded_ns,
        "run_status": run.status,
        "quiet": run.quiet,
        "waiting_step": run.waiting,
        "deadline_ns": run.deadline_ns,
        "failed_by": run.failed_by,
        "reached": [
            {
                "step": reached.step,
                "reached_by": reached.event_id,
                "reached_type": reached.event_type,
                "reached_ns": reached.occurred_ns,
                "reached_recorded_ns": reached.recorded_ns,
                "late": reached.late,
            }
            for reached in run.reached
        ],
        "stalls": [{"step": stall.step, "deadline_ns": stall.deadline_ns} for stall in run.stalls],
    }


def _run_of(data: Mapping[str, Any]) -> Run:
    return Run(
        data["run_id"],
        data["flow_name"],
        data["run_subject"],
        data["begin_event_id"],
        data["begun_ns"],
        data["begun_recorded_ns"],
        data["run_status"],
        data["quiet"],
        data["waiting_step"],
        data["deadline_ns"],
        data["failed_by"],
        tuple(
            Reached(
                one["step"],
                one["reached_by"],
                one["reached_type"],
                one["reached_ns"],
                one["reached_recorded_ns"],
                one["late"],
            )
            for one in data["reached"]
        ),
        tuple(Stall(one["step"], one["deadline_ns"]) for one in data["stalls"]),
    )


def flow_of(data: Mapping[str, Any]) -> Flow:
    """The flow of ``flows.state.changed`` data; ``flow_data`` of it gives the same data again."""
    return Flow(
        data["correlation_id"],
        data["status"],
        tuple(
            Step(
                step["event_id"],
                step["event_type"],
                step["source"],
                step["subject"],
                step["causation_id"],
                step["occurred_ns"],
                step["recorded_ns"],
                step["topic"],
                step["partition"],
                step["offset"],
            )
            for step in data["steps"]
        ),
        data["truncated_count"],
        data["started_ns"],
        data["last_ns"],
        data["applied"],
        tuple(_run_of(run) for run in data["runs"]) if data["runs"] else (),
    )


def step_data(correlation_id: str, step: Step) -> dict[str, Any]:
    """The data of ``flows.step.recorded``."""
    return {
        "event_id": step.event_id,
        "event_type": step.event_type,
        "source": step.source,
        "subject": step.subject,
        "correlation_id": correlation_id,
        "causation_id": step.causation_id,
        "occurred_ns": step.occurred_ns,
        "recorded_ns": step.recorded_ns,
        "topic": step.topic,
        "partition": step.partition,
        "offset": step.offset,
    }


def step_of(data: Mapping[str, Any]) -> Step:
    """The step of ``flows.step.recorded`` data."""
    return Step(
        data["event_id"],
        data["event_type"],
        data["source"],
        data["subject"],
        data["causation_id"],
        data["occurred_ns"],
        data["recorded_ns"],
        data["topic"],
        data["partition"],
        data["offset"],
    )
