"""What is said of a run: ``flow.run.completed``, ``.failed``, ``.stalled``, ``.repaired``. Pure.

A notice is a function of the run and of the event (or the deadline) that made it so, its id and its times too: one that
is repeated after a crash has the same id and the same data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tradewire.core.ids import derived_id
from tradewire.processors.flow_declarations import DeclaredFlows
from tradewire.processors.flow_runs import COMPLETED, FAILED, OPEN, STALLED, Run

if TYPE_CHECKING:
    from tradewire.processors.flows import Flow, Step

RUN_COMPLETED: Final = "flow.run.completed"
RUN_FAILED: Final = "flow.run.failed"
RUN_STALLED: Final = "flow.run.stalled"
RUN_REPAIRED: Final = "flow.run.repaired"
NOTICE_TYPES: Final = (RUN_COMPLETED, RUN_FAILED, RUN_STALLED, RUN_REPAIRED)
FLOW_TOPIC: Final = "flow.events"


class Notice(NamedTuple):
    """An event to publish about ``run``; ``cause`` is the id of the event that it answers."""

    type: str
    id: str
    run: Run
    correlation_id: str
    cause: str
    time_ns: int
    data: dict[str, Any]


def notices_of_step(before: Flow | None, after: Flow, step: Step) -> Iterator[Notice]:
    """What ``step`` has changed in the runs of its flow. Nothing for quiet runs.

    A run that stalled and is completed by its late step is repaired first, then completed.
    """
    known = {run.run_id: run for run in before.runs} if before is not None else {}
    for run in after.runs:
        old = known.get(run.run_id)
        if run is old or run.quiet:
            continue
        was, stalled_at = (old.status, old.waiting) if old is not None else (OPEN, None)
        if was == STALLED and run.status in (OPEN, COMPLETED):
            stall = next(stall for stall in reversed(run.stalls) if stall.step == stalled_at)
            data = {
                "repaired_step": stall.step,
                "repaired_by": step.event_id,
                "late_by_ns": step.recorded_ns - stall.deadline_ns,
                "completed": run.status == COMPLETED,
            }
            yield _notice(RUN_REPAIRED, after, run, step.event_id, step.occurred_ns, data, stall.step)
        if run.status == COMPLETED and was != COMPLETED:
            data = {"duration_ns": run.last[1] - run.begun_ns}
            yield _notice(RUN_COMPLETED, after, run, step.event_id, step.occurred_ns, data)
        elif run.status == FAILED and was != FAILED:
            data = {
                "duration_ns": step.occurred_ns - run.begun_ns,
                "failed_by": step.event_id,
                "failed_type": step.event_type,
                "waiting_step": run.waiting,
            }
            yield _notice(RUN_FAILED, after, run, step.event_id, step.occurred_ns, data)


def notices_of_time(before: Flow, after: Flow, declared: DeclaredFlows) -> Iterator[Notice]:
    """What the passing of deadlines has changed. The time of such a notice is its deadline."""
    for old, run in zip(before.runs, after.runs, strict=True):
        if run.status != STALLED or old.status == STALLED or run.waiting is None:
            continue
        flow = declared.by_name.get(run.flow)
        types = next((step.types for step in flow.steps if step.name == run.waiting), ()) if flow is not None else ()
        waited_after = run.last[0]
        deadline_ns = run.stalls[-1].deadline_ns
        data = {
            "waiting_step": run.waiting,
            "waiting_types": list(types),
            "waited_after": waited_after,
            "deadline_ns": deadline_ns,
        }
        yield _notice(RUN_STALLED, after, run, waited_after, deadline_ns, data, run.waiting)


def _notice(type: str, flow: Flow, run: Run, cause: str, time_ns: int, data: dict[str, Any], *of: str) -> Notice:
    return Notice(
        type,
        derived_id(type, run.run_id, *of),
        run,
        flow.correlation_id,
        cause,
        time_ns,
        {
            "run_id": run.run_id,
            "flow_name": run.flow,
            "run_subject": run.subject,
            "begin_event_id": run.begin_event_id,
            "begun_ns": run.begun_ns,
            **data,
            "hops": [
                {
                    "step": reached.step,
                    "reached_by": reached.event_id,
                    "reached_type": reached.event_type,
                    "latency_ns": latency_ns,
                    "late": reached.late,
                }
                for reached, latency_ns in run.hops()
            ],
        },
    )
