"""One flow drawn for a terminal: the tree of causes, when each event occurred, what was declared of it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tradewire.processors import Flow, PlacedStep, lay_out
from tradewire.processors.flow_runs import COMPLETED, FAILED, STALLED, Run

_BAR: Final = 32
_COLOURS: Final = {COMPLETED: "green", FAILED: "red", STALLED: "yellow"}
_UNITS: Final = ((86_400 * 10**9, "d"), (3_600 * 10**9, "h"), (60 * 10**9, "min"), (10**9, "s"), (10**6, "ms"))


class Row(NamedTuple):
    """An event in the drawn tree: ``branch`` are the lines before its name."""

    placed: PlacedStep
    branch: str


def waterfall(flow: Flow, *, now_ns: int, source: str) -> RenderableType:
    """The whole picture. ``source`` says where the data are from; deadlines are held against ``now_ns``."""
    placed = lay_out(flow.steps)
    orphans = sum(one.orphan for one in placed)
    head = Text.assemble(
        ("flow ", "bold"),
        flow.correlation_id,
        "  ",
        (flow.status, f"bold {_COLOURS.get(flow.status, 'cyan')}"),
        f"  {len(flow.steps)} events in {span(flow.last_ns - flow.started_ns)}",
        f", began {_moment(flow.started_ns)}",
        (f", {orphans} orphaned" if orphans else "", "yellow"),
        (f", {flow.truncated_count} more not kept" if flow.truncated_count else "", "yellow"),
        f"  (from {source})",
    )
    parts: list[RenderableType] = [head, _tree(flow, placed)]
    longest = max((one for one in placed if one.hop_latency_ns), key=_hop, default=None)
    if longest is not None and _hop(longest) > 0:
        parts.append(Text(f"longest hop: {span(_hop(longest))} before {longest.step.event_type}"))
    if flow.runs:
        parts.append(_runs(flow.runs, now_ns))
    return Group(*parts)


def _hop(placed: PlacedStep) -> int:
    return placed.hop_latency_ns or 0


def tree_rows(placed: Sequence[PlacedStep]) -> Iterator[Row]:
    """Each event followed by its effects, oldest first; events without a known cause stand at the margin."""
    effects: dict[str, list[PlacedStep]] = defaultdict(list)
    known = {one.step.event_id for one in placed}
    roots = []
    for one in placed:
        cause = one.step.causation_id
        if one.depth and cause in known:
            effects[str(cause)].append(one)
        else:
            roots.append(one)
    # (event, lines of those below it, its own branch); a stack, since flows may be deeper than Python's.
    waiting = [(root, "", "") for root in reversed(roots)]
    while waiting:
        one, below, branch = waiting.pop()
        yield Row(one, branch)
        children = effects[one.step.event_id]
        for place, child in reversed(list(enumerate(children))):
            last = place == len(children) - 1
            waiting.append((child, below + ("   " if last else "│  "), below + ("└─ " if last else "├─ ")))


def _tree(flow: Flow, placed: Sequence[PlacedStep]) -> Table:
    late = {one.event_id for run in flow.runs for one in run.reached if one.late}
    failed = {run.failed_by for run in flow.runs}
    occurred = {one.step.event_id: one.step.occurred_ns for one in placed}
    table = Table(box=None, pad_edge=False, expand=False)
    table.add_column("event", overflow="fold")
    table.add_column("at", justify="right", no_wrap=True)
    table.add_column("hop", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, width=_BAR)
    table.add_column("subject", overflow="fold")
    table.add_column("", overflow="fold")
    for row in tree_rows(placed):
        step, hop_ns = row.placed.step, row.placed.hop_latency_ns
        notes = []
        if row.placed.orphan:
            notes.append(("parent not seen", "yellow"))
        if step.event_id in late:
            notes.append(("late", "yellow"))
        if step.event_id in failed:
            notes.append(("failed the flow", "red"))
        if hop_ns is not None and hop_ns < 0:
            notes.append(("before its cause: clocks disagree", "yellow"))
        began_ns = occurred[str(step.causation_id)] if hop_ns is not None else step.occurred_ns
        table.add_row(
            Text.assemble((row.branch, "dim"), step.event_type),
            f"+{span(step.occurred_ns - flow.started_ns)}",
            "" if hop_ns is None else span(hop_ns),
            bar(flow, began_ns, step.occurred_ns),
            Text(step.subject),
            Text(", ").join(Text(*note) for note in notes),
        )
    return table


def bar(flow: Flow, began_ns: int, occurred_ns: int) -> Text:
    """The hop to an event on the flow's line of time, the event as a dot at its end."""
    whole_ns = max(1, flow.last_ns - flow.started_ns)
    begin = (min(began_ns, occurred_ns) - flow.started_ns) * (_BAR - 1) // whole_ns
    end = (occurred_ns - flow.started_ns) * (_BAR - 1) // whole_ns
    return Text.assemble(" " * begin, ("━" * max(0, end - begin), "cyan"), ("●", "bold"))


def _runs(runs: Sequence[Run], now_ns: int) -> Table:
    table = Table(box=None, pad_edge=False, title="declared flows", title_justify="left")
    for name in ("flow", "of", "status", "steps", "waiting for"):
        table.add_column(name, overflow="fold")
    for run in runs:
        steps = Text(", ").join(
            Text(f"{one.step} {span(hop_ns)}" + (" late" if one.late else ""), "yellow" if one.late else "")
            for one, hop_ns in run.hops()
        )
        missed = [stall.step for stall in run.stalls]
        status = Text(run.status, _COLOURS.get(run.status, "cyan"))
        if missed:
            status.append(f" (deadline missed: {', '.join(missed)})", "yellow")
        if run.quiet:
            status.append(" (replayed: raises nothing)", "dim")
        table.add_row(run.flow, Text(run.subject or "the correlation"), status, steps, _waiting(run, now_ns))
    return table


def _waiting(run: Run, now_ns: int) -> Text:
    if run.waiting is None or run.status in (COMPLETED, FAILED):
        return Text("")
    deadline_ns = run.deadline_ns
    if deadline_ns is None:
        stalled = next((stall for stall in run.stalls if stall.step == run.waiting), None)
        if stalled is None:
            return Text(run.waiting)
        deadline_ns = stalled.deadline_ns
    if deadline_ns <= now_ns:
        return Text(f"{run.waiting}, overdue by {span(now_ns - deadline_ns)}", "yellow")
    return Text(f"{run.waiting} within {span(deadline_ns - now_ns)}")


def span(ns: int) -> str:
    """A span of time in the largest unit of which it has at least one, three digits."""
    size, unit = next(((size, unit) for size, unit in _UNITS if abs(ns) >= size), (10**3, "µs"))
    if ns == 0:
        return "0"
    return f"{ns / size:.3g} {unit}" if abs(ns) < 1_000 * size else f"{ns / size:.0f} {unit}"


def _moment(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S") + f".{ns // 10**6 % 1000:03d} UTC"
