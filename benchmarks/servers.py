"""The servers of a run: a broker with Kafka's own JVM settings, the registry, the ClickHouse engine, on free ports."""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Final

from confluent_kafka import Producer

from tradewire.core import Settings, load_settings
from tradewire.operations.setup import apply_contract
from tradewire.operations.stack import Child, PartFailed, free_ports, start_child
from tradewire.operations.stack.cluster import local_kafka, local_registry
from tradewire.schemas import Topic, TopicAdmin

REPO: Final = Path(__file__).resolve().parents[1]
_READY_S: Final = 60
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def running_servers(folder: Path, *, clickhouse: bool) -> Iterator[Settings]:
    """Settings of servers that run until the block ends, with topics applied and schemas registered.

    Raises:
        StackError: Java, a jar, a port or room is missing, or a server does not become ready.
    """
    # A developer's own settings must not change what is measured.
    for name in [name for name in os.environ if name.startswith("TRADEWIRE_")]:
        del os.environ[name]
    with ExitStack() as stack:
        kafka = stack.enter_context(local_kafka(folder / "kafka", profile="bench"))
        registry = stack.enter_context(local_registry(folder / "registry"))
        engine_port, gateway, worker, sink, controller = free_ports(5)
        host, _, port = kafka.bootstrap_servers.partition(":")
        settings = load_settings(
            kafka={"bootstrap_servers": f"{host}:{port}"},
            registry={"url": registry.url, "archive_folder": folder / "schema-archive"},
            clickhouse={"port": engine_port},
            gateway={"port": gateway},
            worker={"metrics_port": worker, "data_folder": folder / "worker"},
            sink={"metrics_port": sink},
            local={
                "data_folder": folder,
                "kafka_port": int(port),
                "kafka_controller_port": controller,
                "registry_port": int(registry.url.split(":")[2].split("/")[0]),
            },
            log={"format": "json"},
        )
        if clickhouse:
            child = _start_engine(settings, folder / "clickhouse")
            stack.callback(child.stop, 20)
            _wait_until_answers(settings, child)
        apply_contract(settings)
        _wait_for_producer_ids(settings)
        yield settings


@contextmanager
def running_engine(folder: Path, *, database: str) -> Iterator[Settings]:
    """Settings of a ClickHouse engine alone, with no Kafka and no registry beside it.

    Raises:
        StackError: the engine does not become ready.
    """
    for name in [name for name in os.environ if name.startswith("TRADEWIRE_")]:
        del os.environ[name]
    (port,) = free_ports(1)
    settings = load_settings(clickhouse={"port": port, "database": database, "timeout_ms": 3_600_000})
    child = _start_engine(settings, folder / "clickhouse")
    try:
        _wait_until_answers(settings, child)
        yield settings
    finally:
        child.stop(20)


def _wait_for_producer_ids(settings: Settings) -> None:
    """A broker gives idempotent producers their ids only a while after it answers; no contender is to wait for that."""
    topic = Topic("bench.ready", "bench", partitions=1)
    TopicAdmin(settings.kafka).ensure({topic.name: topic})
    producer = Producer({**settings.kafka.client_config(), "enable.idempotence": True, "log_level": 2})
    producer.produce(topic.name, b"")
    if producer.flush(_READY_S):
        raise PartFailed(f"the broker takes no record of an idempotent producer within {_READY_S} s")


def _start_engine(settings: Settings, folder: Path) -> Child:
    command = [sys.executable, "-m", "tradewire.operations.clickhouse_server", "--host", settings.clickhouse.host]
    command += ["--port", str(settings.clickhouse.port), "--data", str(folder / "data")]
    return start_child(command, name="clickhouse", log_file=folder / "clickhouse.log", cwd=REPO)


def _wait_until_answers(settings: Settings, child: Child) -> None:
    url = f"http://{settings.clickhouse.host}:{settings.clickhouse.port}/ping"
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            with _opener.open(url, timeout=2):
                return
        except (OSError, HTTPException):
            pass
        if child.poll() is not None or time.monotonic() > deadline:
            child.kill()
            raise PartFailed(f"the ClickHouse engine does not answer:\n{child.log_tail()}")
        time.sleep(0.05)
