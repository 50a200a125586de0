"""`tradewire sql`: read-only questions to the history."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tradewire.core import load_settings
from tradewire.sinks.history import Answer, History


def sql(
    question: Annotated[str, typer.Argument(help='e.g. "SELECT type, count() FROM events GROUP BY type"')],
    format: Annotated[
        str | None, typer.Option("--format", help="a format of ClickHouse: CSVWithNames, JSONEachRow, TSV, Parquet …")
    ] = None,
    rows_max: Annotated[int | None, typer.Option(min=1, help="rows to show; default from gateway.sql_rows_max")] = None,
    seconds_max: Annotated[int | None, typer.Option(min=1, help="default from gateway.sql_seconds_max")] = None,
) -> None:
    """Runs read-only SQL in the database of history. stdout has the result alone."""
    settings = load_settings()
    rows = rows_max or settings.gateway.sql_rows_max
    seconds = seconds_max or settings.gateway.sql_seconds_max
    history = History.connect(settings.clickhouse)
    try:
        if format is not None:
            sys.stdout.buffer.write(history.sql_text(question, format, rows_max=rows, seconds_max=seconds))
            sys.stdout.flush()
            return
        answer = history.sql(question, rows_max=rows, seconds_max=seconds)
    finally:
        history.close()
    Console().print(_table(answer))
    if answer.truncated:
        Console(stderr=True).print(f"only the first {rows:,} rows are shown; see --rows-max")


def _table(answer: Answer) -> Table:
    table = Table()
    numbers = ("Int", "UInt", "Float", "Decimal")
    for name, type in zip(answer.columns, answer.types, strict=True):
        table.add_column(name, justify="right" if type.removeprefix("Nullable(").startswith(numbers) else "left")
    for row in answer.rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    return table
