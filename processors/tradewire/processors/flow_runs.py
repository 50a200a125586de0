"""Runs of declared flows: which steps were reached, which is waited for until when, how it ended. Plain folds.

A run takes the steps of its flow (``flows``) in any order of arrival: of several events that reach a step the earliest
by occurrence counts. Whether a step was *late* is judged by the times of occurrence. Whether a run has *stalled* is
judged by a clock (``expire``): the deadline is the broker's timestamp of the event before, plus the declared span; so a
producer's wrong clock can neither raise an alarm nor hold one back, and events of last year may be fed today.

COMPLETED and FAILED are final. A STALLED run is OPEN or COMPLETED again when its step comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from tradewire.core.ids import derived_id
from tradewire.processors.flow_declarations import DeclaredFlow, DeclaredFlows

if TYPE_CHECKING:
    from tradewire.processors.flows import Step

OPEN: Final = "OPEN"
COMPLETED: Final = "COMPLETED"
STALLED: Final = "STALLED"
FAILED: Final = "FAILED"
_FINAL: Final = frozenset({COMPLETED, FAILED})
# Of one correlation id: a publisher that gives everything one id must not make its flow grow without end.
RUNS_MAX: Final = 64


class Reached(NamedTuple):
    """A declared step and the event that reached it. ``late``: longer than declared after the step before."""

    step: str
    event_id: str
    event_type: str
    occurred_ns: int
    recorded_ns: int
    late: bool


class Stall(NamedTuple):
    """A deadline that passed."""

    step: str
    deadline_ns: int


class Run(NamedTuple):
    """One run of a declared flow. ``waiting`` is the first step not reached, None once the run has ended.

    ``deadline_ns`` is None while nothing can become due. A ``quiet`` run was begun or changed by a replay: it raises
    nothing any more.
    """

    run_id: str
    flow: str
    subject: str
    begin_event_id: str
    begun_ns: int
    begun_recorded_ns: int
    status: str
    quiet: bool
    waiting: str | None
    deadline_ns: int | None
    failed_by: str | None
    reached: tuple[Reached, ...]
    stalls: tuple[Stall, ...]

    @property
    def last(self) -> tuple[str, int, int]:
        """Id, occurrence and recorded time of the event after which the run waits."""
        if self.reached:
            newest = self.reached[-1]
            return newest.event_id, newest.occurred_ns, newest.recorded_ns
        return self.begin_event_id, self.begun_ns, self.begun_recorded_ns

    def hops(self) -> Iterator[tuple[Reached, int]]:
        """Each step reached with the nanoseconds since the one before it, by occurrence."""
        before_ns = self.begun_ns
        for reached in self.reached:
            yield reached, reached.occurred_ns - before_ns
            before_ns = reached.occurred_ns


def advance(
    runs: tuple[Run, ...],
    correlation_id: str,
    step: Step,
    before: Sequence[Step],
    declared: DeclaredFlows,
    *,
    replayed: bool,
) -> tuple[Run, ...]:
    """The runs after ``step``; the same object if it concerns none. ``before`` are the steps that came earlier.

    A run that begins takes those too, so an effect may come before its cause. Beyond ``RUNS_MAX`` none begins.
    """
    if step.event_type not in declared.types:
        return runs
    after = []
    for run in runs:
        taken = _take(run, declared.by_name[run.flow], step) if run.flow in declared.by_name else run
        after.append(taken._replace(quiet=True, deadline_ns=None) if replayed and taken is not run else taken)
    for flow in declared.beginning(step.event_type):
        subject = step.subject if flow.per_subject else ""
        if len(after) < RUNS_MAX and not any(run.flow == flow.name and run.subject == subject for run in after):
            run = _begun(flow, correlation_id, subject, step, quiet=replayed)
            for earlier in before:
                run = _take(run, flow, earlier)
            after.append(run)
    if len(after) == len(runs) and all(new is old for new, old in zip(after, runs, strict=True)):
        return runs
    return tuple(after)


def _begun(flow: DeclaredFlow, correlation_id: str, subject: str, step: Step, *, quiet: bool) -> Run:
    run = Run(
        derived_id("flow.run", correlation_id, flow.name, subject),
        flow.name,
        subject,
        step.event_id,
        step.occurred_ns,
        step.recorded_ns,
        OPEN,
        quiet,
        None,
        None,
        None,
        (),
        (),
    )
    return _judged(run, flow, {})


def _take(run: Run, flow: DeclaredFlow, step: Step) -> Run:
    if run.status in _FINAL or (flow.per_subject and step.subject != run.subject):
        return run
    if step.event_type in flow.fails:
        return run._replace(status=FAILED, failed_by=step.event_id, deadline_ns=None)
    declared = flow.step_of.get(step.event_type)
    if declared is None:
        return run
    reached = {one.step: one for one in run.reached}
    known = reached.get(declared.name)
    if known is not None and (known.occurred_ns, known.event_id) <= (step.occurred_ns, step.event_id):
        return run
    reached[declared.name] = Reached(
        declared.name, step.event_id, step.event_type, step.occurred_ns, step.recorded_ns, False
    )
    return _judged(run, flow, reached)


def _judged(run: Run, flow: DeclaredFlow, reached: dict[str, Reached]) -> Run:
    """The run with its steps in declared order, and what follows from them."""
    in_order: list[Reached] = []
    before_ns, before_recorded_ns = run.begun_ns, run.begun_recorded_ns
    waiting: str | None = None
    deadline_ns: int | None = None
    for step in flow.steps:
        one = reached.get(step.name)
        if one is None:
            if waiting is None:
                waiting = step.name
                deadline_ns = None if step.within_ns is None else before_recorded_ns + step.within_ns
            continue
        late = step.within_ns is not None and one.occurred_ns - before_ns > step.within_ns
        in_order.append(one._replace(late=late))
        before_ns, before_recorded_ns = one.occurred_ns, one.recorded_ns
    stalled = any(stall.step == waiting for stall in run.stalls)
    return run._replace(
        status=COMPLETED if waiting is None else STALLED if stalled else OPEN,
        waiting=waiting,
        deadline_ns=None if stalled or run.quiet else deadline_ns,
        reached=tuple(in_order),
    )


def expire(runs: tuple[Run, ...], now_ns: int) -> tuple[Run, ...]:
    """The runs at ``now_ns``: those whose deadline has come are STALLED. The same object if none is.

    A step stalls its run once: a deadline that is due again after a restart is due for the same step of the same run.
    """
    if not any(run.deadline_ns is not None and run.deadline_ns <= now_ns for run in runs):
        return runs
    return tuple(
        run._replace(status=STALLED, deadline_ns=None, stalls=(*run.stalls, Stall(run.waiting, run.deadline_ns)))
        if run.deadline_ns is not None and run.deadline_ns <= now_ns and run.waiting is not None
        else run
        for run in runs
    )


def next_deadline(runs: Iterable[Run]) -> int | None:
    """The earliest deadline of open runs, None if nothing is waited for."""
    return min((run.deadline_ns for run in runs if run.deadline_ns is not None), default=None)


def status_of(runs: Iterable[Run]) -> str:
    """One word for several runs: FAILED before STALLED before OPEN before COMPLETED; OPEN for none."""
    found = {run.status for run in runs}
    return next((status for status in (FAILED, STALLED, OPEN, COMPLETED) if status in found), OPEN)
