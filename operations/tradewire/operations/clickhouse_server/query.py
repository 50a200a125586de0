"""One query from its handle to its end: prepared, run in a thread, its rows read from a pipe, always cleaned up."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from tradewire.operations.clickhouse_server import multipart, native
from tradewire.operations.clickhouse_server.engine import (
    MARKER,
    Answer,
    Engine,
    Handle,
    RowStream,
    Statistics,
)
from tradewire.operations.clickhouse_server.errors import ClickHouseError
from tradewire.operations.clickhouse_server.multipart import ExternalTable
from tradewire.operations.clickhouse_server.processes import Process, Processes, killed_ids, rewrite
from tradewire.operations.clickhouse_server.request import Ask
from tradewire.operations.clickhouse_server.sessions import (
    Session,
    Sessions,
    leaves_state,
    makes_temporary,
)
from tradewire.operations.clickhouse_server.spool import Spool
from tradewire.operations.clickhouse_server.sql import Kind, Statement, quote_identifier, quote_string

_PIPE_BYTES: Final = 1 << 20
_KILL_AGAIN_S: Final = 0.1
_KILL_WAIT_S: Final = 30.0
_INLINE_BYTES: Final = 64 << 10


class Query:
    """A query in progress. Make it, run exactly one of `select`, `insert` and `command`, then `close` it, always."""

    def __init__(
        self,
        engine: Engine,
        ask: Ask,
        statement: Statement,
        session: Session | None,
        external: list[ExternalTable],
        processes: Processes,
        process: Process,
    ) -> None:
        self._engine = engine
        self._ask = ask
        self._statement = statement
        self._session = session
        self._external = external
        self._processes = processes
        self._process = process
        self._handle: Handle | None = None
        self._owned_by_session = False
        self._stream: RowStream | None = None
        self._columns: list[tuple[str, str]] | None = None
        self._call: asyncio.Future[Any] | None = None
        self._spool: Spool | None = None

    async def select(self) -> AsyncGenerator[bytes, None]:
        """The rows, in chunks, in the asked format; the engine waits for a slow reader. An error of the engine is
        raised by `finished`, or here when it comes between two blocks.
        """
        if self._versioned_native():
            async for block in self._select_blocks():
                yield block
            return
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            self._call = self._engine.start(self._select, writing)
            async for chunk in _read_pipe(reading):
                yield chunk
        finally:
            os.close(reading)

    async def _select_blocks(self) -> AsyncGenerator[bytes, None]:
        zones: list[tuple[str, str]] | None = None
        while block := await self._hold(self._next_block):
            if self._ask.protocol_version >= native.TIME_ZONES_SINCE and native.may_have_time_zones(block):
                if zones is None:
                    zones = self._columns if self._columns is not None else await self._hold(self._describe_aside)
                block = native.with_time_zones(block, zones)
            yield native.BLOCK_INFO + block

    async def finished(self) -> Statistics:
        """Statistics of the select once its rows are read. Raises ClickHouseError when it failed, perhaps half way."""
        if self._stream is not None:
            return self._stream.statistics
        assert self._call is not None, "select comes first"
        answer: Answer = await self._call
        return answer.statistics

    async def command(self) -> Answer:
        """Run a statement whose answer is small."""
        self._call = self._engine.start(self._command)
        answer: Answer = await asyncio.shield(self._call)
        if answer.body and self._versioned_native():
            return replace(answer, body=native.with_block_info(answer.body))
        return answer

    def _versioned_native(self) -> bool:
        format = self._statement.format or self._ask.default_format
        return self._ask.protocol_version > 0 and format.lower() == "native"

    async def insert(self, first: bytes, read: Callable[[], Coroutine[Any, Any, bytes]]) -> Statistics:
        """Store data: ``first``, then what ``read`` gives until it gives nothing. When ``read`` raises or the caller
        is cancelled before the end, the engine never hears of them; after the end the insert goes on to be stored,
        whatever becomes of the client.
        """
        self._spool = spool = Spool(self._engine.temporary)
        data = first
        while True:
            if len(data) <= _INLINE_BYTES:
                spool.write(data)
            else:
                await self._hold(spool.write, data)
            data = await read()
            if not data:
                break
        statistics: Statistics = await self._hold(self._insert)
        return statistics

    async def _hold(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run in a thread and remember the call, so that `close` can wait for it when the caller is cancelled."""
        self._call = self._engine.start(function, *args)
        return await asyncio.shield(self._call)

    async def close(self, sessions: Sessions) -> None:
        """Cancel what still runs, restore or end the handle, free the session and the query id. Never raises."""
        try:
            await self._stop()
            if self._handle is not None:
                if self._owned_by_session:
                    with contextlib.suppress(ClickHouseError):
                        await self._engine.run(self._restore)
                else:
                    self._engine.start(self._handle.close)
        finally:
            self._processes.leave(self._ask.query_id)
            if self._session is not None:
                await sessions.release(self._session, close=bool(self._ask.session and self._ask.session.close))

    async def _stop(self) -> None:
        """Let the last call end: rows nobody reads are killed, anything else finishes, as on a server."""
        call = self._call
        while call is not None and not call.done():
            if self._statement.kind is Kind.SELECT:
                await self._engine.kill([self._ask.query_id])
            await asyncio.wait([call], timeout=_KILL_AGAIN_S)
        if call is not None and not call.cancelled():
            call.exception()
        if self._spool is not None:
            self._spool.close()
        if self._stream is not None:
            await self._engine.run(self._stream.cancel)

    # What follows runs in a query thread.

    def _select(self, writing: int) -> Answer:
        try:
            handle = self._prepare()
            statement, ask = self._statement, self._ask
            format = statement.format or ask.default_format
            head = self._rewritten()
            into = f"\nINTO OUTFILE '/dev/fd/{writing}' APPEND COMPRESSION 'none' FORMAT {quote_identifier(format)}"
            return handle.query(head + into.encode() + statement.tail, format, ask.parameters)
        finally:
            os.close(writing)

    def _next_block(self) -> bytes:
        if self._stream is None:
            handle = self._prepare()
            if self._owned_by_session:
                # Its temporary tables are nowhere else: ask before the stream occupies the handle.
                self._columns = self._describe(handle)
            sql = self._rewritten() + b"\nFORMAT Native" + self._statement.tail
            self._stream = handle.stream(sql, "Native", self._ask.parameters)
        return self._stream.next()

    def _describe_aside(self) -> list[tuple[str, str]]:
        handle = self._engine.handle()
        try:
            self._equip(handle)
            return self._describe(handle)
        finally:
            handle.close()

    def _describe(self, handle: Handle) -> list[tuple[str, str]]:
        sql = b"DESCRIBE TABLE (" + self._rewritten() + b"\n)"
        try:
            answer = handle.query(sql, "JSONCompactEachRow", self._ask.parameters)
        except ClickHouseError:
            # Not every statement that returns rows can be a subquery; its types then keep the bare DateTime.
            return []
        return [(row[0], row[1]) for row in map(json.loads, answer.body.splitlines())]

    def _command(self) -> Answer:
        handle = self._prepare()
        statement, session = self._statement, self._session
        killed = self._kill_waiting(handle) if statement.verb == "KILL" else []
        answer = handle.query(self._rewritten(), self._ask.default_format, self._ask.parameters)
        if statement.head.upper().rstrip().endswith(b"SYNC") and not statement.head.upper().rstrip().endswith(b"ASYNC"):
            self._outlive(handle, killed)
        if session is not None and leaves_state(statement):
            session.statements.append(statement.head)
        return answer

    def _rewritten(self) -> bytes:
        waiting = [process for process in self._processes.waiting() if process is not self._process]
        return rewrite(self._statement.head, self._ask.query_id, waiting)

    def _kill_waiting(self, handle: Handle) -> list[str]:
        """Mark the queries a KILL is about, so that those the engine does not know yet never reach it."""
        sql = killed_ids(self._statement.head, self._ask.query_id, self._processes.waiting())
        held_to_reading = self._ask.read_only or self._ask.settings.get("readonly", "0") != "0"
        if sql is None or held_to_reading or b"TEST" in self._statement.head.upper().split():
            return []
        found = handle.query(sql, "JSONCompactEachRow", self._ask.parameters).body.splitlines()
        ids = [id for id in (json.loads(row)[0] for row in found) if id != self._ask.query_id]
        for id in ids:
            process = self._processes.running.get(id)
            if process is not None:
                process.killed = True
        return ids

    def _outlive(self, handle: Handle, ids: list[str]) -> None:
        """Wait until killed queries have ended, also one that came to the engine just as it was killed."""
        deadline = time.monotonic() + _KILL_WAIT_S
        while (engaged := self._processes.engaged(ids)) and time.monotonic() < deadline:
            wanted = ", ".join(quote_string(id) for id in engaged)
            handle.query(f"KILL QUERY WHERE Settings['{MARKER}'] IN ({wanted}) ASYNC".encode())
            time.sleep(_KILL_AGAIN_S / 5)

    def _insert(self) -> Statistics:
        statement = self._statement
        assert statement.format is not None and self._spool is not None
        handle, path = self._prepare(), self._spool.path
        if statement.input is None:
            return handle.insert(statement.head, statement.tail, statement.format, path, self._ask.parameters)
        # The embedded engine has no data for input(): it selects from the file instead.
        start, end = statement.input
        rest = statement.head[end:]
        comma = "" if rest.lstrip().startswith(b")") else ", "
        file = f"file({quote_string(path)}, {quote_string(statement.format)}{comma}".encode()
        return handle.query(
            statement.head[:start] + file + rest + statement.tail, parameters=self._ask.parameters
        ).statistics

    def _prepare(self) -> Handle:
        self._handle = handle = self._take_handle()
        self._equip(handle)
        return handle

    def _equip(self, handle: Handle) -> None:
        """Make the handle what the request wants: session, database, roles, external tables, settings, in order."""
        ask, session = self._ask, self._session
        self._process.engage()
        settings = {**ask.settings, MARKER: ask.query_id}
        if self._owned_by_session:
            # A handle that lives on cannot be made read-only: the setting cannot be taken back.
            if (settings.pop("readonly", "0") != "0" or ask.read_only) and not self._reads_only():
                raise ClickHouseError(164, "Cannot execute query in readonly mode.")
        elif session is not None:
            for statement in session.statements:
                handle.query(statement)
        if ask.database:
            handle.use(ask.database)
        for role in ask.roles:
            handle.query(f"SET ROLE {quote_identifier(role)}".encode())
        if self._external:
            # How their files are read is a matter of settings, and no table can be made once reading is all there is.
            handle.set({name: value for name, value in settings.items() if name != "readonly"})
        for table in self._external:
            multipart.create(handle, table, self._engine.temporary)
        if ask.read_only and not self._owned_by_session:
            handle.set({"readonly": "2"})
        handle.set(settings)

    def _take_handle(self) -> Handle:
        session = self._session
        if session is None or (session.handle is None and not makes_temporary(self._statement)):
            return self._engine.handle()
        self._owned_by_session = True
        if session.handle is None:
            session.handle = self._engine.handle()
            for statement in session.statements:
                session.handle.query(statement)
        return session.handle

    def _reads_only(self) -> bool:
        return self._statement.kind is Kind.SELECT or self._statement.answers or leaves_state(self._statement)

    def _restore(self) -> None:
        """Leave a session's own handle as its SET and USE statements made it, without what this request added."""
        assert self._handle is not None and self._session is not None
        for table in self._external:
            multipart.drop(self._handle, table)
        changed = [name for name in (*self._ask.settings, MARKER) if name != "readonly"]
        self._handle.reset(changed, self._engine.defaults)
        if self._ask.database:
            self._handle.use("default")
        for statement in self._session.statements:
            self._handle.query(statement)


async def _read_pipe(reading: int) -> AsyncGenerator[bytes, None]:
    """Chunks of a non-blocking pipe until every writer has closed it."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            chunk = os.read(reading, _PIPE_BYTES)
        except BlockingIOError:
            ready = asyncio.Event()
            loop.add_reader(reading, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(reading)
            continue
        if not chunk:
            return
        yield chunk
