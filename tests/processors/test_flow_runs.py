"""Runs of declared flows: what completes, fails, stalls and repairs one, in whatever order its events come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.processors.pure import pure_contract

from tradewire.processors.applied import At
from tradewire.processors.flow_declarations import DeclaredFlows
from tradewire.processors.flow_notices import Notice, notices_of_step, notices_of_time
from tradewire.processors.flow_runs import RUNS_MAX, Run, next_deadline
from tradewire.processors.flows import Flow, Step, add_step, flow_data, flow_of, pass_time

CONTRACT = pure_contract()
DECLARED = DeclaredFlows.load(CONTRACT.catalogue)
MS = 1_000_000
CREATED, ACCEPTED = "trading.order.created", "trading.order.accepted"
FILLED, CANCELLED, REJECTED = "trading.order.filled", "trading.order.cancelled", "trading.order.rejected"


def step(type: str, at_ms: int, *, subject: str = "o1", recorded_ms: int | None = None, id: str = "") -> Step:
    recorded = at_ms if recorded_ms is None else recorded_ms
    return Step(
        id or f"{type}@{at_ms}", type, "tests", subject, None, at_ms * MS, recorded * MS, "trading.events", 0, 0
    )


class Story:
    """One flow as it goes on, and what is said of it."""

    def __init__(self) -> None:
        self.flow: Flow | None = None
        self.offset = 0
        self.said: list[Notice] = []

    def take(self, *steps: Step, replayed: bool = False) -> Story:
        for one in steps:
            before = self.flow
            after = add_step(before, "c1", one, At("flows.steps:0", self.offset), DECLARED, replayed=replayed)
            self.offset += 1
            self.said += notices_of_step(before, after, one)
            # As it is read again from its record.
            self.flow = flow_of(flow_data(after))
        return self

    def at(self, now_ms: int) -> Story:
        assert self.flow is not None
        after = pass_time(self.flow, now_ms * MS)
        self.said += notices_of_time(self.flow, after, DECLARED)
        self.flow = after
        return self

    @property
    def run(self) -> Run:
        assert self.flow is not None
        (run,) = self.flow.runs
        return run

    def types(self) -> list[str]:
        return [notice.type.rpartition(".")[2] for notice in self.said]


def test_an_order_that_is_accepted_and_filled_is_complete() -> None:
    story = Story().take(step(CREATED, 0), step(ACCEPTED, 100), step(FILLED, 900))
    assert (story.types(), story.run.status, story.run.deadline_ns) == (["completed"], "COMPLETED", None)
    assert flow_data(story.flow)["flow_type"] == "order"  # type: ignore[arg-type]
    data = story.said[0].data
    assert data["duration_ns"] == 900 * MS
    assert [(hop["step"], hop["latency_ns"], hop["late"]) for hop in data["hops"]] == [
        ("accepted", 100 * MS, False),
        ("ended", 800 * MS, False),
    ]


def test_each_alternative_reaches_the_step() -> None:
    for last in (FILLED, CANCELLED):
        assert Story().take(step(CREATED, 0), step(ACCEPTED, 1), step(last, 2)).types() == ["completed"]


def test_a_rejection_fails_the_order_and_nothing_mends_it() -> None:
    story = Story().take(step(CREATED, 0), step(REJECTED, 5), step(ACCEPTED, 6), step(FILLED, 7)).at(10**9)
    assert (story.types(), story.run.status) == (["failed"], "FAILED")
    assert story.said[0].data["failed_by"] == f"{REJECTED}@5"


def test_an_order_that_is_not_accepted_in_time_stalls_once() -> None:
    story = Story().take(step(CREATED, 0)).at(499)
    assert story.types() == []
    story.at(500).at(501).at(10**9)
    assert (story.types(), story.run.status, story.flow.status) == (["stalled"], "STALLED", "STALLED")  # type: ignore[union-attr]
    assert (story.said[0].time_ns, story.said[0].data["waiting_step"]) == (500 * MS, "accepted")
    assert story.said[0].data["waiting_types"] == [ACCEPTED]


def test_a_late_event_repairs_a_stalled_run_and_the_next_step_is_waited_for() -> None:
    story = Story().take(step(CREATED, 0)).at(600).take(step(ACCEPTED, 700))
    assert (story.types(), story.run.status) == (["stalled", "repaired"], "OPEN")
    assert story.said[1].data["late_by_ns"] == 200 * MS
    assert story.said[1].data["hops"][0]["late"]
    assert story.run.deadline_ns == (700 + 86_400_000) * MS
    story.at(700 + 86_400_000)
    assert story.types() == ["stalled", "repaired", "stalled"]
    story.take(step(FILLED, 90_000_000))
    assert story.types() == ["stalled", "repaired", "stalled", "repaired", "completed"]
    assert len({notice.id for notice in story.said}) == 5


def test_a_fill_before_its_acceptance_completes_nothing_until_that_comes() -> None:
    story = Story().take(step(CREATED, 0), step(FILLED, 300))
    assert (story.types(), story.run.waiting) == ([], "accepted")
    story.at(600).take(step(ACCEPTED, 100))
    assert story.types() == ["stalled", "repaired", "completed"]
    assert not any(hop["late"] for hop in story.said[-1].data["hops"])


def test_a_late_acceptance_that_arrives_before_the_clock_has_looked_is_late_and_no_alarm() -> None:
    story = Story().take(step(CREATED, 0), step(ACCEPTED, 700))
    assert (story.types(), [one.late for one in story.run.reached]) == ([], [True])


def test_deadlines_are_of_the_brokers_clock_so_that_last_years_events_may_be_fed_today() -> None:
    today = 10**12
    story = Story().take(step(CREATED, 0, recorded_ms=today)).at(today + 499)
    assert story.types() == []
    assert story.at(today + 500).types() == ["stalled"]


def test_each_order_of_a_flow_is_a_run_of_its_own() -> None:
    story = Story().take(step(CREATED, 0), step(CREATED, 1, subject="o2"), step(ACCEPTED, 2), step(FILLED, 3))
    assert [(run.subject, run.status) for run in story.flow.runs] == [("o1", "COMPLETED"), ("o2", "OPEN")]  # type: ignore[union-attr]
    assert story.flow.status == "OPEN"  # type: ignore[union-attr]
    story.at(600)
    assert story.flow.status == "STALLED"  # type: ignore[union-attr]


def test_a_setup_is_followed_through_its_correlation_over_several_aggregates() -> None:
    story = Story().take(
        step("setup.message.received", 0, subject="m1"),
        step("setup.message.stored", 1, subject="m1"),
        step("setup.parse.completed", 2, subject="m1"),
        step("setup.plan.created", 3, subject="s1"),
    )
    assert (story.types(), story.run.flow) == (["completed"], "setup")
    failed = Story().take(step("setup.message.received", 0), step("setup.parse.failed", 1))
    assert (failed.types(), failed.run.status) == (["failed"], "FAILED")


def test_a_replay_raises_nothing_and_waits_for_nothing() -> None:
    story = Story().take(step(CREATED, 0), replayed=True).at(10**9)
    assert (story.types(), next_deadline(story.flow.runs)) == ([], None)  # type: ignore[union-attr]
    story.take(step(ACCEPTED, 1), step(FILLED, 2), replayed=True)
    assert (story.types(), story.run.status) == ([], "COMPLETED")


def test_a_replay_of_what_is_known_changes_nothing_in_a_live_run() -> None:
    story = Story().take(step(CREATED, 0)).take(step(CREATED, 0), replayed=True)
    assert story.at(500).types() == ["stalled"]


def test_a_flow_keeps_a_bounded_number_of_runs() -> None:
    story = Story().take(*(step(CREATED, number, subject=f"o{number}") for number in range(RUNS_MAX + 3)))
    assert len(story.flow.runs) == RUNS_MAX  # type: ignore[union-attr]


ORDER = [step(CREATED, 0), step(ACCEPTED, 100), step(ACCEPTED, 600), step(FILLED, 900), step(FILLED, 2_000)]


@given(st.permutations(ORDER), st.data())
def test_the_end_does_not_depend_on_the_order_in_which_events_come(arrived: list[Step], data: st.DataObject) -> None:
    """But for a run that has ended, which stays as it ended: the hops then are those that were known."""
    story = Story()
    for one in arrived:
        story.take(one)
        if data.draw(st.booleans()):
            # Before the deadline: a clock that moves changes nothing.
            story.at(400)
    assert (story.run.status, story.types()) == ("COMPLETED", ["completed"])
    assert [reached.step for reached in story.run.reached] == ["accepted", "ended"]
    assert story.run.begin_event_id == ORDER[0].event_id


@given(st.permutations([step(CREATED, 0), step(ACCEPTED, 100), step(FILLED, 900)]), st.lists(st.booleans(), min_size=3))
def test_whatever_is_said_is_said_once_and_every_stall_is_repaired(arrived: list[Step], looked: list[bool]) -> None:
    story = Story()
    for one, look in zip(arrived, looked, strict=False):
        story.take(one)
        if look:
            story.at(10**9)
    ids = [notice.id for notice in story.said]
    assert len(ids) == len(set(ids))
    assert story.types()[-1] == "completed"
    assert story.types().count("stalled") == story.types().count("repaired")
    for notice in story.said:
        CONTRACT.codec.encode(notice.type, notice.data, "flow.events")
