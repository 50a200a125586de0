"""What a question in SQL may be, and under which settings it runs. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from tradewire.core.errors import QueryError

# What may begin a question is listed, not what may not: a later release of the engine may know more statements, and
# `readonly` lets KILL (of the sink's inserts, too) and BACKUP pass.
READING: Final = ("SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS")
_SKIPPED: Final = re.compile(r"(\s+|--[^\n]*(\n|\Z)|#[! ][^\n]*(\n|\Z)|/\*.*?\*/|\()", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z_]+")


def beginning(sql: str) -> str:
    """The first word of a query in capitals, behind comments and brackets; empty when there is none."""
    at = 0
    while skipped := _SKIPPED.match(sql, at):
        at = skipped.end()
    word = _WORD.match(sql, at)
    return word.group().upper() if word else ""


def must_read(question: str) -> None:
    """Refuses what the engine's ``readonly`` lets pass although it is no question: KILL (of our inserts too), BACKUP.

    Raises:
        QueryError: the statement does not begin, behind comments and brackets, with a word that reads.
    """
    word = beginning(question)
    if word not in READING:
        began = word or "no word"
        raise QueryError(f"SQL begins with {began}; a question begins with one of {', '.join(READING)}", field="sql")


def read_only(database: str, rows_max: int, seconds_max: int, memory_bytes_max: int) -> dict[str, Any]:
    """Settings under which SQL of strangers runs: nothing is written, no file or address is opened, limits hold."""
    return {
        "readonly": 1,
        "database": database,
        "max_result_rows": rows_max,
        "result_overflow_mode": "break",
        "max_execution_time": seconds_max,
        "max_memory_usage": memory_bytes_max,
    }
