"""`tradewire trace` and `tradewire flows` as a user runs them, on events that went through Kafka and the sink."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka import Producer
from tests.processors.pure import PureWorker, Record
from tests.processors.workload import Workload
from tests.waiting import wait_until

from tradewire.core import Settings, new_id
from tradewire.operations.stack import free_ports
from tradewire.processors.records import Cause
from tradewire.processors.tables import TIMER, Table
from tradewire.processors.timers import Place
from tradewire.schemas import Contract, Event, Topics
from tradewire.sinks import Sink, StoredHistory
from tradewire.sinks.positions import SinkPositions
from tradewire.sinks.store import Store

pytestmark = pytest.mark.slow
STORED = ("trading.events", "flow.events", "flows.state")


class _Worker(PureWorker):
    """Keeps the records of states too, as a worker writes them."""

    def put(self, table: Table, key: str, state: object, cause: Cause) -> None:
        super().put(table, key, state, cause)
        value, headers = self.folds.encode(table, state), tuple(self.folds.headers(table, key, cause))
        self.logs[table.topic].append(Record(table.topic, 0, 0, self.recorded_ms, key.encode(), value, headers))


@dataclass
class Stored:
    environment: dict[str, str]
    orders: list[Event]
    stalled: Event


@pytest.fixture(scope="module")
def stored(settings: Settings, contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """Three flows that are complete or failed, and one that stalled; in Kafka and in ClickHouse."""
    made, worker = Workload(5, f"trace.{new_id()[-8:]}."), _Worker(contract)
    orders = [made._order() for _ in range(3)]
    for event in (event for order in orders for event in order):
        worker.publish(event)
    stalled = made._order()[0]
    worker.publish(stalled)
    later_ns = (worker.recorded_ms + 60_000) * 10**6
    worker.folds.look(Place(TIMER.name, 0, stalled.correlation_id), later_ns, worker, written=False)
    producer = Producer({**settings.kafka.client_config(), "partitioner": "murmur2_random"})
    for topic in STORED:
        for record in worker.logs[topic]:
            producer.produce(topic, record.value, record.key, headers=list(record.headers))
    # What ends transactions of other tests may not be the last that a partition holds.
    other = _Worker(contract)
    other.publish(made._order()[0])
    (last,) = other.logs["trading.events"]
    for partition in range(contract.topics["trading.events"].partitions):
        producer.produce("trading.events", last.value, last.key, partition, headers=list(last.headers))
    assert producer.flush(60) == 0

    topics = Topics({name: contract.topics[name] for name in STORED})
    database = f"test_{new_id().replace('-', '')}"
    own = settings.model_copy(
        update={
            "sink": settings.sink.model_copy(update={"group": database, "batch_age_ms_max": 100}),
            "clickhouse": settings.clickhouse.model_copy(update={"database": database}),
        }
    )
    sink = Sink(own, Contract.load(own, schema_ids=contract.schema_ids, topics=topics))
    thread = threading.Thread(target=sink.run)
    thread.start()
    history = None
    try:
        wait_until(sink.ready.is_set, within_s=120)
        history = StoredHistory.connect(own.clickhouse)
        wanted = f"SELECT count() FROM flows_state FINAL WHERE correlation_id = '{stalled.correlation_id}'"
        wait_until(lambda: history.sql(wanted).rows[0][0] == 1, within_s=120)
        wait_until(lambda: len(history.flow(stalled.correlation_id).steps) == 2, within_s=120)
        positions = SinkPositions.of(own)
        wait_until(lambda: not any(at.behind for at in positions.read(STORED)), within_s=120)
        environment = {
            **os.environ,
            "TRADEWIRE_KAFKA__BOOTSTRAP_SERVERS": own.kafka.bootstrap_servers,
            "TRADEWIRE_REGISTRY__URL": own.registry.url,
            "TRADEWIRE_CLICKHOUSE__HOST": own.clickhouse.host,
            "TRADEWIRE_CLICKHOUSE__PORT": str(own.clickhouse.port),
            "TRADEWIRE_CLICKHOUSE__DATABASE": database,
            "COLUMNS": "160",
        }
        yield Stored(environment, [order[0] for order in orders], stalled)
    finally:
        if history is not None:
            history.close()
        sink.stop()
        thread.join(60)
        store = Store(own.clickhouse)
        store.command(f"DROP DATABASE IF EXISTS `{database}` SYNC")
        store.close()


def tradewire(stored: Stored, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tradewire.operations.cli", *arguments]
    whole = {**stored.environment, **environment}
    return subprocess.run(command, env=whole, capture_output=True, text=True, timeout=120, check=False)


def test_a_flow_is_drawn_from_clickhouse(stored: Stored) -> None:
    done = tradewire(stored, "trace", stored.orders[0].correlation_id)
    assert done.returncode == 0, done.stderr
    assert "(from ClickHouse)" in done.stdout
    assert "└─ trading.order." in done.stdout
    assert "COMPLETED" in done.stdout or "FAILED" in done.stdout
    assert "readmodel" not in done.stdout and "flow.run" not in done.stdout
    assert "complete" in done.stderr.splitlines()[-1], done.stderr
    said = json.loads(tradewire(stored, "trace", stored.orders[0].correlation_id, "--json").stdout)
    assert stored.orders[0].correlation_id == said["flow"]["correlation_id"]
    assert {"asked_ms", "recorded_ms", "behind", "partitions"} == set(said["complete"])


def test_a_stalled_flow_says_what_it_waits_for(stored: Stored) -> None:
    done = tradewire(stored, "trace", stored.stalled.correlation_id)
    assert done.returncode == 0, done.stderr
    assert "STALLED (deadline missed: accepted)" in done.stdout
    assert "accepted, overdue by" in done.stdout


def test_without_clickhouse_the_newest_state_in_kafka_is_drawn_and_said_to_be(stored: Stored) -> None:
    (nobody,) = free_ports(1)
    done = tradewire(stored, "trace", stored.stalled.correlation_id, TRADEWIRE_CLICKHOUSE__PORT=str(nobody))
    assert done.returncode == 0, done.stderr
    assert "(from flows.state; ClickHouse" in done.stdout and "does not answer)" in done.stdout
    assert "STALLED (deadline missed: accepted)" in done.stdout
    assert "what the worker had written" in done.stderr


def test_an_unknown_id_is_an_error_that_says_where_was_looked(stored: Stored) -> None:
    done = tradewire(stored, "trace", "nobody-knows-it")
    assert done.returncode == 1
    assert "'nobody-knows-it'" in done.stderr
    assert "has none; flows.state on" in " ".join(done.stderr.split())


def test_completion_and_hops_of_declared_flows(stored: Stored) -> None:
    done = tradewire(stored, "flows")
    assert done.returncode == 0, done.stderr
    assert "completion rate" in done.stdout
    (accepted,) = [line for line in done.stdout.splitlines() if "accepted" in line]
    assert "order" in accepted
    assert "complete of flows.state" in done.stderr.splitlines()[-1], done.stderr
    said = json.loads(tradewire(stored, "flows", "--json").stdout)
    assert "order" in {run["flow"] for run in said["runs"]}
    assert {"flows.state"} == {at["topic"] for at in said["complete"]["partitions"]}
