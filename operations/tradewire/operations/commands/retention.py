"""`tradewire retention`: what is old enough to go, and letting it go: archived, proven, deleted."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Column, Table

from tradewire.core import load_settings
from tradewire.core.clock import NS_PER_MS
from tradewire.operations.consoles import stdout_console
from tradewire.operations.retention_events import publish_cleanups
from tradewire.schemas import Contract
from tradewire.schemas.headers import format_time_ns
from tradewire.sinks.retention import Cleaned, Due, Retention

retention_app = typer.Typer(no_args_is_help=True)
_DAY_MS = 86_400_000


@retention_app.command()
def plan() -> None:
    """What `run` would archive and delete now. Exit code 0 when nothing, 3 when something."""
    settings = load_settings()
    with Retention(settings, Contract.load(settings)) as retention:
        due = retention.plan()
        unfinished, untold = retention.ledger.unfinished(), retention.ledger.untold()
    console = stdout_console()
    if unfinished:
        console.print(f"a run ended in the middle of {len(unfinished)} deletions; `run` finishes them first")
    if untold:
        console.print(f"nobody was told how {len(untold)} cleanups ended, or that they were killed; `run` tells it")
    if not due:
        console.print("The policy keeps everything: see retention.policy_file.")
    else:
        console.print(_due_table(due))
    raise typer.Exit(3 if unfinished or untold or any(found.ranges for found in due) else 0)


@retention_app.command()
def run() -> None:
    """Archives what is due, reads the archive back, compares, deletes. Exit code 1 when a rule failed.

    Each rule that lets something go is told to everybody by an event: system.cleanup.completed or .failed.
    """
    settings = load_settings()
    contract = Contract.load(settings)
    with Retention(settings, contract) as retention:
        done = retention.run()
        publish_cleanups(settings, contract, done, manual=True)
        retention.told(done)
    console = stdout_console()
    console.print(_done_table(done) if done else "Nothing was due.")
    for cleaned in done:
        if cleaned.error is not None:
            Console(stderr=True, soft_wrap=True).print(f"{cleaned.rule.target}: {cleaned.error}", markup=False)
    raise typer.Exit(1 if any(cleaned.error is not None for cleaned in done) else 0)


def _due_table(due: Sequence[Due]) -> Table:
    right = ("partition", "from", "to", "rows")
    table = Table(
        Column("what", overflow="fold"),
        "keep",
        "older than",
        *(Column(name, justify="right") for name in right),
        "archive",
    )
    for found in due:
        rule = found.rule
        head = (rule.target, f"{rule.keep_ms / _DAY_MS:g} days", format_time_ns(found.cutoff_ms * NS_PER_MS)[:19])
        archive = "yes" if rule.archive else ("waived" if rule.kind == "topic" else "no: one table alone")
        if not found.ranges:
            table.add_row(*head, "", "", "", "0", archive)
        for part in found.ranges:
            where = (
                f"{part.topic}[{part.partition}]".replace("[", "\\[") if rule.kind == "table" else str(part.partition)
            )
            table.add_row(*head, where, f"{part.lo:,}", f"{part.hi:,}", f"{part.rows:,}", archive)
    return table


def _done_table(done: Sequence[Cleaned]) -> Table:
    what, folder = Column("what", overflow="fold"), Column("archive", overflow="fold")
    table = Table(what, Column("archived", justify="right"), Column("deleted", justify="right"), folder, "result")
    for cleaned in done:
        result = "done" if cleaned.error is None else "[bold red]failed"
        archive = cleaned.archive_folder or ""
        table.add_row(cleaned.rule.target, f"{cleaned.archived:,}", f"{cleaned.deleted:,}", archive, result)
    return table
