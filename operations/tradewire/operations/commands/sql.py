"""`tradewire sql`: read-only questions to the history."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tradewire.core import load_settings
from tradewire.core.errors import QueryError
from tradewire.operations.commands.query import say_complete
from tradewire.operations.consoles import stdout_console
from tradewire.sinks.history import History
from tradewire.sinks.stored_history import Answer

_MB = 1_000_000
# What the engine's codes are about: too slow, too much memory.
_LIMITS: dict[object, str] = {159: "--seconds-max", 241: "--memory-mb-max"}


def sql(
    question: Annotated[str, typer.Argument(help='e.g. "SELECT type, count() FROM events GROUP BY type"')],
    format: Annotated[
        str | None, typer.Option("--format", help="a format of ClickHouse: CSVWithNames, JSONEachRow, TSV, Parquet …")
    ] = None,
    rows_max: Annotated[int | None, typer.Option(min=1, help="rows to show; default from gateway.sql_rows_max")] = None,
    seconds_max: Annotated[int | None, typer.Option(min=1, help="default from gateway.sql_seconds_max")] = None,
    memory_mb_max: Annotated[int | None, typer.Option(min=1, help="default from gateway.sql_memory_mb_max")] = None,
) -> None:
    """Runs read-only SQL in the database of history. stdout has the result alone.

    stderr says up to where history was complete when it was asked, or that Kafka could not tell.
    """
    settings = load_settings()
    rows = rows_max or settings.gateway.sql_rows_max
    limits: dict[str, Any] = {
        "seconds_max": seconds_max or settings.gateway.sql_seconds_max,
        "memory_bytes_max": (memory_mb_max or settings.gateway.sql_memory_mb_max) * _MB,
    }
    notes = Console(stderr=True, soft_wrap=True)
    try:
        with History.open(settings) as history:
            if format is not None:
                text = history.sql_text(question, format, rows_max=rows, **limits)
                sys.stdout.buffer.write(text.answer)
                sys.stdout.flush()
                complete = text.complete
            else:
                found = history.sql(question, rows_max=rows, **limits)
                stdout_console().print(_table(found.answer))
                if found.answer.truncated:
                    notes.print(f"only the first {rows:,} rows are shown; see --rows-max")
                complete = found.complete
    except QueryError as error:
        limit = _LIMITS.get(error.context.get("code"))
        if limit is None:
            raise
        raise QueryError(f"{error}. Ask for less, or raise {limit}", **error.context) from error
    say_complete(complete, notes)


def _table(answer: Answer) -> Table:
    table = Table()
    numbers = ("Int", "UInt", "Float", "Decimal")
    for name, type in zip(answer.columns, answer.types, strict=True):
        right = type.removeprefix("Nullable(").startswith(numbers)
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in answer.rows:
        table.add_row(*(Text(_shown(value)) for value in row))
    return table


def _shown(value: Any) -> str:
    """Decimals as ClickHouse writes them: never with an exponent, without closing zeros."""
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return "" if value is None else str(value)
