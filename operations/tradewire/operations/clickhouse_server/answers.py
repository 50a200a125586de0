"""Answers on the wire: whole ones with their summary, streamed ones with a tail when they fail half way."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Final

from aiohttp import web

from tradewire.operations.clickhouse_server import responses
from tradewire.operations.clickhouse_server.blocks import BlockEncoder
from tradewire.operations.clickhouse_server.compression import Encoder, choose_encoding, encoder
from tradewire.operations.clickhouse_server.engine import Facts, Statistics
from tradewire.operations.clickhouse_server.errors import ClickHouseError, http_status
from tradewire.operations.clickhouse_server.query import Query
from tradewire.operations.clickhouse_server.request import Ask

_RESPONSE_BUFFER_BYTES: Final = 1 << 20
_SPOOL_BYTES: Final = 16 << 20
_INLINE_BYTES: Final = 64 * 1024
_HURRY_S: Final = 0.05


class Encoding:
    """The encodings an answer goes through: ClickHouse blocks when asked for, then the HTTP content encoding."""

    def __init__(self, ask: Ask) -> None:
        enabled = ask.settings.get("enable_http_compression", "1") not in ("0", "false")
        self.name = choose_encoding(ask.accept_encoding) if enabled else None
        level = ask.settings.get("http_zlib_compression_level", "3")
        self._steps: list[Encoder] = [BlockEncoder()] if ask.compress else []
        if self.name is not None:
            self._steps.append(encoder(self.name, int(level) if level.isdigit() else 3))

    async def feed(self, data: bytes) -> bytes:
        """Encoded bytes, computed in a thread when there are many."""
        if not self._steps:
            return data
        return self._feed(data) if len(data) <= _INLINE_BYTES else await asyncio.to_thread(self._feed, data)

    def finish(self) -> bytes:
        """What the encodings still hold."""
        rest = b""
        for step in self._steps:
            rest = (step.feed(rest) if rest else b"") + step.finish()
        return rest

    def flush(self) -> bytes:
        """What the encodings can give up of what they hold; more may follow."""
        rest = b""
        for step in self._steps:
            rest = (step.feed(rest) if rest else b"") + step.flush()
        return rest

    def _feed(self, data: bytes) -> bytes:
        for step in self._steps:
            data = step.feed(data)
        return data


class Answers:
    """Builds the answers of one endpoint."""

    def __init__(self, facts: Facts, temporary: Path) -> None:
        self._facts = facts
        self._temporary = temporary

    async def whole(self, ask: Ask, body: bytes, statistics: Statistics, format: str | None) -> web.Response:
        """An answer that is known to its end."""
        headers = self._headers(ask, format)
        headers["X-ClickHouse-Summary"] = responses.summary(statistics)
        if body:
            encoding = Encoding(ask)
            body = await encoding.feed(body) + encoding.finish()
            if encoding.name is not None:
                headers["Content-Encoding"] = encoding.name
        return web.Response(body=body, headers=headers)

    def refusal(self, error: ClickHouseError, ask: Ask | None) -> web.Response:
        """An error before anything of an answer was sent."""
        headers = {
            "X-ClickHouse-Server-Display-Name": self._facts.host,
            "X-ClickHouse-Exception-Code": str(error.code),
            "Content-Type": "text/plain; charset=UTF-8",
        }
        if ask is not None:
            headers["X-ClickHouse-Query-Id"] = ask.query_id
            headers["X-ClickHouse-Timezone"] = self._facts.timezone
        text = error.body(self._facts.version) + "\n"
        return web.Response(status=http_status(error.code), body=text.encode("utf-8", "replace"), headers=headers)

    async def rows(
        self, request: web.Request, ask: Ask, format: str, query: Query, close: Callable[[], Awaitable[None]]
    ) -> web.StreamResponse:
        """The rows of a select. They are held back until the end, ``buffer_size`` (at least 1 MiB) or 50 ms, so that an
        error until then still gets its status and the summary its numbers; ``wait_end_of_query`` holds all of them,
        a larger ``buffer_size`` is not cut short by time. At most 16 MiB are in memory, the rest in a temporary file.
        """
        limit = max(ask.buffer_size, _RESPONSE_BUFFER_BYTES)
        hurry = not ask.wait_end_of_query and ask.buffer_size <= _RESPONSE_BUFFER_BYTES
        begun = time.monotonic()
        with tempfile.SpooledTemporaryFile(max_size=max(_SPOOL_BYTES, limit), dir=str(self._temporary)) as held:
            size = 0
            streamed: _Streamed | None = None
            try:
                async with contextlib.aclosing(query.select()) as chunks:
                    async for chunk in chunks:
                        late = hurry and time.monotonic() - begun > _HURRY_S
                        if streamed is None and (ask.wait_end_of_query or size + len(chunk) <= limit) and not late:
                            await _hold(held, chunk)
                            size += len(chunk)
                            continue
                        if streamed is None:
                            streamed = await self._begin(request, ask, format, Statistics())
                            held.seek(0)
                            await streamed.write(held.read())
                        await streamed.write(chunk)
                statistics = await query.finished()
            except ClickHouseError as error:
                if streamed is None:
                    raise
                await close()
                return await streamed.fail(error, self._facts.version)
            await close()
            held.seek(0)
            if streamed is None and size <= _SPOOL_BYTES:
                return await self.whole(ask, held.read(), statistics, format)
            if streamed is None:
                streamed = await self._begin(request, ask, format, statistics)
                while part := await asyncio.to_thread(held.read, _RESPONSE_BUFFER_BYTES):
                    await streamed.write(part)
            return await streamed.end()

    async def _begin(self, request: web.Request, ask: Ask, format: str, statistics: Statistics) -> _Streamed:
        tag = responses.new_exception_tag()
        encoding = Encoding(ask)
        headers = self._headers(ask, format)
        headers["X-ClickHouse-Exception-Tag"] = tag
        headers["X-ClickHouse-Summary"] = responses.summary(statistics)
        if encoding.name is not None:
            headers["Content-Encoding"] = encoding.name
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        return _Streamed(request, response, encoding, tag)

    def _headers(self, ask: Ask, format: str | None) -> dict[str, str]:
        timezone = ask.settings.get("session_timezone") or self._facts.timezone
        return responses.headers(self._facts, ask.query_id, timezone, format)


class _Streamed:
    """A response whose headers are gone."""

    def __init__(self, request: web.Request, response: web.StreamResponse, encoding: Encoding, tag: str) -> None:
        self._request = request
        self._response = response
        self._encoding = encoding
        self._tag = tag

    async def write(self, data: bytes) -> None:
        encoded = await self._encoding.feed(data)
        if encoded:
            await self._response.write(encoded)

    async def end(self) -> web.StreamResponse:
        rest = self._encoding.finish()
        if rest:
            await self._response.write(rest)
        await self._response.write_eof()
        return self._response

    async def fail(self, error: ClickHouseError, version: str) -> web.StreamResponse:
        """Tell the error in the stream and break the chunked encoding, so that no client takes the rows for all."""
        # The rows first, by themselves: clients look through each piece for the error before they take its rows.
        rest = self._encoding.flush()
        if rest:
            await self._response.write(rest)
        block = responses.exception_block(error.body(version), self._tag)
        await self._response.write(await self._encoding.feed(block) + self._encoding.finish())
        if self._request.transport is not None:
            self._request.transport.close()
        return self._response


async def _hold(held: IO[bytes], chunk: bytes) -> None:
    try:
        if held.tell() + len(chunk) > _SPOOL_BYTES:
            await asyncio.to_thread(held.write, chunk)
        else:
            held.write(chunk)
    except OSError as error:
        raise ClickHouseError(
            243, f"Cannot hold the answer for wait_end_of_query in a temporary file: {error}. Free the disk or stream"
        ) from error
