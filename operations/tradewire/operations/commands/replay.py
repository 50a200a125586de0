"""`tradewire replay`: stretches of topics again, byte for byte."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from tradewire.core import load_settings
from tradewire.sinks.replay import OffsetRange, Replay, ReplayPlan, ReplayResult

replay_app = typer.Typer(no_args_is_help=True)


@replay_app.callback()
def _root() -> None:
    """Read stretches of history again, byte for byte."""


@replay_app.command("range")
def replay_range(
    topic: Annotated[str, typer.Option(help="source topic")],
    partition: Annotated[int, typer.Option(min=0, help="its partition")],
    lo: Annotated[int, typer.Option("--from", min=0, help="first offset")],
    hi: Annotated[
        int | None, typer.Option("--to", min=0, help="last offset, inclusive; the present end if none")
    ] = None,
    to_stdout: Annotated[bool, typer.Option("--to-stdout", help="JSON lines, bytes in base64")] = False,
    to_file: Annotated[Path | None, typer.Option("--to-file", help="the same into a new file")] = None,
    to_topic: Annotated[str | None, typer.Option("--to-topic", help="another topic")] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="to a topic: add no header, keep the partition's number")
    ] = False,
    allow_gaps: Annotated[bool, typer.Option("--allow-gaps", help="go on where offsets are missing")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be read from where")] = False,
) -> None:
    """Offsets FROM to TO of one partition, from Kafka and, where Kafka no longer has them, from ClickHouse.

    The counts and a digest of keys, values and headers are shown on stderr; equal digests mean equal bytes.
    """
    if sum((to_stdout, to_file is not None, to_topic is not None, dry_run)) != 1:
        raise typer.BadParameter("give one of --to-stdout, --to-file, --to-topic, --dry-run")
    wanted = OffsetRange(topic, partition, lo, hi)
    notes = Console(stderr=True)
    with Replay(load_settings()) as replay:
        try:
            if dry_run:
                notes.print(_plan_table(replay.plan(wanted)))
                return
            if to_stdout:
                result = replay.to_stream(wanted, sys.stdout, allow_gaps=allow_gaps)
            elif to_file is not None:
                result = replay.to_file(wanted, to_file, allow_gaps=allow_gaps)
            else:
                assert to_topic is not None
                result = replay.to_topic(wanted, to_topic, exact=exact, allow_gaps=allow_gaps)
        except BaseException:
            # Of a file nothing is left.
            if to_file is None and replay.next_offset is not None and replay.next_offset > lo:
                notes.print(f"stopped; go on with --from {replay.next_offset}")
            raise
    notes.print(_result_table(result))


def _plan_table(plan: ReplayPlan) -> Table:
    table = Table("source", "from", "to")
    for segment in plan.segments:
        table.add_row(segment.source, str(segment.lo), str(segment.hi))
    table.caption = f"at most {plan.records_max:,} records"
    return table


def _result_table(result: ReplayResult) -> Table:
    table = Table("what", Column("value", overflow="fold"), show_header=False)
    table.add_row("records", f"{result.digest.records:,}")
    table.add_row("from ClickHouse / Kafka", f"{result.from_history:,} / {result.from_kafka:,}")
    table.add_row("bytes", f"{result.digest.bytes:,}")
    table.add_row("sha256", result.digest.sha256)
    table.add_row("replay id", result.replay_id)
    return table
