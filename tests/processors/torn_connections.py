"""Connections of aiokafka that end in the worst moment; for the scripts that tests start as processes."""

from __future__ import annotations

import asyncio
from typing import Any


def tear_connections(app: Any) -> None:
    """Ends all connections of a Faust app in the moment in which metadata are about to be asked for over one of them.

    Called on the app's own loop; the consumer has one in a thread.
    """
    client: Any = app.consumer._thread._consumer._client
    update, connection_to = client._metadata_update, client._get_conn

    async def torn_connection(*arguments: Any, **more: Any) -> Any:
        client._get_conn = connection_to
        found = await connection_to(*arguments, **more)
        for connection in list(client._conns.values()):
            connection._writer.transport.abort()
        await asyncio.sleep(0)
        return found

    async def torn_update(*arguments: Any) -> Any:
        client._metadata_update, client._get_conn = update, torn_connection
        return await update(*arguments)

    client._metadata_update = torn_update
    app.consumer._thread.thread_loop.call_soon_threadsafe(client.force_metadata_update)
