"""A fault between the pinned aiokafka and uvloop, mended: without it a worker stands still after a broker's restart.

asyncio's transports take a write after their end and drop it; uvloop's raise RuntimeError. aiokafka's connection
expects OSError alone, so the error ends the task that keeps the metadata up to date, silently, and whoever waits for
fresh metadata next, the group's coordinator first of all, waits for ever. Seen in three of fifteen kills of a broker.
"""

from __future__ import annotations

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send
_send_sasl_token = AIOKafkaConnection._send_sasl_token


def _broken(connection: AIOKafkaConnection, error: RuntimeError) -> KafkaConnectionError:
    connection.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
    return KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken: {error}")


def _send_or_break(self: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Any:
    try:
        return _send(self, request, expect_response)
    except RuntimeError as error:
        raise _broken(self, error) from error


def _send_sasl_token_or_break(self: AIOKafkaConnection, payload: bytes, expect_response: bool = True) -> Any:
    try:
        return _send_sasl_token(self, payload, expect_response)
    except RuntimeError as error:
        raise _broken(self, error) from error


def install() -> None:
    """A write to a connection that has just ended raises KafkaConnectionError, as on asyncio's own loop. Idempotent."""
    AIOKafkaConnection.send = _send_or_break
    AIOKafkaConnection._send_sasl_token = _send_sasl_token_or_break
