"""A flow drawn for a terminal."""

from __future__ import annotations

import io

from rich.console import Console
from tests.processors.pure import pure_contract
from tests.processors.test_flow_runs import ACCEPTED, CREATED, FILLED, MS, REJECTED, Story, step

from tradewire.operations.commands.trace import flow_of_events
from tradewire.operations.waterfall import span, tree_rows, waterfall
from tradewire.processors import Step, lay_out
from tradewire.processors.flow_declarations import DeclaredFlows
from tradewire.sinks.flow import StoredEvent

DECLARED = DeclaredFlows.load(pure_contract().catalogue)


def drawn(story: Story, now_ms: int = 10_000) -> str:
    assert story.flow is not None
    stream = io.StringIO()
    console = Console(file=stream, width=160, color_system=None)
    console.print(waterfall(story.flow, now_ns=now_ms * MS, source="tests"))
    return stream.getvalue()


def caused(one: Step, cause: Step | str) -> Step:
    return one._replace(causation_id=cause if isinstance(cause, str) else cause.event_id)


def test_each_event_stands_below_its_cause_with_its_hop() -> None:
    created = step(CREATED, 0)
    accepted = caused(step(ACCEPTED, 100), created)
    text = drawn(Story().take(created, accepted, caused(step(FILLED, 900), accepted)))
    lines = [line.split() for line in text.splitlines()]
    assert "COMPLETED 3 events in 900 ms" in " ".join(lines[0])
    assert [line[0] for line in lines[2:5]] == [CREATED, "└─", "└─"]
    assert lines[3][1:6] == [ACCEPTED, "+100", "ms", "100", "ms"]
    assert lines[4][1:6] == [FILLED, "+900", "ms", "800", "ms"]
    assert "longest hop: 800 ms before trading.order.filled" in text
    assert "accepted 100 ms, ended 800 ms" in text


def test_effects_of_one_cause_are_its_branches_oldest_first() -> None:
    root = step("strategy.signal.generated", 0)
    first, second = caused(step(CREATED, 5), root), caused(step(CREATED, 9, subject="o2"), root)
    below = caused(step(ACCEPTED, 7), first)
    rows = [(row.branch, row.placed.step.event_id) for row in tree_rows(lay_out([second, root, below, first]))]
    assert rows == [
        ("", root.event_id),
        ("├─ ", first.event_id),
        ("│  └─ ", below.event_id),
        ("└─ ", second.event_id),
    ]


def test_a_chain_of_thousands_is_drawn() -> None:
    """Python's own stack is not deep enough for a recursion."""
    chain = [step(CREATED, number, id=f"e{number}") for number in range(3_000)]
    chain = [chain[0], *(caused(one, f"e{number}") for number, one in enumerate(chain[1:]))]
    assert len(list(tree_rows(lay_out(chain)))) == 3_000


def test_an_orphan_says_that_its_parent_was_not_seen() -> None:
    text = drawn(Story().take(caused(step(ACCEPTED, 0), "nobody")))
    assert "parent not seen" in text and "1 orphaned" in text


def test_a_missed_deadline_is_told_and_what_is_overdue() -> None:
    text = drawn(Story().take(step(CREATED, 0)).at(600), now_ms=2_500)
    assert "STALLED" in text
    assert "deadline missed: accepted" in text
    assert "accepted, overdue by 2 s" in text


def test_a_late_step_and_a_failure_stand_beside_their_events() -> None:
    text = drawn(Story().take(step(CREATED, 0), step(ACCEPTED, 700), step(REJECTED, 800)))
    (accepted,) = [line for line in text.splitlines() if line.startswith(ACCEPTED)]
    (rejected,) = [line for line in text.splitlines() if line.startswith(REJECTED)]
    assert accepted.rstrip().endswith("late")
    assert rejected.rstrip().endswith("failed the flow")


def test_what_is_waited_for_is_told_with_the_time_that_is_left() -> None:
    assert "accepted within 400 ms" in drawn(Story().take(step(CREATED, 0)), now_ms=100)


def test_names_with_brackets_are_shown_as_they_are() -> None:
    assert "[red]o1" in drawn(Story().take(step(CREATED, 0, subject="[red]o1")))


def test_spans_have_three_digits() -> None:
    assert [span(ns) for ns in (0, 1_500, 12_345_678, 999_400_000, 61 * 10**9, 26 * 3_600 * 10**9, -5_000_000)] == [
        "0",
        "1.5 µs",
        "12.3 ms",
        "999 ms",
        "1.02 min",
        "1.08 d",
        "-5 ms",
    ]


def stored(type: str, at_ms: int, **payload: object) -> StoredEvent:
    return StoredEvent(
        topic="t",
        partition=0,
        offset=at_ms,
        type=type,
        version=1,
        schema_id=1,
        id=f"{type}@{at_ms}",
        source="s",
        subject="o1",
        correlation_id="c1",
        causation_id="",
        sequence=None,
        tags={},
        time_ns=at_ms * MS,
        recorded_ms=at_ms,
        stored_ms=at_ms,
        payload=dict(payload),
    )


def test_stored_events_are_folded_as_the_worker_folds_them_and_stalls_are_those_that_were_told() -> None:
    created = stored(CREATED, 0)
    flow = flow_of_events("c1", [created], DECLARED)
    assert flow is not None and flow.status == "OPEN"
    told = stored(
        "flow.run.stalled", 600, run_id=flow.runs[0].run_id, waiting_step="accepted", deadline_ns=str(500 * MS)
    )
    stalled = flow_of_events("c1", [created, told, stored("flows.state.changed", 601)], DECLARED)
    assert stalled is not None
    assert (stalled.status, stalled.runs[0].stalls[0].deadline_ns, len(stalled.steps)) == ("STALLED", 500 * MS, 1)
    repaired = flow_of_events("c1", [created, told, stored(ACCEPTED, 700)], DECLARED)
    assert repaired is not None
    assert (repaired.status, [stall.step for stall in repaired.runs[0].stalls]) == ("OPEN", ["accepted"])
    assert flow_of_events("c1", [told], DECLARED) is None
