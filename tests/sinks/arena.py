"""A sink with topics, a group and settings of its own against the shared servers, as a process or a thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Producer
from tests.sinks.samples import record_of
from tests.waiting import wait_until

from tradewire.core import Settings
from tradewire.schemas import Catalogue, Contract, TopicAdmin, Topics
from tradewire.sinks import Sink, StoredHistory
from tradewire.sinks.records import Record
from tradewire.sinks.store import Store

CATALOGUE = Catalogue.load()
TYPES = ("market.trade.reported", "market.quote.updated")


@dataclass
class Arena:
    """One test's own topics and group in a database that the module shares."""

    settings: Settings
    contract: Contract
    topics: Topics
    topics_file: Path
    folder: Path
    sent: dict[tuple[str, int], int] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def schema_id(self, type: str) -> int:
        return self.contract.schema_ids.id_of(CATALOGUE[type].latest, self.contract.topic_of(type))

    def topic(self, domain: str) -> str:
        return next(topic.name for topic in self.topics.values() if topic.domain == domain)

    def events(
        self, count: int, types: Sequence[str] = ("market.trade.reported", "market.quote.updated")
    ) -> list[Record]:
        """Records of several types in turn."""
        schemas = [(CATALOGUE[type].latest, self.schema_id(type)) for type in types]
        return [record_of(*schemas[number % len(schemas)], number) for number in range(count)]

    def send(self, topic: str, records: Sequence[Record], partition: int = 0) -> None:
        """Returns when the broker has them."""
        producer = Producer({**self.settings.kafka.client_config(), "enable.idempotence": True, "linger.ms": 5})
        failed: list[Any] = []
        for record in records:
            producer.produce(
                topic,
                record.value,
                record.key,
                partition,
                timestamp=record.timestamp_ms,
                headers=list(record.headers),
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
            producer.poll(0)
        assert producer.flush(60) == 0
        assert not failed
        self.sent[topic, partition] = self.sent.get((topic, partition), 0) + len(records)

    @contextmanager
    def history(self) -> Iterator[StoredHistory]:
        history = StoredHistory.connect(self.settings.clickhouse)
        try:
            yield history
        finally:
            history.close()

    def stored(self) -> dict[tuple[str, int], tuple[int, int, int, int]]:
        """Rows, distinct offsets, lowest and highest offset of each partition, dead letters included."""
        with self.history() as history:
            counts = history.counts(list(self.topics))
        return {
            (count.topic, count.partition): (count.rows, count.distinct_offsets, count.offset_min, count.offset_max)
            for count in counts
        }

    def expected(self) -> dict[tuple[str, int], tuple[int, int, int, int]]:
        return {key: (count, count, 0, count - 1) for key, count in self.sent.items()}

    def all_stored(self) -> bool:
        stored = self.stored()
        return all(stored.get(key, (0, 0, 0, 0))[1] >= count for key, count in self.sent.items())

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        store = Store(self.settings.clickhouse)
        try:
            return [tuple(row) for row in store.query(sql)]
        finally:
            store.close()

    def drop_database(self) -> None:
        store = Store(self.settings.clickhouse)
        store.command(f"DROP DATABASE IF EXISTS `{store.database}` SYNC")
        store.close()

    @property
    def environment(self) -> dict[str, str]:
        settings = self.settings
        values = {
            "KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "REGISTRY__URL": settings.registry.url,
            "CLICKHOUSE__HOST": settings.clickhouse.host,
            "CLICKHOUSE__PORT": str(settings.clickhouse.port),
            "CLICKHOUSE__DATABASE": settings.clickhouse.database,
            "SCHEMAS__TOPICS_FILE": str(self.topics_file),
            "SINK__GROUP": settings.sink.group,
            "SINK__BATCH_ROWS_MAX": str(settings.sink.batch_rows_max),
            "SINK__BATCH_AGE_MS_MAX": str(settings.sink.batch_age_ms_max),
            "SINK__POLL_INTERVAL_MS_MAX": str(settings.sink.poll_interval_ms_max),
            "SINK__UNKNOWN_SCHEMA_WAIT_MS": str(settings.sink.unknown_schema_wait_ms),
            "LOG__FORMAT": "json",
        }
        if settings.sink.metrics_port is not None:
            values["SINK__METRICS_PORT"] = str(settings.sink.metrics_port)
        return {**os.environ, **{f"TRADEWIRE_{key}": value for key, value in values.items()}}

    def start(
        self, instance: str = "a", failpoint: str | None = None, *, session_timeout_ms: int = 6_000
    ) -> SinkProcess:
        """A sink process; with a failpoint it ends or stops there."""
        environment = self.environment | ({"TRADEWIRE_FAILPOINT": failpoint} if failpoint else {})
        log = self.folder / f"{instance}-{len(self.processes)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tradewire.sinks.worker",
                    "--instance-id",
                    instance,
                    "--session-timeout-ms",
                    str(session_timeout_ms),
                ],
                env=environment,
                stdout=stream,
                stderr=stream,
                cwd=self.folder,
            )
        self.processes.append(process)
        return SinkProcess(process, log)

    @contextmanager
    def running(self, **options: Any) -> Iterator[Sink]:
        """A sink in a thread of this process; what ended it is raised at the end."""
        sink = Sink(self.settings, self.sink_contract(), **{"session_timeout_ms": 6_000} | options)
        ended: list[BaseException] = []

        def run() -> None:
            try:
                sink.run()
            except BaseException as error:
                ended.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            wait_until(lambda: sink.ready.is_set() or ended, within_s=120)
            yield sink
        finally:
            sink.stop()
            thread.join(120)
            assert not thread.is_alive()
            if ended:
                raise ended[0]

    def sink_contract(self) -> Contract:
        return Contract.load(self.settings, schema_ids=self.contract.schema_ids, topics=self.topics)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(30)


@dataclass
class SinkProcess:
    """A sink process and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, within_s: float = 90) -> int:
        return self.process.wait(within_s)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def is_assigned(self) -> bool:
        """Whether it has had partitions."""
        return '"assigned"' in self.text()

    def is_stopped(self) -> bool:
        """Whether SIGSTOP holds it."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def make_arena(settings: Settings, contract: Contract, folder: Path, name: str, database: str, **sink: Any) -> Arena:
    """Private topics of the domains market and trading, one of dead letters, one of a read model."""
    declared = {
        f"market.{name}": {"domain": "market", "partitions": 2},
        f"trading.{name}": {"domain": "trading", "partitions": 1},
        f"deadletter.{name}": {"domain": "deadletter", "partitions": 1},
    }
    defaults = {
        "partitions": 1,
        "replication": -1,
        "cleanup": "delete",
        "retention_ms": 604_800_000,
        "timestamps": "LogAppendTime",
    }
    file = folder / "topics.yaml"
    file.write_text(yaml.safe_dump({"defaults": defaults, "topics": declared}))
    topics = Topics.load(file)
    TopicAdmin(settings.kafka).ensure(topics)
    own = settings.model_copy(
        update={
            "sink": settings.sink.model_copy(
                update={"group": f"sink-{name}", "batch_rows_max": 100, "batch_age_ms_max": 100}
                | {"unknown_schema_wait_ms": 0, **sink}
            ),
            "clickhouse": settings.clickhouse.model_copy(update={"database": database}),
        }
    )
    return Arena(own, contract, topics, file, folder)
