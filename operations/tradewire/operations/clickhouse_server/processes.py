"""Which queries run, under the ids the clients gave them.

The engine names queries itself, so a statement that reads or kills by ``query_id`` is rewritten to see our ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tradewire.operations.clickhouse_server.engine import MARKER
from tradewire.operations.clickhouse_server.errors import ClickHouseError
from tradewire.operations.clickhouse_server.sql import Token, quote_string, tokens

_OURS: Final = f"if(Settings['{MARKER}'] = '', {{}}, Settings['{MARKER}']) AS {{}}"
_VIEW: Final = (
    "(SELECT * REPLACE ("
    + _OURS.format("query_id", "query_id")
    + ", "
    + _OURS.format("initial_query_id", "initial_query_id")
    + ", mapFilter((k, v) -> k != '"
    + MARKER
    + "', Settings) AS Settings) FROM {})"
)
_PROCESSES: Final = _VIEW.replace("{}", "system.processes").encode()
_BY_ENGINE_ID: Final = _VIEW.replace("{}", "(SELECT *, query_id AS engine_query_id FROM system.processes)").encode()
_QUERY_LOG: Final = _VIEW.replace("{}", "system.query_log").encode()


@dataclass(slots=True)
class Process:
    """A query between its statement and its answer. ``engaged``: the engine has it, or is about to."""

    query_id: str
    text: str
    since: float
    engaged: bool = False
    killed: bool = False

    def engage(self) -> None:
        """Called in the query's thread before the engine is asked; ClickHouseError 394 when it was killed before."""
        # Engaged first: whoever kills sets killed first and then looks whether the engine must be told, too.
        self.engaged = True
        if self.killed:
            raise ClickHouseError(394, "Query was cancelled")


@dataclass(slots=True)
class Processes:
    """The queries in progress, by the client's query id. Changed in the event loop, read in query threads."""

    running: dict[str, Process] = field(default_factory=dict)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def check(self, query_id: str) -> None:
        """ClickHouseError 216 when a query of that id is running."""
        if query_id in self.running:
            raise ClickHouseError(216, f"Query with id = {query_id} is already running.")

    def enter(self, query_id: str, sql: bytes) -> Process:
        """Hold an id while its query runs; `leave` frees it. ClickHouseError 216 when it is held."""
        self.check(query_id)
        self.running[query_id] = process = Process(query_id, sql[:1000].decode("utf-8", "replace"), time.monotonic())
        self.idle.clear()
        return process

    def leave(self, query_id: str) -> None:
        """Free an id."""
        self.running.pop(query_id, None)
        if not self.running:
            self.idle.set()

    async def quiet(self, timeout_s: float) -> bool:
        """Wait until no query runs; False when some still do after that time."""
        if self.running:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.idle.wait(), timeout_s)
        return not self.running

    def waiting(self) -> list[Process]:
        """Queries the engine does not know yet: an insert whose data still come in, a query without a free thread."""
        return [process for process in list(self.running.values()) if not process.engaged]

    def engaged(self, query_ids: Iterable[str]) -> list[str]:
        """Those of the ids whose queries the engine has, or is about to have."""
        return [id for id in query_ids if (process := self.running.get(id)) is not None and process.engaged]


def _view(query_id: str, waiting: Sequence[Process]) -> bytes:
    """system.processes with the clients' ids, and with the queries that the engine does not know yet."""
    if not waiting:
        return _PROCESSES
    now = time.monotonic()
    rows = ", ".join(f"({quote_string(w.query_id)}, {quote_string(w.text)}, {now - w.since:.6f})" for w in waiting)
    others = (
        "SELECT * REPLACE (w.1 AS query_id, w.1 AS initial_query_id, w.2 AS query, w.3 AS elapsed)"
        f" FROM (SELECT * FROM system.processes WHERE Settings['{MARKER}'] = {quote_string(query_id)} LIMIT 1)"
        f" ARRAY JOIN [{rows}] AS w"
    )
    return b"(SELECT * FROM " + _PROCESSES + b" UNION ALL " + others.encode("utf-8", "surrogateescape") + b")"


def rewrite(sql: bytes, query_id: str, waiting: Sequence[Process] = ()) -> bytes:
    """The statement with client ids in place of the engine's: in system.processes, system.query_log, KILL QUERY
    and queryID().
    """
    lowered = sql[:262144].lower()
    if b"processes" in lowered or b"query_log" in lowered:
        views = {b"processes": _view(query_id, waiting), b"query_log": _QUERY_LOG}
        sql = _rewrite_tables(sql, views)
    if b"queryid" in lowered or b"query_id" in lowered:
        sql = _rewrite_query_id(sql, query_id)
    if b"kill" in lowered:
        sql = _rewrite_kill(sql)
    if b"processlist" in lowered:
        sql = _rewrite_processlist(sql, _view(query_id, waiting))
    return sql


def killed_ids(sql: bytes, query_id: str, waiting: Sequence[Process]) -> bytes | None:
    """The select of the client ids that a KILL QUERY is about, or None when the statement is none."""
    found = list(tokens(sql))
    where = _kill_condition(found, len(sql))
    if where is None:
        return None
    condition = sql[where[0] : where[1]].strip(b" ;\n")
    return b"SELECT query_id FROM " + _view(query_id, waiting) + b" WHERE " + condition


def _splice(sql: bytes, start: int, end: int, new: bytes) -> bytes:
    return sql[:start] + new + sql[end:]


def _rewrite_tables(sql: bytes, views: Mapping[bytes, bytes]) -> bytes:
    """``FROM|JOIN system.processes`` becomes a subquery; other mentions (DESCRIBE, EXISTS, a string) stay."""
    found = list(tokens(sql))
    for index in range(len(found) - 4, -1, -1):
        keyword, database, dot, table = found[index : index + 4]
        if (
            keyword.is_word(b"FROM", b"JOIN")
            and _names(database, b"system")
            and dot.text == b"."
            and (view := views.get(table.text.strip(b'`"').lower())) is not None
        ):
            sql = _splice(sql, database.start, table.end, view)
    return sql


def _names(token: Token, name: bytes) -> bool:
    return token.kind in ("word", "quoted") and token.text.strip(b'`"').lower() == name


def _rewrite_query_id(sql: bytes, query_id: str) -> bytes:
    found = list(tokens(sql))
    for index in range(len(found) - 3, -1, -1):
        name, left, right = found[index : index + 3]
        if name.is_word(b"QUERYID", b"QUERY_ID") and left.text == b"(" and right.text == b")":
            sql = _splice(sql, name.start, right.end, quote_string(query_id).encode("utf-8", "surrogateescape"))
    return sql


def _kill_condition(found: list[Token], end: int) -> tuple[int, int] | None:
    """Where the condition of a KILL QUERY begins and ends."""
    if len(found) < 4 or not found[0].is_word(b"KILL") or not found[1].is_word(b"QUERY"):
        return None
    where = next((t for t in found if t.depth == 0 and t.is_word(b"WHERE")), None)
    if where is None:
        return None
    after = (t for t in found if t.start > where.end and t.depth == 0)
    last = next((t.start for t in after if t.is_word(b"SYNC", b"ASYNC", b"TEST", b"FORMAT")), end)
    return where.end, last


def _rewrite_kill(sql: bytes) -> bytes:
    """``KILL QUERY WHERE <expr>`` looks the expression up with our ids and kills by the engine's."""
    where = _kill_condition(list(tokens(sql)), len(sql))
    if where is None:
        return sql
    begin, end = where
    condition = sql[begin:end].strip(b" ;\n")
    inner = b" query_id IN (SELECT engine_query_id FROM " + _BY_ENGINE_ID + b" WHERE " + condition + b")"
    return sql[:begin] + inner + b" " + sql[end:]


def _rewrite_processlist(sql: bytes, view: bytes) -> bytes:
    found = list(tokens(sql))
    at = 2 if len(found) > 1 and found[1].is_word(b"FULL") else 1
    if len(found) > at and found[0].is_word(b"SHOW") and found[at].is_word(b"PROCESSLIST"):
        return b"SELECT * FROM " + view + b" ORDER BY elapsed DESC" + sql[found[at].end :]
    return sql
