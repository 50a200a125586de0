"""`tradewire feed`: files and a simulation into Kafka, with a progress bar and the counts at the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.progress import TimeElapsedColumn as ElapsedColumn
from rich.table import Table

from tradewire.core import load_settings
from tradewire.operations.consoles import stdout_console
from tradewire.producers import Publisher
from tradewire.producers.errors import FeedError
from tradewire.producers.feeds import (
    FeedItem,
    FeedProgress,
    FeedResult,
    Line,
    LineFile,
    binance_raw,
    binance_trades,
    lobster,
    run_feed,
    session_of,
    simulate,
)
from tradewire.schemas import Contract

feed_app = typer.Typer(no_args_is_help=True)


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    if text == "real":
        return 1.0
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise typer.BadParameter(f"{text!r} is neither max, real nor a factor above zero")
    return factor


File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="plain or gzipped")]
Speed = Annotated[str, typer.Option(help="max, real (the events' own pace) or a factor of it", metavar="max|real|N")]
Strict = Annotated[bool, typer.Option("--strict", help="stop at the first malformed line")]
Limit = Annotated[int | None, typer.Option(min=1, help="stop after so many events")]


@feed_app.command("binance-trades")
def feed_binance_trades(file: File, speed: Speed = "max", strict: Strict = False, limit: Limit = None) -> None:
    """Trades as CSV with a header: market, symbol, trade_id, price, qty and times."""
    _feed_file(file, binance_trades, speed, strict, limit)


@feed_app.command("binance-raw")
def feed_binance_raw(
    file: File,
    venue: Annotated[str, typer.Option(help="the capture does not say it")] = "binance.spot",
    speed: Speed = "max",
    strict: Strict = False,
    limit: Limit = None,
) -> None:
    """A websocket capture, `<arrival in ns> <JSON>` a line: trades and book tickers; other kinds are counted."""
    _feed_file(file, partial(binance_raw, venue=venue), speed, strict, limit)


@feed_app.command("lobster")
def feed_lobster(
    file: File,
    symbol: Annotated[str | None, typer.Option(help="as the file's name says when not given")] = None,
    on: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="session date; as in the file's name")
    ] = None,
    speed: Speed = "max",
    strict: Strict = False,
    limit: Limit = None,
) -> None:
    """LOBSTER order messages: each order's life from creation to its end."""
    symbol, session = session_of(file, symbol, on.date() if on else None)
    _feed_file(file, partial(lobster, symbol=symbol, on=session), speed, strict, limit)


@feed_app.command("simulate")
def feed_simulate(
    events: Annotated[int | None, typer.Option(min=1, help="how many; endless when not given")] = None,
    seed: Annotated[int, typer.Option(help="the same seed gives the same events, ids included")] = 1,
    speed: Speed = "max",
    strict: Strict = False,
    limit: Limit = None,
) -> None:
    """A market, a trader whose orders follow from signals, and a channel of setups."""
    total = min((number for number in (events, limit) if number is not None), default=None)
    columns = [MofNCompleteColumn()] if total is not None else []
    with _progress(*columns) as progress:
        task = progress.add_task("simulate", total=total, rate="")

        def show(now: FeedProgress) -> None:
            progress.update(task, completed=now.published, rate=_rate(progress, task, now))

        result = _run(simulate(seed, events), _speed(speed), strict, limit, show)
    _conclude(result)


def _feed_file(
    file: Path,
    parse: Callable[[Iterable[Line | FeedError]], Iterator[FeedItem]],
    speed: str,
    strict: bool,
    limit: int | None,
) -> None:
    factor = _speed(speed)
    with LineFile(file) as lines, _progress(TaskProgressColumn()) as progress:
        task = progress.add_task(file.name, total=lines.size_bytes, rate="")

        def show(now: FeedProgress) -> None:
            progress.update(task, completed=lines.read_bytes, rate=_rate(progress, task, now))

        result = _run(parse(lines), factor, strict, limit, show)
    _conclude(result)


def _progress(*columns: TaskProgressColumn | MofNCompleteColumn) -> Progress:
    """On stderr, so that the table on stdout can be piped. The bar of a file moves by the bytes read of it."""
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(16), *columns, TextColumn("{task.fields[rate]}"),
        ElapsedColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip


def _rate(progress: Progress, task: int, now: FeedProgress) -> str:
    elapsed = next(item.elapsed for item in progress.tasks if item.id == task) or 0.0
    skipped = f", {now.skipped} skipped" if now.skipped else ""
    return f"{now.published:,} events, {now.published / elapsed if elapsed else 0:,.0f}/s{skipped}"


def _run(
    items: Iterable[FeedItem],
    speed: float | None,
    strict: bool,
    limit: int | None,
    show: Callable[[FeedProgress], None],
) -> FeedResult:
    settings = load_settings()
    with _stopped_by_interrupt() as stop, Publisher(settings, Contract.load(settings)) as publisher:
        publisher.wait_for_broker()
        return run_feed(publisher, items, speed=speed, strict=strict, limit=limit, on_progress=show, stop=stop)


@contextmanager
def _stopped_by_interrupt() -> Iterator[threading.Event]:
    """Ctrl-C ends the feed but not the delivery of what has been taken; a second one ends the command."""
    stop = threading.Event()

    def interrupt(_signal: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _conclude(result: FeedResult) -> None:
    table = Table("event type", "published")
    table.columns[1].justify = "right"
    for type, count in result.published.items():
        table.add_row(type, f"{count:,}")
    table.add_section()
    table.add_row("events", f"{result.total:,}")
    for kind, count in result.other_kinds.items():
        table.add_row(f"not an event: {kind}", f"{count:,}")
    if result.skipped:
        table.add_row("malformed lines skipped", f"{result.skipped:,}")
    if result.unknown:
        table.add_row("NOT CONFIRMED", f"{result.unknown:,}")
    console = stdout_console()
    console.print(table)
    console.print(f"{result.seconds:.1f} s, {result.rate_per_s:,.0f} events/s")
    for problem in result.problems[:10]:
        console.print(f"skipped {problem}", markup=False, highlight=False)
    if result.failed:
        raise typer.Exit(1)
