"""Projections of ``events``: positions in the order of a flow and of an aggregate, and how a table gets those declared.

Pure: this module makes SQL text and never runs it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

# With the time: the newest events of an aggregate that has millions are read from its end.
PROJECTIONS: Final[Mapping[str, str]] = {
    "by_correlation": "SELECT correlation_id, _part_offset ORDER BY correlation_id",
    "by_subject": "SELECT subject, time_ns, _part_offset ORDER BY subject, time_ns",
}
_WORD: Final = re.compile(r"\w+")


def projection_clauses() -> Sequence[str]:
    """What CREATE TABLE says of them."""
    return [f"PROJECTION {name} ({query})" for name, query in PROJECTIONS.items()]


def projection_statements(table: str, present: Mapping[str, str]) -> list[str]:
    """What gives a table the declared projections, in order; safe to repeat, nothing where all are as declared.

    ``present`` are the queries of those it has, by name; others than the declared ones stay. The parts that are there
    are rebuilt behind the last statement, one after the other: until then questions read more of them, and are right.

    1. An old form is dropped, and no part has it when that returns: it would be read as the new one of its name.
    2. The declared form is added; parts of later inserts and merges have it.
    3. All parts are given it, in the background. A sink that dies before this leaves it to merges.
    """
    statements: list[str] = []
    for name, query in PROJECTIONS.items():
        if name in present and _words(present[name]) == _words(query):
            continue
        if name in present:
            statements.append(
                f"ALTER TABLE {table} DROP PROJECTION IF EXISTS {name} SETTINGS alter_sync = 2, mutations_sync = 2"
            )
        statements.append(f"ALTER TABLE {table} ADD PROJECTION IF NOT EXISTS {name} ({query})")
        statements.append(f"ALTER TABLE {table} MATERIALIZE PROJECTION {name} SETTINGS mutations_sync = 0")
    return statements


def _words(query: str) -> list[str]:
    """Servers differ in blanks, brackets and quotes; to rebuild a projection for those would never end."""
    return _WORD.findall(query.lower())
