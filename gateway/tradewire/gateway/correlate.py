"""The flow of a request: ``X-Correlation-Id`` in, the same out, and in between it is the current correlation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders

from tradewire.core import correlation
from tradewire.gateway.metrics import Message, Receive, Scope, Send
from tradewire.gateway.problems import malformed

HEADER: Final = "x-correlation-id"
_LENGTH_MAX: Final = 255


class FollowCorrelation:
    """ASGI middleware. With the header, events posted without a correlation id join that flow and log lines carry it;
    without it, every event starts a flow of its own."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).get(HEADER) if scope["type"] == "http" else None
        if given is None:
            await self._app(scope, receive, send)
            return
        if not 1 <= len(given) <= _LENGTH_MAX or not given.isascii() or not given.isprintable():
            problem = malformed(f"header X-Correlation-Id must be 1 to {_LENGTH_MAX} printable ASCII characters")
            await problem.response(scope["path"])(scope, receive, send)
            return

        async def echo(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = given
            await send(message)

        with correlation(given):
            await self._app(scope, receive, echo)
