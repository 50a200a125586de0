"""The fold of steps into flows, with what flows say and when to look at them again. No Kafka, no Faust."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from tradewire.processors.applied import At, holds
from tradewire.processors.flow_declarations import DeclaredFlows
from tradewire.processors.flow_notices import FLOW_TOPIC, NOTICE_TYPES, Notice, notices_of_step, notices_of_time
from tradewire.processors.flow_runs import next_deadline
from tradewire.processors.flows import Flow, Step, pass_time, with_step
from tradewire.processors.records import Cause, Forward, headers_with_id
from tradewire.processors.step_records import FlowStep
from tradewire.processors.tables import FLOW, TIMER, FlowTimer
from tradewire.schemas import Codec

if TYPE_CHECKING:
    from tradewire.processors.folds import States

# How long a timer that has nothing to wait for is left alone before it is deleted.
_IDLE_NS: Final = 1_000_000_000


class Correlator:
    """Folds steps into ``FLOW`` and keeps ``TIMER``. What is said goes to ``flow.events`` and to ``on_notice``.

    Why nothing is lost and nothing is said twice under two ids, whatever a crash leaves (the engine's steps):

    - notices and timers are confirmed before the flow that they are of is written, so a flow that says COMPLETED or
      STALLED has told it; if the crash comes in between, the flow is folded again and says the same under the same id;
    - a timer is deleted only when the flow that waits for nothing is known to be written.
    """

    def __init__(
        self, codec: Codec, declared: DeclaredFlows, source: str, on_notice: Callable[[Notice], None] = lambda _: None
    ) -> None:
        self._declared = declared
        self._source = source
        self._on_notice = on_notice
        self._encoders = {type: codec.encoder(type, FLOW_TOPIC) for type in NOTICE_TYPES}

    def fold(self, steps: Sequence[FlowStep], at: At, states: States) -> None:
        """Adds the steps of the record at ``at`` of ``flows.steps``. What a replayed one changes is not told."""
        by_flow: dict[str, list[FlowStep]] = {}
        for one in steps:
            by_flow.setdefault(one.correlation_id, []).append(one)
        states.expect(FLOW, by_flow)
        changed: list[tuple[Flow, Flow | None, Step]] = []
        told: list[tuple[Notice, Forward]] = []
        for correlation_id, found in by_flow.items():
            before: Flow | None = states.get(FLOW, correlation_id)
            changed.append((self._after(before, correlation_id, found, at, told), before, found[-1].step))
        # Only now is anything written: after an exception nothing of the record may stand.
        for notice, record in told:
            states.forward(record)
            self._on_notice(notice)
        for after, before, last in changed:
            cause = Cause(last.event_id, after.correlation_id, last.occurred_ns, at)
            if after.runs:
                self._set_timer(before, after, last, cause, states)
            if after is not before:
                states.put(FLOW, after.correlation_id, after, cause)

    def _after(
        self,
        before: Flow | None,
        correlation_id: str,
        steps: Sequence[FlowStep],
        at: At,
        told: list[tuple[Notice, Forward]],
    ) -> Flow:
        """The flow after its steps of one record; the same object if that was applied before. Adds what it tells."""
        if before is not None and holds(before.applied, at):
            return before
        flow = before
        for _, step, replayed in steps:
            earlier, flow = flow, with_step(flow, correlation_id, step, at, self._declared, replayed=replayed)
            if flow.runs and not replayed:
                told += self._records(notices_of_step(earlier, flow, step), at)
        assert flow is not None, "a flow of a record has steps"
        return flow

    @staticmethod
    def _set_timer(before: Flow | None, after: Flow, step: Step, cause: Cause, states: States) -> None:
        deadline_ns = next_deadline(after.runs)
        known_ns = next_deadline(before.runs) if before is not None else None
        if deadline_ns is None and known_ns is not None:
            # Nothing is waited for any more: looked at soon, so that the table holds what is waited for alone.
            deadline_ns = step.recorded_ns
        elif deadline_ns == known_ns and after is not before:
            return
        # A step that is delivered again sets the timer again: its deletion may have come in between.
        if deadline_ns is not None:
            timer = FlowTimer(after.correlation_id, deadline_ns)
            states.put(TIMER, after.correlation_id, timer, cause)

    def look(self, correlation_id: str, now_ns: int, states: States, *, written: bool) -> int | None:
        """Looks at a flow whose time has come; returns when to look again, None if its timer says so or is gone.

        ``written``: the flow as it was at the last look, when it waited for nothing, is known to be written.
        """
        before = states.get(FLOW, correlation_id)
        after = pass_time(before, now_ns) if before is not None else None
        if before is not None and after is not None and after is not before:
            run = max(after.runs, key=lambda run: run.stalls[-1].deadline_ns if run.stalls else 0)
            stall = run.stalls[-1]
            at = At(f"deadline:{run.run_id}:{stall.step}", stall.deadline_ns)
            for notice, record in list(self._records(notices_of_time(before, after, self._declared), at)):
                states.forward(record)
                self._on_notice(notice)
            states.put(FLOW, correlation_id, after, Cause(run.last[0], correlation_id, stall.deadline_ns, at))
        deadline_ns = next_deadline(after.runs) if after is not None else None
        if deadline_ns is not None:
            at = At(f"deadline:{correlation_id}", deadline_ns)
            timer = FlowTimer(correlation_id, deadline_ns)
            states.put(TIMER, correlation_id, timer, Cause(correlation_id, correlation_id, deadline_ns, at))
            return None
        if written:
            states.put(TIMER, correlation_id, None, Cause(correlation_id, correlation_id, now_ns, At("idle", now_ns)))
            return None
        return now_ns + _IDLE_NS

    def _records(self, notices: Iterable[Notice], at: At) -> Iterator[tuple[Notice, Forward]]:
        for notice in notices:
            cause = Cause(notice.cause, notice.correlation_id, notice.time_ns, at)
            headers = headers_with_id(notice.id, notice.type, self._source, notice.run.run_id, cause)
            value = self._encoders[notice.type](notice.data)
            yield notice, Forward(FLOW_TOPIC, notice.run.run_id.encode(), value, headers)
