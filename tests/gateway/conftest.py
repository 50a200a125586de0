"""A real gateway on a free port, and a real sink behind it with a group and a database of its own."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from confluent_kafka import Consumer, TopicPartition

from tradewire.core import Settings
from tradewire.gateway import create_app
from tradewire.operations.stack import free_ports
from tradewire.schemas import Contract, Event, read_event
from tradewire.sinks import Sink

TOPICS = ("market.events", "trading.events", "system.events")


@contextmanager
def running_gateway(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a gateway that runs in a thread; the gateway is stopped in good order at the end."""
    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=port, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the gateway did not start"
            time.sleep(0.01)
        headers = {"content-type": "application/json"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False, headers=headers) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the gateway did not stop"


@pytest.fixture(scope="session")
def gateway_settings(settings: Settings) -> Settings:
    """The servers of all tests with groups and a database that only these tests use."""
    mark = uuid.uuid4().hex[:8]
    return settings.model_copy(
        update={
            "worker": settings.worker.model_copy(update={"group": f"gateway-worker-{mark}"}),
            "sink": settings.sink.model_copy(update={"group": f"gateway-sink-{mark}", "batch_age_ms_max": 50}),
            "clickhouse": settings.clickhouse.model_copy(update={"database": f"gateway_{mark}"}),
            "gateway": settings.gateway.model_copy(update={"sql_rows_max": 1_000, "sql_seconds_max": 2}),
        }
    )


@pytest.fixture(scope="session")
def client(gateway_settings: Settings) -> Iterator[httpx.Client]:
    """A gateway in front of the running servers."""
    with running_gateway(gateway_settings) as made:
        yield made


@pytest.fixture(scope="session")
def sink(gateway_settings: Settings, contract: Contract) -> Iterator[Sink]:
    """A sink that stores what the gateway publishes."""
    made = Sink(gateway_settings, contract, topics=TOPICS)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            made.run()
        except BaseException as error:
            failures.append(error)
            raise

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert made.ready.wait(180), failures
    yield made
    made.stop()
    thread.join(60)
    assert [] == failures and not thread.is_alive()


class Reader:
    """Reads single records by their place."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._contract = contract
        self._consumer = Consumer(
            settings.kafka.client_config()
            | {"group.id": f"reader-{uuid.uuid4()}", "enable.auto.commit": False, "fetch.wait.max.ms": 20}
        )

    def __call__(self, topic: str, partition: int, offset: int) -> Event:
        """The event at a place; fails when it is not there within ten seconds."""
        self._consumer.assign([TopicPartition(topic, partition, offset)])
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            message = self._consumer.poll(0.2)
            if message is not None and message.error() is None:
                assert (partition, offset) == (message.partition(), message.offset())
                return read_event(
                    self._contract.codec,
                    topic=topic,
                    partition=partition,
                    offset=offset,
                    timestamp_ms=message.timestamp()[1],
                    value=message.value(),
                    headers=message.headers(),
                )
        raise AssertionError(f"no record at {topic}[{partition}]@{offset}")

    def end(self, topic: str) -> int:
        """How many offsets the partitions of a topic have together."""
        partitions = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return sum(self._consumer.get_watermark_offsets(TopicPartition(topic, number))[1] for number in partitions)

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture(scope="session")
def read_record(gateway_settings: Settings, contract: Contract) -> Iterator[Reader]:
    """What was really written to Kafka."""
    reader = Reader(gateway_settings, contract)
    yield reader
    reader.close()
