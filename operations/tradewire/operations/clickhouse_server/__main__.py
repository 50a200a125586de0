"""The command line: open the engine, serve until a signal, close both in order."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from tradewire.core import configure_logs
from tradewire.core.errors import StackError
from tradewire.operations.clickhouse_server.app import Endpoint
from tradewire.operations.clickhouse_server.engine import Engine
from tradewire.operations.clickhouse_server.native_port import NativePort

_MAX_URI_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 20
_PR_SET_PDEATHSIG: Final = 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tradewire.operations.clickhouse_server",
        description="ClickHouse's HTTP protocol over the embedded engine. One process per data folder.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8123, help="port, 0 for any free one (default: %(default)s)")
    parser.add_argument(
        "--native-port",
        type=int,
        default=None,
        help="listen on the native protocol's port, too (9000), and tell whoever comes there to use HTTP",
    )
    parser.add_argument("--data", type=Path, required=True, help="data folder, made when it does not exist")
    parser.add_argument("--user", default="default", help="the one user (default: %(default)s)")
    parser.add_argument(
        "--password",
        default=None,
        help="its password; better in TRADEWIRE_CLICKHOUSE__PASSWORD, which other users of the machine cannot see",
    )
    parser.add_argument("--max-threads", type=int, default=0, help="default max_threads of a query (0: one per core)")
    parser.add_argument(
        "--max-memory-bytes", type=int, default=0, help="default max_memory_usage of a query (0: no limit)"
    )
    parser.add_argument("--max-queries", type=int, default=64, help="queries at once; more wait (default: %(default)s)")
    parser.add_argument("--grace-s", type=float, default=10.0, help="time for running queries to end after SIGTERM")
    parser.add_argument("--no-query-log", action="store_true", help="keep no system.query_log")
    parser.add_argument("--die-with-parent", action="store_true", help="get SIGTERM when the parent process ends")
    return parser.parse_args(argv)


def _die_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


async def serve(
    engine: Engine, users: dict[str, str], host: str, port: int, grace_s: float, native_port: int | None = None
) -> None:
    """Serve until SIGTERM or SIGINT; then no new requests, running ones get ``grace_s``, the rest are killed.

    Prints one line with the address once requests are answered. Raises StackError when a port is taken.
    """
    endpoint = Endpoint(engine, users)
    runner = web.AppRunner(
        endpoint.application(),
        access_log=None,
        handler_cancellation=True,
        max_line_size=_MAX_URI_BYTES,
        max_field_size=_MAX_URI_BYTES,
        read_bufsize=_READ_BYTES,
        # aiohttp would undo Content-Encoding itself, but only the first frame of a body: see compression.py.
        auto_decompress=False,
        keepalive_timeout=30.0,
        shutdown_timeout=0.5,
    )
    await runner.setup()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    native: asyncio.Server | None = None
    wanted, option = port, "--port"
    try:
        site = web.TCPSite(runner, host, port, backlog=512)
        await site.start()
        bound = runner.addresses[0][1]
        if native_port is not None:
            wanted, option = native_port, "--native-port"
            native = await asyncio.start_server(NativePort(native_port, bound).answer, host, native_port)
    except OSError as error:
        await runner.cleanup()
        raise StackError(
            f"Cannot listen on {host}:{wanted}: {error.strerror}. Stop what listens there, or give another {option}",
            host=host,
            port=wanted,
        ) from error
    sweep = asyncio.create_task(endpoint.sessions.sweep())
    print(f"ClickHouse {engine.facts.version} on http://{host}:{bound}, data in {engine.folder}", flush=True)
    await stop.wait()
    sweep.cancel()
    if native is not None:
        native.close()
    await site.stop()
    await endpoint.close(grace_s)
    await runner.cleanup()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the endpoint; the exit code is 0 after a signal and 1 with one line of reason when it could not start."""
    given = _arguments(argv)
    configure_logs("INFO", component="clickhouse")
    if given.die_with_parent:
        _die_with_parent()
    password = given.password if given.password is not None else os.environ.get("TRADEWIRE_CLICKHOUSE__PASSWORD", "")
    settings = {}
    if given.max_threads:
        settings["max_threads"] = str(given.max_threads)
    if given.max_memory_bytes:
        settings["max_memory_usage"] = str(given.max_memory_bytes)
    try:
        engine = Engine(given.data, settings, given.max_queries, query_log=not given.no_query_log)
        with contextlib.closing(engine):
            asyncio.run(serve(engine, {given.user: password}, given.host, given.port, given.grace_s, given.native_port))
    except StackError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
