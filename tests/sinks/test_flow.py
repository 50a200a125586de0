"""The tree of a flow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradewire.sinks.flow import StoredEvent, flow_tree


def event(id: str, cause: str = "", time_ns: int = 0, offset: int = 0) -> StoredEvent:
    return StoredEvent(
        topic="t",
        partition=0,
        offset=offset,
        type="a.b.c",
        version=1,
        schema_id=1,
        id=id,
        source="s",
        subject="x",
        correlation_id="flow",
        causation_id=cause,
        sequence=None,
        tags={},
        time_ns=time_ns,
        recorded_ms=0,
        stored_ms=0,
        payload={},
    )


def shape(events: list[StoredEvent]) -> list[tuple[str, int, int | None]]:
    return [(step.event.id, step.depth, step.hop_latency_ns) for step in flow_tree("flow", events).steps]


def test_effects_follow_their_cause_one_deeper_oldest_first() -> None:
    events = [event("c", "a", 30), event("d", "b", 25), event("a", "", 10), event("b", "a", 20)]

    assert [("a", 0, None), ("b", 1, 10), ("d", 2, 5), ("c", 1, 20)] == shape(events)


def test_an_event_whose_cause_is_not_stored_is_an_orphan_at_the_top() -> None:
    (step,) = flow_tree("flow", [event("b", "missing", 5)]).steps

    assert (0, None, True) == (step.depth, step.hop_latency_ns, step.orphan)


def test_clocks_that_disagree_give_a_latency_below_zero() -> None:
    assert [("a", 0, None), ("b", 1, -5)] == shape([event("a", "", 10), event("b", "a", 5)])


def test_an_id_that_came_twice_counts_once() -> None:
    assert [("a", 0, None)] == shape([event("a", "", 10, 2), event("a", "", 10, 1)])


def test_a_flow_of_nothing_is_empty() -> None:
    assert ([], 0) == (list(flow_tree("flow", []).steps), flow_tree("flow", []).duration_ns)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 5)), max_size=12))
def test_every_id_has_one_place_whatever_the_causes(links: list[tuple[int, int, int]]) -> None:
    """Circles, events that cause themselves and several roots too."""
    events = [event(str(id), str(cause), time_ns, at) for at, (id, cause, time_ns) in enumerate(links)]

    steps = flow_tree("flow", events).steps

    assert sorted({found.id for found in events}) == sorted(step.event.id for step in steps)
    depths = {step.event.id: step.depth for step in steps}
    assert all(depths[step.event.causation_id] == step.depth - 1 for step in steps if step.depth)
