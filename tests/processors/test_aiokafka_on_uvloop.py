"""What the pinned aiokafka makes of a connection that ended under it, on uvloop: a fault and its mending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from tradewire.processors import _aiokafka_on_uvloop

_aiokafka_on_uvloop.install()


async def _send_after_the_end(send: Callable[..., Any]) -> AIOKafkaConnection:
    """Sends over a connection whose transport has ended and whose owner has not been told yet."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    connection = AIOKafkaConnection(host, port)
    connection._reader, connection._writer = await asyncio.open_connection(host, port)
    connection._read_task = asyncio.create_task(asyncio.sleep(60))
    connection._versions = {MetadataRequest.API_KEY: (0, 5)}
    connection._writer.transport.abort()
    await asyncio.sleep(0)
    try:
        await send(connection, MetadataRequest(None))
    finally:
        server.close()
    return connection


def test_aiokafka_lets_an_error_through_that_its_callers_do_not_expect() -> None:
    """Should this fail, the fault is gone from the pinned versions and the mending can go too."""
    with pytest.raises(RuntimeError, match="handler is closed"):
        uvloop.run(_send_after_the_end(_aiokafka_on_uvloop._send))


def test_a_write_to_a_connection_that_has_just_ended_is_a_connection_error() -> None:
    with pytest.raises(KafkaConnectionError, match="broken"):
        uvloop.run(_send_after_the_end(AIOKafkaConnection.send))
