"""The embedded engine: one data folder, a handle per query, calls in threads, statistics and errors as values.

A handle (a chDB connection) costs 0.15 ms once the engine runs, so every query gets a fresh one and nothing that a
query sets can leak into the next. The handle's settings, parameters and temporary tables end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import chdb

from tradewire.core.errors import StackError
from tradewire.operations.clickhouse_server import configuration, errors
from tradewire.operations.clickhouse_server.sql import quote_identifier, quote_string

P = ParamSpec("P")
R = TypeVar("R")

# The engine chooses a query's id itself. A free text setting that nothing here reads carries ours into
# system.processes, where it is found again (see processes.py); log_comment stays the client's own.
MARKER: Final = "stream_like_engine_insert_queue"

# How chDB raises: a message that quotes bytes of a row is no UTF-8 and comes as the failure to decode it.
_FAILURES: Final = (RuntimeError, UnicodeDecodeError)

# clickhouse-local's defaults that differ from a server's.
_SERVER_DEFAULTS: Final = {"implicit_select": "0", "allow_introspection_functions": "0"}


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a finished statement did, in the units of X-ClickHouse-Summary."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    elapsed_ns: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished statement: its rows in the asked format, and what it did."""

    body: bytes
    statistics: Statistics


class RowStream:
    """A select in progress, block by block; the handle serves nothing else until it is read out or cancelled."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.statistics = Statistics()

    def next(self) -> bytes:
        """The next block, encoded by itself; empty at the end. Raises ClickHouseError."""
        try:
            chunk = self._stream.fetch()
        except _FAILURES as error:
            raise errors.from_engine(error) from error
        if chunk is None:
            return b""
        so_far = self.statistics
        self.statistics = Statistics(
            read_rows=so_far.read_rows + int(chunk.storage_rows_read()),
            read_bytes=so_far.read_bytes + int(chunk.storage_bytes_read()),
            result_rows=so_far.result_rows + int(chunk.rows_read()),
            result_bytes=so_far.result_bytes + int(chunk.bytes_read()),
            elapsed_ns=so_far.elapsed_ns + int(chunk.elapsed() * 1e9),
        )
        return bytes(chunk.bytes())

    def cancel(self) -> None:
        """Give up the rest. Never raises."""
        with contextlib.suppress(RuntimeError):
            self._stream.cancel()


class Handle:
    """One chDB connection. Not for two threads at once, though different threads may use it one after another."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def query(self, sql: bytes, format: str = "TabSeparated", parameters: Mapping[str, str] | None = None) -> Answer:
        """Run one statement to its end and hold its rows. Raises ClickHouseError."""
        try:
            result = self._connection.query(sql, format, params=dict(parameters or {}))
        except _FAILURES as error:
            raise errors.from_engine(error) from error
        body = result.bytes() if result.size() else b""
        statistics = Statistics(
            read_rows=int(result.storage_rows_read()),
            read_bytes=int(result.storage_bytes_read()),
            written_rows=int(result.rows_written()),
            written_bytes=int(result.bytes_written()),
            result_rows=int(result.rows_read()),
            result_bytes=int(result.bytes_read()),
            elapsed_ns=int(result.elapsed() * 1e9),
        )
        return Answer(body, statistics)

    def insert(
        self, into: bytes, settings: bytes, format: str, path: str, parameters: Mapping[str, str] | None = None
    ) -> Statistics:
        """Insert what a file holds; ``into`` is the INSERT up to its SETTINGS or FORMAT. Raises ClickHouseError.

        Up to ``min_insert_block_size_rows`` (1,048,449) rows it is one block, stored whole or not at all. chDB's own
        streaming insert would need no file, but it answers success when the engine refused to store the rows.
        """
        file = f" FROM INFILE {quote_string(path)} COMPRESSION 'none' ".encode()
        sql = into + file + settings + f" FORMAT {quote_identifier(format)}".encode()
        done = self.query(sql, parameters=parameters).statistics
        rows, size = done.written_rows, done.written_bytes
        return replace(done, read_rows=rows, read_bytes=size, result_rows=rows, result_bytes=size)

    def stream(self, sql: bytes, format: str, parameters: Mapping[str, str]) -> RowStream:
        """Begin a select whose blocks are fetched one by one. Raises ClickHouseError."""
        try:
            return RowStream(self._connection.send_query(sql, format, params=dict(parameters)))
        except _FAILURES as error:
            raise errors.from_engine(error) from error

    def use(self, database: str) -> None:
        """Make a database the current one."""
        self.query(f"USE {quote_identifier(database)}".encode())

    def reset(self, settings: Iterable[str], defaults: Mapping[str, str]) -> None:
        """Put settings back to the endpoint's defaults."""
        changes = [f"{n} = {quote_string(defaults[n])}" if n in defaults else f"{n} = DEFAULT" for n in settings]
        if changes:
            self.query(("SET " + ", ".join(changes)).encode())

    def set(self, settings: Mapping[str, str]) -> None:
        """Apply all or none; ClickHouseError 115 names an unknown setting."""
        changes = [f"{_setting_name(name)} = {quote_string(value)}" for name, value in settings.items()]
        if changes:
            self.query(("SET " + ", ".join(changes)).encode("utf-8", "surrogateescape"))

    def close(self) -> None:
        """End the handle; its temporary tables go with it. Waits for a call in progress. Never raises."""
        self._connection.close()


def _setting_name(name: str) -> str:
    if name.replace("_", "a").isalnum() and name.isascii() and not name[0].isdigit():
        return name
    raise errors.ClickHouseError(115, f"Unknown setting '{name}'", name="UNKNOWN_SETTING")


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change while the engine runs."""

    version: str
    timezone: str
    host: str


class Engine:
    """The one engine of this process. Open it once, before any thread; close it when no handle is in use."""

    def __init__(self, folder: Path, settings: Mapping[str, str], threads: int, *, query_log: bool = True) -> None:
        """Open or create the data folder. Raises StackError when it is locked by another process or not usable."""
        folder = folder.expanduser().resolve()
        if set("?&#%") & set(str(folder)):
            raise StackError(
                f"The data folder {folder} has one of ? & # % in its name, which chDB cannot open; rename it"
            )
        self.temporary = folder / "http_tmp"
        try:
            # The engine looks for files of a table's name in the working directory: give it an empty one.
            scratch = folder / "user_files"
            scratch.mkdir(parents=True, exist_ok=True)
            os.chdir(scratch)
            self.temporary.mkdir(exist_ok=True)
            config_file = configuration.write(folder, query_log=query_log)
        except OSError as error:
            raise StackError(
                f"The ClickHouse data folder {folder} cannot be written: {error}. Is its disk full, or does it "
                "belong to another user? Make room, change its rights, or give another --data folder",
                folder=str(folder),
            ) from error
        self.defaults: Mapping[str, str] = {**_SERVER_DEFAULTS, **settings}
        options = {"config-file": str(config_file), **self.defaults}
        self._address = f"{folder}?" + "&".join(f"{name}={value}" for name, value in options.items())
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="query")
        self._control_pool = ThreadPoolExecutor(2, thread_name_prefix="control")
        try:
            self._control = self.handle()
        except errors.ClickHouseError as error:
            raise StackError(
                f"Cannot open the ClickHouse data folder {folder}: {error.detail}. "
                "Is another process using it? Stop that one, or give another --data folder",
                folder=str(folder),
            ) from error
        self.folder = folder
        version, timezone = self._control.query(b"SELECT version(), timezone()").body.decode().split()
        self.facts = Facts(version, timezone, socket.gethostname())

    def handle(self) -> Handle:
        """A fresh handle with the engine's own settings. Raises ClickHouseError."""
        try:
            return Handle(chdb.connect(self._address))
        except _FAILURES as error:
            raise errors.from_engine(error) from error

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call in a query thread; waits while all of them are busy. Cancelling the caller does not stop the call."""
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, functools.partial(function, *args, **kwargs)
        )

    def start(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[R]:
        """Like `run`, but begins at once and gives the future."""
        return asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(function, *args, **kwargs))

    async def control(self, sql: bytes) -> Answer:
        """Run a short statement beside all queries, even when every query thread is busy."""
        return await asyncio.get_running_loop().run_in_executor(self._control_pool, self._control.query, sql)

    async def kill(self, query_ids: Iterable[str]) -> None:
        """Ask the engine to cancel the queries with these ids of ours; does not wait until they are gone."""
        wanted = ", ".join(quote_string(id) for id in query_ids)
        if wanted:
            with contextlib.suppress(errors.ClickHouseError):
                await self.control(f"KILL QUERY WHERE Settings['{MARKER}'] IN ({wanted}) ASYNC".encode())

    def close(self) -> None:
        """Wait for the threads and close the engine. The data is complete on disk before this, too."""
        self._pool.shutdown(wait=True)
        self._control_pool.shutdown(wait=True)
        self._control.close()
