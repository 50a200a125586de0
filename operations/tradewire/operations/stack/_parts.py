"""The two JVM parts of the stack, ready for the supervisor."""

from __future__ import annotations

from pathlib import Path

from tradewire.operations.stack._artifacts import Artifacts
from tradewire.operations.stack._java import Java
from tradewire.operations.stack._kafka import KafkaServer, random_cluster_id, stored_cluster_id
from tradewire.operations.stack._kafka_config import plan_nodes
from tradewire.operations.stack._part import Part
from tradewire.operations.stack._registry import COMPATIBILITY_DEFAULT, RegistryServer


def kafka_part(
    folder: Path,
    *,
    broker_port: int,
    controller_port: int,
    artifacts: Artifacts,
    java: Java,
    host: str = "127.0.0.1",
    profile: str = "local",
    heap_mb: int | None = None,
    log_dir: Path | None = None,
) -> Part:
    """The part ``kafka``: one node that is broker and controller, with its data below ``folder``.

    The cluster id is the one found there, else a new one; the ports may differ from those of the last run.
    """
    (node,) = plan_nodes(folder, broker_ports=[broker_port], controller_ports=[controller_port], host=host)
    server = KafkaServer(
        node,
        cluster_id=stored_cluster_id(node) or random_cluster_id(),
        artifacts=artifacts,
        java=java,
        profile=profile,
        heap_mb=heap_mb,
        log_dir=log_dir,
        name="kafka",
    )
    return Part(
        name="kafka",
        start=server.start,
        pending=server.pending,
        ended=server.ended,
        ports={"broker": broker_port, "controller": controller_port},
        stop_timeout_s=30.0,
        hang_timeout_s=60.0,
    )


def registry_part(
    folder: Path,
    *,
    port: int,
    artifacts: Artifacts,
    java: Java,
    host: str = "127.0.0.1",
    heap_mb: int = 192,
    compatibility: str = COMPATIBILITY_DEFAULT,
    log_dir: Path | None = None,
) -> Part:
    """The part ``registry``: ready once it enforces ``compatibility``, after every start anew."""
    server = RegistryServer(
        folder,
        port=port,
        artifacts=artifacts,
        java=java,
        host=host,
        heap_mb=heap_mb,
        compatibility=compatibility,
        log_dir=log_dir,
    )
    return Part(
        name="registry",
        start=server.start,
        pending=server.pending,
        ended=server.ended,
        ports={"http": port},
        stop_timeout_s=30.0,
        hang_timeout_s=60.0,
    )
