"""A network between clients and a Kafka broker of a test's own, which the test can cut and mend.

    with cuttable_kafka(tmp_path) as (kafka, link):
        ...              # clients reach the broker at link.address only, also after they have read its metadata
        link.cut()       # nothing comes through; connections stay open, as when a switch dies
        link.mend()
    link.slow(0.2)   # from now on what comes through comes later

The broker has a second listener that advertises the link's address. A cut drops nothing for good: what was on its
way arrives when it is mended, as TCP sends it again, or never, with ``mend(forget=True)``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tradewire.operations.stack import free_ports
from tradewire.operations.stack._kafka import KafkaServer, random_cluster_id
from tradewire.operations.stack._kafka_config import plan_nodes
from tradewire.operations.stack.cluster import LocalKafka, ManagedProcess, _jars

HOST = "127.0.0.1"


class Link:
    """Forwards TCP connections from ``port`` to ``target``, in a thread of its own, until it is cut."""

    def __init__(self, port: int, target: int) -> None:
        self.address = f"{HOST}:{port}"
        self._port, self._target = port, target
        self._loop = asyncio.new_event_loop()
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, name="tests-link", daemon=True)
        self._started = threading.Event()
        self.connections = 0
        self._delay_s = 0.0

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(60), "the link does not listen"

    def cut(self, *, replies_only: bool = False) -> None:
        """Stops forwarding; with ``replies_only`` the broker still gets and does what it is asked for."""
        self._call(self._set_open, replies_only, False)

    def mend(self, *, forget: bool = False) -> None:
        """Goes on forwarding; with ``forget`` connections that were open are reset, and what was on its way is lost."""
        if forget:
            self._call(self._reset)
        self._call(self._set_open, True, True)

    def slow(self, delay_s: float) -> None:
        """Holds every piece of up to 64 KiB back for so long, and what follows on its connection behind it."""
        self._delay_s = delay_s

    def stop(self) -> None:
        """Closes every connection and the port."""
        self._call(self._reset)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        done = threading.Event()

        def run() -> None:
            function(*arguments)
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(60), "the link does not answer"

    def _delay(self) -> float:
        return self._delay_s

    def _set_open(self, requests: bool, replies: bool) -> None:
        for gate, opened in ((self._requests, requests), (self._replies, replies)):
            gate.set() if opened else gate.clear()

    def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        for pump in self._pumps:
            pump.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._started.set()
        self._loop.run_forever()
        self._server.close()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _listen(self) -> None:
        self._requests, self._replies = asyncio.Event(), asyncio.Event()
        self._set_open(True, True)
        self._server = await asyncio.start_server(self._connected, HOST, self._port)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            await self._requests.wait()  # a new connection does not get through either
            with suppress(OSError):
                there_reader, there_writer = await asyncio.open_connection(HOST, self._target)
                self._writers.add(there_writer)
                pumps = [
                    asyncio.create_task(_pump(reader, there_writer, self._requests, self._delay)),
                    asyncio.create_task(_pump(there_reader, writer, self._replies, self._delay)),
                ]
                self._pumps.update(pumps)
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in pumps:
                    pump.cancel()
                self._pumps.difference_update(pumps)
                there_writer.transport.abort()
                self._writers.discard(there_writer)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event, delay: Callable[[], float]
) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            if delay_s := delay():
                await asyncio.sleep(delay_s)
            await gate.wait()
            writer.write(data)
            await writer.drain()


@contextmanager
def cuttable_kafka(folder: Path) -> Iterator[tuple[LocalKafka, Link]]:
    """A broker and the link to it; ``kafka.bootstrap_servers`` is a way past the link, to look what was written.

    Raises StackError: as ``local_kafka``.
    """
    artifacts, java = _jars(None)
    broker, controller, behind, port = free_ports(4)
    (node,) = plan_nodes(folder, broker_ports=[broker], controller_ports=[controller])
    properties = dict(node.properties)
    properties["listeners"] += f",LINK://{HOST}:{behind}"
    properties["advertised.listeners"] += f",LINK://{HOST}:{port}"
    properties["listener.security.protocol.map"] += ",LINK:PLAINTEXT"
    server = KafkaServer(
        replace(node, properties=properties), cluster_id=random_cluster_id(), artifacts=artifacts, java=java,
        profile="test",
    )  # fmt: skip
    kafka = LocalKafka(
        {node.name: ManagedProcess(server, node.name)},
        bootstrap_servers=f"{HOST}:{broker}",
        cluster_id=server.cluster_id,
    )
    link = Link(port, behind)
    link.start()
    try:
        kafka.start(timeout_s=90)
        yield kafka, link
        kafka.stop()
    finally:
        kafka.kill()
        link.stop()
