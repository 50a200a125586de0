"""Flows: a tree of causes from steps that come in any order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradewire.processors.applied import At
from tradewire.processors.flows import (
    STEPS_MAX,
    Flow,
    Step,
    add_step,
    flow_data,
    flow_of,
    lay_out,
    root_event_id,
    step_data,
    step_of,
)

SECOND = 1_000_000_000


def step(id: str, cause: str | None = None, at_s: float = 0, type: str = "trading.order.created") -> Step:
    return Step(id, type, "tests", "o1", cause, int(at_s * SECOND), int(at_s * SECOND), "trading.events", 0, 0)


def flow_of_steps(*steps: Step) -> Flow:
    flow: Flow | None = None
    for offset, one in enumerate(steps):
        flow = add_step(flow, "c1", one, At("flows.steps:0", offset))
    assert flow is not None
    return flow


def placed(flow: Flow) -> list[tuple[str, int, int | None, bool]]:
    return [(one.step.event_id, one.depth, one.hop_latency_ns, one.orphan) for one in lay_out(flow.steps)]


def test_a_root_alone_is_a_flow_of_depth_0_without_a_hop() -> None:
    flow = flow_of_steps(step("root", at_s=5))
    assert placed(flow) == [("root", 0, None, False)]
    assert (flow.status, flow.started_ns, flow.last_ns) == ("OPEN", 5 * SECOND, 5 * SECOND)


def test_each_hop_has_the_time_since_its_cause() -> None:
    flow = flow_of_steps(step("root"), step("a", "root", 2), step("b", "a", 5), step("c", "root", 3))
    assert placed(flow) == [
        ("root", 0, None, False),
        ("a", 1, 2 * SECOND, False),
        ("c", 1, 3 * SECOND, False),
        ("b", 2, 3 * SECOND, False),
    ]


def test_a_hop_is_negative_when_clocks_disagree_and_the_cause_still_comes_first() -> None:
    flow = flow_of_steps(step("root", at_s=2), step("early", "root", 1))
    assert placed(flow) == [("root", 0, None, False), ("early", 1, -SECOND, False)]


def test_a_step_without_its_cause_is_an_orphan_until_the_cause_comes() -> None:
    before = flow_of_steps(step("child", "parent", 2), step("grandchild", "child", 3))
    assert placed(before) == [("child", 0, None, True), ("grandchild", 1, SECOND, False)]
    assert flow_data(before)["orphan_count"] == 1
    assert root_event_id(before.steps) == "child"

    after = add_step(before, "c1", step("parent", None, 1), At("flows.steps:0", 2))
    assert placed(after) == [
        ("parent", 0, None, False),
        ("child", 1, SECOND, False),
        ("grandchild", 2, SECOND, False),
    ]
    assert flow_data(after)["orphan_count"] == 0
    assert root_event_id(after.steps) == "parent"


def test_events_that_cause_each_other_in_a_circle_are_all_placed() -> None:
    flow = flow_of_steps(step("a", "b", 2), step("b", "a", 1), step("self", "self", 3))
    assert placed(flow) == [("self", 0, None, True), ("b", 0, None, True), ("a", 1, SECOND, False)]


def test_a_rejection_fails_the_flow_and_later_steps_do_not_mend_it() -> None:
    flow = flow_of_steps(
        step("root"), step("no", "root", 1, "trading.order.rejected"), step("late", "root", 2, "trading.order.filled")
    )
    assert flow.status == "FAILED"


def test_the_same_event_published_twice_is_one_step() -> None:
    flow = flow_of_steps(step("root"), step("a", "root", 1), step("a", "root", 1))
    assert [one.event_id for one in flow.steps] == ["root", "a"]
    assert flow.applied == {"flows.steps:0": 2}


def test_a_record_delivered_again_gives_back_the_same_flow() -> None:
    flow = flow_of_steps(step("root"), step("a", "root", 1))
    assert add_step(flow, "c1", step("a", "root", 1), At("flows.steps:0", 1)) is flow
    assert add_step(flow, "c1", step("root"), At("flows.steps:0", 0)) is flow


def test_a_flow_keeps_a_bounded_number_of_steps_and_says_how_many_it_left_out() -> None:
    flow = flow_of_steps(*(step(f"e{number}", at_s=number) for number in range(STEPS_MAX + 3)))
    data = flow_data(flow)
    assert len(data["steps"]) == STEPS_MAX
    assert data["truncated_count"] == 3
    assert data["last_ns"] == (STEPS_MAX + 2) * SECOND
    assert flow_data(flow_of(data)) == data


def test_a_step_survives_its_record() -> None:
    one = step("a", "root", 1)
    assert step_of(step_data("c1", one)) == one


@st.composite
def trees(draw: st.DrawFn) -> list[Step]:
    """Steps with distinct ids and times; each names an earlier step, nobody, or somebody unknown as its cause."""
    count = draw(st.integers(1, 12))
    times = draw(st.lists(st.integers(0, 50), min_size=count, max_size=count))
    steps = []
    for number in range(count):
        cause = draw(st.sampled_from([None, "unknown", *(f"e{n}" for n in range(number))]))
        steps.append(step(f"e{number}", cause, times[number]))
    return steps


@given(trees().flatmap(lambda steps: st.tuples(st.just(steps), st.permutations(steps))))
def test_the_tree_does_not_depend_on_the_order_in_which_steps_come(case: tuple[list[Step], list[Step]]) -> None:
    steps, shuffled = case
    one, other = flow_data(flow_of_steps(*steps)), flow_data(flow_of_steps(*shuffled))
    assert one == other


@given(trees())
def test_the_tree_holds_every_step_once_with_causes_before_effects(steps: list[Step]) -> None:
    order = [one.step.event_id for one in lay_out(steps)]
    assert sorted(order) == sorted(one.event_id for one in steps)
    by_id = {one.event_id: one for one in steps}
    for one in lay_out(steps):
        cause = one.step.causation_id
        if cause in by_id:
            assert order.index(cause) < order.index(one.step.event_id)
            assert one.hop_latency_ns == one.step.occurred_ns - by_id[cause].occurred_ns
            assert not one.orphan
        else:
            assert (one.depth, one.orphan) == (0, cause is not None)


@given(trees())
def test_a_flow_goes_on_from_its_record_as_from_itself(steps: list[Step]) -> None:
    flow: Flow | None = None
    for offset, one in enumerate(steps):
        flow = add_step(flow_of(flow_data(flow)) if flow else None, "c1", one, At("flows.steps:0", offset))
    assert flow is not None
    assert flow_data(flow) == flow_data(flow_of_steps(*steps))
