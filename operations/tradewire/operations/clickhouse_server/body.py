"""The request body as plain bytes, chunk by chunk, never whole unless it is small."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import ClientConnectionError, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from tradewire.operations.clickhouse_server.blocks import BlockDecoder
from tradewire.operations.clickhouse_server.compression import Decoder, Identity, decoder
from tradewire.operations.clickhouse_server.errors import ClickHouseError
from tradewire.operations.clickhouse_server.request import Ask

# Decompressing more than this is handed to a thread, so that the event loop never stands still for a big body.
_INLINE_BYTES: Final = 16 * 1024


class Body:
    """A request's body, decoded. Read by one task."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._content: StreamReader = request.content
        self._decoder: Decoder = Identity()
        self._blocks: BlockDecoder | None = None
        self._plain = True
        self._ended = not request.can_read_body

    def decode(self, ask: Ask) -> None:
        """Read on through the encodings the request names; ClickHouseError 48 for an unknown one."""
        self._decoder = decoder(ask.content_encoding)
        self._blocks = BlockDecoder() if ask.decompress else None
        self._plain = not ask.content_encoding and not ask.decompress

    async def read(self) -> bytes:
        """The next plain bytes, empty at the end. ClickHouseError when the encoding is wrong or the body is cut short;
        ClickHouseError 210 when the client went away in the middle.
        """
        while not self._ended:
            try:
                data = await self._content.readany()
            except (ClientConnectionError, HttpProcessingError, web.RequestPayloadError, OSError) as error:
                raise ClickHouseError(
                    210, f"The client closed the connection before the request body was complete: {error}"
                ) from error
            if not data:
                self._ended = True
                self._finish()
                return b""
            if self._plain:
                return data
            plain = self._feed(data) if len(data) <= _INLINE_BYTES else await asyncio.to_thread(self._feed, data)
            if plain:
                return plain
        return b""

    async def drain(self) -> None:
        """Read the rest and drop it, so that the client, still sending, comes to read the answer."""
        while not self._ended:
            try:
                self._ended = not await self._content.readany()
            except (ClientConnectionError, HttpProcessingError, web.RequestPayloadError, OSError):
                self._ended = True

    def _feed(self, data: bytes) -> bytes:
        plain = self._decoder.feed(data)
        return plain if self._blocks is None else self._blocks.feed(plain)

    def _finish(self) -> None:
        self._decoder.finish()
        if self._blocks is not None:
            self._blocks.finish()
