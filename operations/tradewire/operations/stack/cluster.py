"""Kafka and the schema registry for tests and benchmarks: on free ports, to be killed and started again at will.

    with local_kafka(tmp_path / "kafka") as kafka, local_registry(tmp_path / "registry") as registry:
        ...  # kafka.bootstrap_servers, registry.url
        kafka.kill()
        kafka.start()

Everything ends with the ``with`` block, and with this process however it ends. Nothing here is supervised: what a test
kills stays dead until the test starts it.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from tradewire.operations.stack._artifacts import Artifacts, default_cache_dir, resolve_artifacts
from tradewire.operations.stack._errors import PartFailed
from tradewire.operations.stack._java import Java, find_java
from tradewire.operations.stack._kafka import KafkaServer, random_cluster_id, stored_cluster_id
from tradewire.operations.stack._kafka_config import Mode, plan_nodes
from tradewire.operations.stack._ports import free_ports
from tradewire.operations.stack._process import Child
from tradewire.operations.stack._registry import COMPATIBILITY_DEFAULT, RegistryServer

_STOP_TIMEOUT_S = 30.0
# The last nodes of a quorum that ends wait for a majority that never comes back; they are killed after this time.
_STOP_QUORUM_TIMEOUT_S = 8.0


class _Server(Protocol):
    def start(self) -> Child: ...
    def ended(self, exit_code: int) -> None: ...
    def wait_ready(self, child: Child, *, timeout_s: float = ...) -> None: ...


class ManagedProcess:
    """One server process under a test's control, always on the same ports and data. Not thread-safe."""

    def __init__(self, server: _Server, name: str) -> None:
        self.name = name
        self._server = server
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None if it does not run."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def launch(self) -> None:
        """Starts the process without waiting for it; does nothing if it runs.

        Raises:
            StackError: it cannot start; see ``KafkaServer.start`` and ``RegistryServer.start``.
        """
        if self.pid is None:
            self._reap()
            self._child = self._server.start()

    def wait_ready(self, *, timeout_s: float = 60.0) -> None:
        """Blocks until it serves clients.

        Raises:
            PartFailed: it was not launched, has ended, or is not ready in time; quotes its log.
        """
        if self._child is None:
            raise PartFailed(f"{self.name} was not started")
        self._server.wait_ready(self._child, timeout_s=timeout_s)

    def start(self, *, timeout_s: float = 60.0) -> None:
        """``launch`` and ``wait_ready``; a process that does not become ready is killed before the error is raised."""
        self.launch()
        try:
            self.wait_ready(timeout_s=timeout_s)
        except PartFailed:
            self.kill()
            raise

    def stop(self, *, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """Ends it in an orderly way (SIGTERM, after ``timeout_s`` SIGKILL); returns when it is gone."""
        self.resume()
        if self._child is not None:
            self._child.stop(timeout_s)
        self._reap()

    def request_stop(self) -> None:
        """Sends SIGTERM and returns; ``stop`` then waits."""
        self.resume()
        if self._child is not None:
            self._child.signal(signal.SIGTERM)

    def kill(self) -> None:
        """``kill -9``; returns when it is gone."""
        if self._child is not None:
            self._child.kill()
        self._reap()

    def pause(self) -> None:
        """SIGSTOP: it keeps its ports and connections and answers nothing, like a machine that hangs."""
        if self._child is not None:
            self._child.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends a ``pause``."""
        if self._child is not None:
            self._child.signal(signal.SIGCONT)

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of the current or last run's log; empty if it never ran."""
        return self._child.log_tail(lines) if self._child is not None else ""

    def _reap(self) -> None:
        if self._child is not None and (code := self._child.poll()) is not None:
            self._server.ended(code)


class LocalKafka:
    """A running cluster. ``nodes`` maps names (``node-1``; isolated: ``controller``, ``broker-2`` …) to processes."""

    def __init__(self, nodes: Mapping[str, ManagedProcess], *, bootstrap_servers: str, cluster_id: str) -> None:
        self.nodes = nodes
        self.bootstrap_servers = bootstrap_servers
        self.cluster_id = cluster_id

    def start(self, *, timeout_s: float = 60.0) -> None:
        """Starts every node that does not run and blocks until all serve clients.

        Raises:
            StackError: one cannot start or does not become ready within ``timeout_s``.
        """
        for node in self.nodes.values():
            node.launch()
        for node in self.nodes.values():
            node.wait_ready(timeout_s=timeout_s)

    def stop(self) -> None:
        """Ends every node: brokers together, a separate controller after them.

        Orderly, but for the last of several combined nodes: without a quorum they cannot leave it, and are killed
        after 8 s. That loses nothing that was acknowledged.
        """
        brokers = [node for name, node in self.nodes.items() if name != "controller"]
        loses_quorum = len(brokers) > 1 and len(brokers) == len(self.nodes)
        for node in brokers:
            node.request_stop()
        for node in (*brokers, *self.nodes.values()):
            node.stop(timeout_s=_STOP_QUORUM_TIMEOUT_S if loses_quorum else _STOP_TIMEOUT_S)

    def kill(self) -> None:
        """``kill -9`` of every node; data that were acknowledged are there after ``start``."""
        for node in self.nodes.values():
            node.kill()


class LocalRegistry(ManagedProcess):
    """A running schema registry; ``url`` is the base URL for clients of Confluent's registry API."""

    def __init__(self, server: RegistryServer) -> None:
        super().__init__(server, "registry")
        self.url = server.url


def _jars(cache_dir: Path | None) -> tuple[Artifacts, Java]:
    java = find_java()
    return resolve_artifacts(cache_dir or default_cache_dir()), java


@contextlib.contextmanager
def local_kafka(
    data_dir: Path,
    *,
    profile: str = "test",
    brokers: int = 1,
    mode: Mode = "combined",
    heap_mb: int | None = None,
    overrides: Mapping[str, str] | None = None,
    cache_dir: Path | None = None,
    ready_timeout_s: float = 90.0,
) -> Iterator[LocalKafka]:
    """A Kafka cluster on loopback with its data below ``data_dir``, ready when the block begins, gone when it ends.

    ``profile``: ``test`` starts fastest and is slow under load, ``bench`` has Kafka's own JVM settings; measure with
    nothing else. ``mode``: see ``plan_nodes``; ``isolated`` is the cheapest with several brokers to kill. The ports are
    new on each call, also for old data. ``overrides`` are broker properties. Topics are not created by themselves.

    Raises:
        StackError: a jar, Java, a port or room is missing, or a node does not become ready; all nodes are then gone.
    """
    artifacts, java = _jars(cache_dir)
    controllers = brokers if mode == "combined" else 1
    ports = free_ports(brokers + controllers)
    nodes = plan_nodes(
        data_dir, broker_ports=ports[:brokers], controller_ports=ports[brokers:], mode=mode, overrides=overrides
    )
    cluster_id = next((found for node in nodes if (found := stored_cluster_id(node))), None) or random_cluster_id()
    processes = {
        node.name: ManagedProcess(
            KafkaServer(node, cluster_id=cluster_id, artifacts=artifacts, java=java, profile=profile, heap_mb=heap_mb),
            node.name,
        )
        for node in nodes
    }
    bootstrap = ",".join(f"{node.host}:{node.broker_port}" for node in nodes if node.broker_port is not None)
    kafka = LocalKafka(processes, bootstrap_servers=bootstrap, cluster_id=cluster_id)
    try:
        kafka.start(timeout_s=ready_timeout_s)
        yield kafka
        kafka.stop()
    finally:
        kafka.kill()


@contextlib.contextmanager
def local_registry(
    data_dir: Path,
    *,
    compatibility: str = COMPATIBILITY_DEFAULT,
    cache_dir: Path | None = None,
    ready_timeout_s: float = 90.0,
) -> Iterator[LocalRegistry]:
    """A schema registry on loopback with its data in ``data_dir``, ready when the block begins, gone when it ends.

    Raises:
        StackError: a jar, Java, a port or room is missing, or it does not become ready; it is then gone.
    """
    artifacts, java = _jars(cache_dir)
    (port,) = free_ports(1)
    registry = LocalRegistry(
        RegistryServer(data_dir, port=port, artifacts=artifacts, java=java, compatibility=compatibility)
    )
    try:
        registry.start(timeout_s=ready_timeout_s)
        yield registry
        registry.stop()
    finally:
        registry.kill()


def warm_up(scratch_dir: Path, *, cache_dir: Path | None = None) -> None:
    """Fetches the jars and records the class archives, so that the next start of each server takes half the time.

    Starts and stops both servers once on data below ``scratch_dir``. Does it again on each call: ask before calling.

    Raises:
        StackError: see ``local_kafka``.
    """
    with (
        local_kafka(scratch_dir / "kafka", cache_dir=cache_dir),
        local_registry(scratch_dir / "registry", cache_dir=cache_dir),
    ):
        pass
