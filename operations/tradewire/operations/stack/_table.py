"""The status table of the stack, live in a terminal and as plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tradewire.operations.stack._part import PartStatus, StackStatus

_STYLES = {
    "ready": "green",
    "done": "green",
    "starting": "yellow",
    "waiting": "dim",
    "backoff": "bold yellow",
    "unresponsive": "bold yellow",
    "degraded": "bold yellow",
    "stopping": "yellow",
    "stopped": "dim",
    "failed": "bold red",
}


def status_table(status: StackStatus, *, now: float | None = None) -> RenderableType:
    """The table of one status: a row per part, below it the notes and the error. ``now`` is Unix time in seconds."""
    moment = time.time() if now is None else now
    title = Text.assemble(
        "tradewire stack: ", (status.state, _STYLES.get(status.state, "")), f"  ({status.data_folder})"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("part", "state"):
        table.add_column(column, no_wrap=True)
    for column in ("pid", "port", "restarts", "since", "memory"):
        table.add_column(column, justify="right", no_wrap=True)
    for part in status.parts:
        table.add_row(*_cells(part, moment))
    # Below the table and not in it: a cause is a sentence, a terminal may be 80 columns wide.
    notes = [Text(f"{part.name}: {part.note}") for part in status.parts if part.note]
    errors = [Text(status.error, style="red")] if status.error else []
    return Group(table, *notes, *errors)


def _cells(part: PartStatus, now: float) -> tuple[str | Text, ...]:
    return (
        part.name,
        Text(part.state, style=_STYLES.get(part.state, "")),
        str(part.pid or ""),
        " ".join(str(port) for port in part.ports.values()),
        str(part.restarts or ""),
        duration(now - part.since) if part.since else "",
        f"{part.rss_bytes / 2**20:.0f} MiB" if part.rss_bytes is not None else "",
    )


def duration(seconds: float) -> str:
    """``7 s``, ``3 m 07 s``, ``2 h 05 m``, ``4 d 01 h``; never negative."""
    total = max(0, int(seconds))
    minutes, second = divmod(total, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02} h"
    if hours:
        return f"{hours} h {minute:02} m"
    return f"{minutes} m {second:02} s" if minutes else f"{second} s"


@contextlib.contextmanager
def live_table(console: Console | None = None) -> Iterator[Callable[[StackStatus], None]]:
    """Gives a function to call with each new status, made for ``Supervisor.run(on_tick=…)``.

    In a terminal the table is redrawn in place. Elsewhere one line is printed per change of a part's state, so that
    a log of the output stays readable.
    """
    out = console or Console()
    if not out.is_terminal:
        yield _line_printer(out)
        return
    with Live(console=out, auto_refresh=False, transient=False) as live:
        yield lambda status: live.update(status_table(status), refresh=True)


def _line_printer(out: Console) -> Callable[[StackStatus], None]:
    seen: dict[str, tuple[str, int]] = {}

    def show(status: StackStatus) -> None:
        for part in status.parts:
            key = (part.state, part.restarts)
            if seen.get(part.name) != key:
                seen[part.name] = key
                pid = f" pid {part.pid}" if part.pid else ""
                note = f": {part.note}" if part.note else ""
                out.print(Text(f"{part.name} {part.state}{pid}{note}"), soft_wrap=True)
        if seen.get("") != (status.state, 0):
            seen[""] = (status.state, 0)
            out.print(Text(f"stack {status.state}"), soft_wrap=True)

    return show
