"""`tradewire query`: events, statistics and positions out of the history, each answer with how far it is complete."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Column, Table

from tradewire.core import load_settings
from tradewire.operations.consoles import stdout_console
from tradewire.schemas import Contract
from tradewire.schemas.headers import format_time_ns, parse_time_ns
from tradewire.sinks.complete import CompleteUpTo, complete_line
from tradewire.sinks.event_pages import EventFilter
from tradewire.sinks.history import FLOW_STATES, Answered, History
from tradewire.sinks.statistics import VolumePage

query_app = typer.Typer(no_args_is_help=True)


def _time_ns(text: str) -> int:
    try:
        return parse_time_ns(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a time like 2026-01-02T14:30:00.5Z or a day like 2026-01-02"
        ) from error


Since = Annotated[int | None, typer.Option("--since", parser=_time_ns, metavar="TIME", help="first time of occurrence")]
Until = Annotated[int | None, typer.Option("--until", parser=_time_ns, metavar="TIME", help="end of it, exclusive")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout")]


def _opened() -> History:
    return History.open(load_settings())


@query_app.command()
def events(
    type: Annotated[str | None, typer.Option(help="event type")] = None,
    topic: Annotated[str | None, typer.Option(help="topic")] = None,
    source: Annotated[str | None, typer.Option(help="publishing service")] = None,
    aggregate: Annotated[str | None, typer.Option(help="aggregate id (ce_subject)")] = None,
    correlation: Annotated[str | None, typer.Option(help="correlation id")] = None,
    id: Annotated[str | None, typer.Option(help="event id")] = None,
    since: Since = None,
    until: Until = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="PATH=TEXT", help="a field of the data: symbol=BTCUSDT, levels[0].price=1"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="events of a page")] = 20,
    cursor: Annotated[str | None, typer.Option(help="where the page before ended")] = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="oldest first")] = False,
    newest_version: Annotated[
        bool, typer.Option("--newest-version", help="data in the newest version of its type, not as it was written")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Events by any of their attributes, newest first, a page at a time."""
    wanted = EventFilter(
        type=type, topic=topic, source=source, subject=aggregate, correlation_id=correlation, id=id,
        since_ns=since, until_ns=until, payload=dict(map(_field, where or ())),
    )  # fmt: skip
    codec = Contract.load(load_settings()).codec if newest_version else None
    with _opened() as history:
        found = history.events(wanted, limit=limit, cursor=cursor, order="oldest" if oldest else "newest", codec=codec)
    page = found.answer
    if as_json:
        print_json(found.complete, events=list(map(dataclasses.asdict, page.events)), cursor=page.cursor)
        return
    table = Table(*(Column(name, overflow="fold") for name in ("time", "type", "aggregate", "data", "at")))
    for event in page.events:
        at = f"{event.topic}[{event.partition}]@{event.offset}".replace("[", "\\[")
        data = json.dumps(event.payload, ensure_ascii=False).replace("[", "\\[")
        table.add_row(format_time_ns(event.time_ns), event.type, event.subject, data, at)
    stdout_console().print(table)
    notes = Console(stderr=True, soft_wrap=True)
    if page.cursor is not None:
        notes.print(f"more: --cursor {page.cursor}", highlight=False)
    say_complete(found.complete, notes)


@query_app.command()
def stats(
    what: Annotated[
        Literal["volume", "errors", "hops", "flows", "stored"] | None,
        typer.Argument(help="volume (default), errors, hops, flows or stored"),
    ] = None,
    by: Annotated[Literal["type", "topic", "source"], typer.Option(help="of volume")] = "type",
    per_minute: Annotated[bool, typer.Option("--per-minute", help="of volume: newest minutes first")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="rows of a page of volume")] = 1_000,
    cursor: Annotated[str | None, typer.Option(help="of volume: where the page before ended")] = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Volume and delays, error rates, latency from cause to effect, flow completion, published against stored."""
    times: dict[str, Any] = {"since_ns": since, "until_ns": until}
    more: str | None = None
    with _opened() as history:
        found: Answered[Any]
        if what in (None, "volume"):
            wanted = EventFilter(**times)
            found = history.volume(by=by, per_minute=per_minute, wanted=wanted, limit=limit, cursor=cursor)
        elif what == "stored":
            found = history.stored()
        else:
            ask: dict[str, Any] = {"errors": history.errors, "hops": history.hops, "flows": history.flows}
            found = ask[str(what)](**times)
    answer: Any = found.answer
    if isinstance(answer, VolumePage):
        answer, more = answer.rows, answer.cursor
    rows = [_plain(row) for row in answer]
    if as_json:
        print_json(found.complete, rows=rows, cursor=more)
        return
    stdout_console().print(_table(rows))
    notes = Console(stderr=True, soft_wrap=True)
    if more is not None:
        notes.print(f"more: --cursor {more}", highlight=False)
    say_complete(found.complete, notes, of=FLOW_STATES if what == "flows" else "")


@query_app.command()
def complete(as_json: AsJson = False) -> None:
    """Up to where history is complete: per partition what Kafka has and what the sink has confirmed."""
    with _opened() as history:
        found = history.complete()
    if as_json:
        print_json(found)
        return
    stdout_console().print(_table([dataclasses.asdict(at) | {"behind": at.behind} for at in found.partitions]))
    say_complete(found, Console(stderr=True, soft_wrap=True))


def _field(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not path or not equals:
        raise typer.BadParameter(f"--where {text!r} is not PATH=TEXT, as symbol=BTCUSDT")
    return path, value


def _plain(row: Any) -> dict[str, Any]:
    extra = {name: getattr(row, name) for name in ("rate", "ratio") if hasattr(row, name)}
    return dataclasses.asdict(row) | extra


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table()
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)] if rows else ["nothing"]
    for name in names:
        number = bool(rows) and isinstance(rows[0][name], int | float)
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(name, row[name]) for name in names))
    return table


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "minute_ms":
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:,.4f}" if name in ("rate", "ratio") else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def say_complete(found: CompleteUpTo | None, notes: Console, *, of: str = "") -> None:
    """One line: up to where the answer above it is complete."""
    notes.print(complete_line(found, of=of), highlight=False, markup=False)


def print_json(found: CompleteUpTo | None, **answer: Any) -> None:
    """The answer, and as ``complete`` how far it is complete: null when Kafka could not be asked."""
    complete: dict[str, Any] | None = None
    if found is not None:
        partitions = [dataclasses.asdict(at) for at in found.partitions]
        complete = {"asked_ms": found.asked_ms, "recorded_ms": found.recorded_ms, "behind": found.behind}
        complete |= {"partitions": partitions}
    json.dump(answer | {"complete": complete}, sys.stdout, indent=2)
    sys.stdout.write("\n")
