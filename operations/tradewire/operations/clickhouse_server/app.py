"""The HTTP application: routes, and the way of a request from its headers to an answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web

from tradewire.operations.clickhouse_server import multipart
from tradewire.operations.clickhouse_server.answers import Answers
from tradewire.operations.clickhouse_server.body import Body
from tradewire.operations.clickhouse_server.engine import Engine
from tradewire.operations.clickhouse_server.errors import ClickHouseError, from_engine
from tradewire.operations.clickhouse_server.multipart import ExternalTable
from tradewire.operations.clickhouse_server.processes import Processes
from tradewire.operations.clickhouse_server.query import Query
from tradewire.operations.clickhouse_server.request import Ask, authenticate, credentials, parse, parse_pairs
from tradewire.operations.clickhouse_server.sessions import Session, Sessions
from tradewire.operations.clickhouse_server.sql import Kind, Statement, classify

_log: Final = structlog.stdlib.get_logger(__name__)
_INSERT: Final = re.compile(rb"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:INSERT|WITH)\b", re.IGNORECASE | re.DOTALL)
_HEAD_BYTES: Final = 1 << 20
_LOOKAHEAD_BYTES: Final = 256
_INLINE_BYTES: Final = 32 << 10
_MAX_STATEMENT_BYTES: Final = 256 << 20
_KILL_AGAIN_S: Final = 0.1
_NO_HANDLER: Final = (
    "There is no handle {path}\n\nUse / or /ping for health checks.\nOr /replicas_status for more sophisticated health"
    " checks.\n\nSend queries from your program with POST method or GET /?query=...\n"
)


class Endpoint:
    """What one process serves. Handlers run in its event loop, statements in the engine's threads."""

    def __init__(self, engine: Engine, users: Mapping[str, str]) -> None:
        """``users`` are names and passwords; all of them act as the engine's one user."""
        self.engine = engine
        self.processes = Processes()
        self.sessions = Sessions(engine)
        self._users = users
        self._answers = Answers(engine.facts, engine.temporary)
        self._stopping = False
        self._closing: set[asyncio.Task[None]] = set()

    def application(self) -> web.Application:
        """The aiohttp application with every route of this endpoint."""
        app = web.Application()
        app.router.add_get("/ping", _ok)
        app.router.add_get("/replicas_status", _ok)
        app.router.add_route("*", "/", self.handle)
        app.router.add_route("*", "/{path:.*}", _nothing_here)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; every failure of it becomes a ClickHouse error with its status."""
        ask: Ask | None = None
        body: Body | None = None
        try:
            if request.method == "OPTIONS":
                return web.Response(status=HTTPStatus.NO_CONTENT)
            pairs = parse_pairs(request.raw_path.partition("?")[2])
            body = Body(request)
            user = authenticate(credentials(pairs, request.headers), self._users)
            ask = parse(request.method, pairs, request.headers)
            external: list[ExternalTable] = []
            if ask.content_type.lower().startswith("multipart/form-data"):
                form = await multipart.read_form(await request.multipart())
                ask = replace(parse(request.method, [*pairs, *form.pairs], request.headers), query_id=ask.query_id)
                external = multipart.external_tables(form.files, ask.external)
                await body.drain()
            else:
                body.decode(ask)
            if request.method in ("GET", "HEAD") and not ask.query and not request.can_read_body:
                return await _ok(request)
            return await self._answer(request, ask, user, body, external)
        except ClickHouseError as error:
            refused = error
        except ConnectionError:
            raise
        except Exception as error:
            _log.exception("A request failed in the endpoint itself", path=request.path)
            refused = from_engine(error)
        if body is not None:
            await body.drain()
        return self._answers.refusal(refused, ask)

    async def _answer(
        self, request: web.Request, ask: Ask, user: str, body: Body, external: list[ExternalTable]
    ) -> web.StreamResponse:
        if self._stopping:
            raise ClickHouseError(439, "The server is shutting down; ask again when it is back")
        statement, data = await _read_statement(ask, body)
        self.processes.check(ask.query_id)
        session: Session | None = self.sessions.acquire(user, ask.session) if ask.session is not None else None
        process = self.processes.enter(ask.query_id, statement.head)
        query = Query(self.engine, ask, statement, session, external, self.processes, process)
        closing: asyncio.Task[None] | None = None

        async def close() -> None:
            # Once, to its end, and before the last byte goes out: the client's next request may need the session.
            nonlocal closing
            if closing is None:
                closing = asyncio.create_task(query.close(self.sessions))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
            await asyncio.shield(closing)

        try:
            if statement.kind is Kind.SELECT:
                format = statement.format or ask.default_format
                return await self._answers.rows(request, ask, format, query, close)
            if statement.kind is Kind.INSERT:
                statistics = await query.insert(data, body.read)
                await close()
                return await self._answers.whole(ask, b"", statistics, None)
            answer = await query.command()
            await close()
            shown = (statement.format or ask.default_format) if statement.answers or answer.body else None
            return await self._answers.whole(ask, answer.body, answer.statistics, shown)
        finally:
            await close()

    async def close(self, grace_s: float) -> None:
        """Refuse new queries, let running ones end for so long, then kill them, and end the sessions."""
        self._stopping = True
        while not await self.processes.quiet(grace_s):
            await self.engine.kill(self.processes.running)
            grace_s = _KILL_AGAIN_S
        await self.sessions.close()


async def _read_statement(ask: Ask, body: Body) -> tuple[Statement, bytes]:
    """The statement, and of a data insert the first data; the rest of such a body is still to be read.

    The whole text is the ``query`` parameter, a line feed and the body, as a server joins them.
    """
    text = ask.query.encode("utf-8", "surrogateescape") + b"\n" if ask.query else b""
    ended = False
    if ask.content_type.lower().startswith("multipart/form-data"):
        ended = True
    parts = [text]
    size = len(text)
    while not ended:
        if _INSERT.match(text) is not None and size <= 2 * _HEAD_BYTES:
            text = b"".join(parts)
            parts = [text]
            statement = classify(text, complete=False)
            if statement.kind is Kind.INSERT and len(text) - statement.data_at >= _LOOKAHEAD_BYTES:
                return statement, text[statement.data_at :]
        chunk = await body.read()
        ended = not chunk
        parts.append(chunk)
        size += len(chunk)
        if not text:
            text = chunk
        if size > _MAX_STATEMENT_BYTES:
            raise ClickHouseError(
                62, f"Max query size exceeded: the statement is longer than {_MAX_STATEMENT_BYTES} bytes"
            )
    text = b"".join(parts)
    statement = classify(text) if len(text) <= _INLINE_BYTES else await asyncio.to_thread(classify, text)
    return statement, text[statement.data_at :] if statement.kind is Kind.INSERT else b""


async def _ok(request: web.BaseRequest) -> web.Response:
    return web.Response(text="Ok.\n", content_type="text/html", charset="UTF-8")


async def _nothing_here(request: web.Request) -> web.Response:
    return web.Response(status=HTTPStatus.NOT_FOUND, text=_NO_HANDLER.format(path=request.path))
