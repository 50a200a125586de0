"""A real gateway on a free port, and a real sink behind it with a group and a database of its own."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from confluent_kafka import Consumer, KafkaError, TopicPartition
from tests.waiting import wait_until

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
        wait_until(lambda: server.started, alive=lambda: None if thread.is_alive() else 1)
        headers = {"content-type": "application/json"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90, trust_env=False, headers=headers) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(90)
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
            | {"enable.partition.eof": True, "isolation.level": "read_uncommitted"}
        )

    def __call__(self, topic: str, partition: int, offset: int) -> Event:
        """The event at a place; fails when it is not there within a minute."""
        self._consumer.assign([TopicPartition(topic, partition, offset)])
        deadline = time.monotonic() + 60
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

    def ends(self, topic: str) -> dict[int, int]:
        """The end of each partition of a topic now."""
        partitions = self._consumer.list_topics(topic, timeout=60).topics[topic].partitions
        ask = self._consumer.get_watermark_offsets
        return {number: ask(TopicPartition(topic, number), timeout=60)[1] for number in partitions}

    def added(self, topic: str, since: Mapping[int, int]) -> int:
        """How many records came since; the ends of other tests' transactions are none."""
        records = 0
        for number, end in self.ends(topic).items():
            self._consumer.assign([TopicPartition(topic, number, since[number])])
            at = since[number]
            while at < end:
                message = wait_until(lambda: self._consumer.poll(0.2))
                if message.error() is None:
                    at, records = message.offset() + 1, records + (message.offset() < end)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    at = max(at, message.offset())
        return records

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture(scope="session")
def read_record(gateway_settings: Settings, contract: Contract) -> Iterator[Reader]:
    """What was really written to Kafka."""
    reader = Reader(gateway_settings, contract)
    yield reader
    reader.close()
