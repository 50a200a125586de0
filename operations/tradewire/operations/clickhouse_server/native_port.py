"""Listens where a server has its native protocol, and tells whoever comes there, in their protocol, to use HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

_WAIT_S: Final = 5.0
_HELLO: Final = 0
_EXCEPTION: Final = 2
_NOT_IMPLEMENTED: Final = 48


class NativePort:
    """Answers every connection with one refusal and closes it; no query is ever read."""

    def __init__(self, port: int, http_port: int) -> None:
        self._port, self._http_port = port, http_port

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """For ``asyncio.start_server``. A client of HTTP gets a server's own words, any other a native exception."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            first = await asyncio.wait_for(reader.readexactly(1), _WAIT_S)
            writer.write(self._exception() if first[0] == _HELLO else self._http())
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _http(self) -> bytes:
        return (
            f"HTTP/1.0 400 Bad Request\r\n\r\nPort {self._port} is for clickhouse-client program\r\n"
            f"You must use port {self._http_port} for HTTP.\r\n"
        ).encode()

    def _exception(self) -> bytes:
        """A packet of the native protocol: code, name, message, stack, whether another one is nested in it."""
        message = f"the native protocol is not served here: use HTTP, port {self._http_port}"
        texts = ("DB::Exception", f"DB::Exception: {message}", "")
        packed = b"".join(_sized(text.encode()) for text in texts)
        return bytes([_EXCEPTION]) + _NOT_IMPLEMENTED.to_bytes(4, "little") + packed + b"\0"


def _sized(text: bytes) -> bytes:
    """A string of the native protocol; texts of under 128 bytes only, whose length is one byte."""
    assert len(text) < 128
    return bytes([len(text)]) + text
