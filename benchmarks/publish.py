"""Rows ``publish…``: the publisher, one by one and in bulk, beside confluent-kafka's AvroSerializer and Producer,
aiokafka with fastavro, FastStream, and raw ``produce()``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from benchmarks.log import Log, produce_ready
from benchmarks.measure import NotVerified, Options, Stopwatch, expect
from benchmarks.peers.environment import EnvironmentMissing, faststream_python
from benchmarks.report import RowSpec, Run
from benchmarks.servers import REPO
from benchmarks.trades import SOURCE, TYPE, Trade, ready_records, trades
from tradewire.core import Settings, new_id
from tradewire.producers import Publisher
from tradewire.producers.publisher import producer_config
from tradewire.schemas import Contract, format_time_ns

OURS: Final = "publisher"
MANY: Final = "publish_many"
COLUMNS: Final = "publish_columns"
AIOKAFKA: Final = "aiokafka"
FASTSTREAM: Final = "faststream"
PEER: Final = "avro_serializer"
LIMIT: Final = "raw_produce"


# The asyncio peers get fewer events, or a run of them would take the longest.
_SHARE_ASYNC: Final = 0.25
_ASYNC_TIMEOUT_S: Final = 150


class PublishStudy:
    """The same trades from dicts (``publish_columns``: from an Arrow table) to delivered, one process, one thread.

    The first one is delivered before the clock starts: see ``produce_ready``.
    """

    rows: Sequence[RowSpec] = (
        RowSpec("publish", OURS, PEER, LIMIT, bar_vs_peer=3.0, bar_vs_limit=1 / 3),
        RowSpec("publish_many", MANY, PEER, LIMIT),
        RowSpec("publish_columns", COLUMNS, PEER, LIMIT),
        RowSpec("publish_aiokafka", OURS, AIOKAFKA, LIMIT),
        RowSpec("publish_faststream", OURS, FASTSTREAM, LIMIT),
    )
    warm_up: bool = True

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings
        self._contract = Contract.load(settings)
        self._topic = self._contract.topic_of(TYPE)
        self._log = Log(settings)
        self._trades = list(trades(options.share()))
        self._ready = ready_records(self._contract, self._trades, topic=self._topic)
        self._table = arrow_table(self._trades)
        self._async_count = options.share(_SHARE_ASYNC)
        self._folder = Path(tempfile.mkdtemp(prefix="tradewire-bench-"))
        self.skipped: dict[str, str] = {}
        self._python = {AIOKAFKA: sys.executable}
        try:
            if not options.ours_alone:
                self._python[FASTSTREAM] = str(faststream_python(settings.local.cache_folder))
        except EnvironmentMissing as error:
            self.skipped[FASTSTREAM] = str(error)
        every = (OURS, PEER, MANY, COLUMNS, LIMIT, AIOKAFKA, FASTSTREAM)
        self.contenders: Sequence[str] = [name for name in every if name not in self.skipped]

    def measure(self, contender: str, number: int) -> Run:
        """Raises NotVerified when the topic has not grown by exactly the events, or one was not confirmed."""
        before = self._log.count(self._topic)
        count = len(self._trades)
        if contender in (OURS, MANY, COLUMNS):
            run = self._publish(contender)
        elif contender == PEER:
            run = publish_with_serializer(self._settings, self._contract, self._topic, self._trades)
        elif contender == LIMIT:
            run = produce_ready(self._settings, self._topic, self._ready)
        else:
            count = self._async_count
            run = self._publish_async(contender)
        expect(f"{contender}: records in {self._topic}", count, self._log.count(self._topic) - before)
        return run

    def _publish(self, contender: str) -> Run:
        with Publisher(self._settings, self._contract, source=SOURCE) as publisher:
            publish = publisher.publish
            first, *rest = self._trades
            publish(TYPE, first.data, subject=first.subject)
            publisher.flush()
            watch = Stopwatch()
            if contender == MANY:
                publisher.publish_many((TYPE, data, subject) for subject, data in rest)
            elif contender == COLUMNS:
                publisher.publish_columns(TYPE, self._table, first_row=1)
            else:
                for subject, data in rest:
                    publish(TYPE, data, subject=subject)
            publisher.flush()
            run = watch.run(len(rest))
            expect(
                f"{contender}: confirmed events",
                (len(self._trades), 0),
                (publisher.outcome.published, publisher.pending),
            )
        return run

    def _publish_async(self, contender: str) -> Run:
        found, limits = self._trades[: self._async_count], self._settings.publisher
        schema = self._contract.catalogue[TYPE].latest
        (self._folder / "trade.avsc").write_text(schema.text, encoding="utf-8")
        lines = [json.dumps([subject, data], default=str) for subject, data in found]
        (self._folder / "trades.jsonl").write_text("\n".join(lines), encoding="utf-8")
        given = {
            "BENCH_BROKER": self._settings.kafka.bootstrap_servers,
            "BENCH_TOPIC": self._topic,
            "BENCH_TRADES": str(self._folder / "trades.jsonl"),
            "BENCH_SCHEMA": str(self._folder / "trade.avsc"),
            "BENCH_PREFIX": self._ready[0].value[:5].hex(),
            "BENCH_COMPRESSION": limits.compression,
            "BENCH_LINGER_MS": str(limits.linger_ms),
            "BENCH_BATCH_BYTES": str(limits.batch_bytes_max),
        }
        done = subprocess.run(
            [self._python[contender], "-m", "benchmarks.peers.async_publish", contender],
            cwd=REPO, env=os.environ | given, capture_output=True, text=True, timeout=_ASYNC_TIMEOUT_S, check=False,
        )  # fmt: skip
        if done.returncode:
            raise NotVerified(f"{contender} ended with {done.returncode}: {done.stderr[-1000:]}")
        took = json.loads(done.stdout.splitlines()[-1])
        return Run(len(found) - 1, took["seconds"], took["cpu_s"])

    def close(self) -> None:
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def arrow_table(found: Sequence[Trade]) -> Any:
    """The trades as a feed that reads Parquet or Arrow has them."""
    price = pyarrow.decimal128(38, 18)
    kinds = {"price": price, "quantity": price}
    columns = {name: [data[name] for _, data in found] for name in found[0].data}
    return pyarrow.table({name: pyarrow.array(column, kinds.get(name)) for name, column in columns.items()})


def publish_with_serializer(settings: Settings, contract: Contract, topic: str, found: Sequence[Trade]) -> Run:
    """The peer: serializer and producer as their documentation sets them up, with our envelope as headers.

    Schemas are registered beforehand and found once per subject; the client settings are the publisher's.
    """
    registry = SchemaRegistryClient({"url": settings.registry.url})
    serialize = AvroSerializer(
        registry,
        contract.catalogue[TYPE].latest.text,
        conf={"auto.register.schemas": False, "subject.name.strategy": topic_record_subject_name_strategy},
    )
    context = SerializationContext(topic, MessageField.VALUE)
    first, *rest = found
    producer = Producer(producer_config(settings.kafka, settings.publisher))
    producer.produce(topic=topic, key=first.subject, value=serialize(first.data, context))
    producer.flush()
    confirmed = 0

    def delivered(error: Any, _message: Any) -> None:
        nonlocal confirmed
        if error is None:
            confirmed += 1

    watch = Stopwatch()
    for subject, data in rest:
        id = new_id()
        headers: list[tuple[str, str | bytes | None]] = [
            ("ce_specversion", "1.0"),
            ("ce_id", id),
            ("ce_type", TYPE),
            ("ce_source", SOURCE),
            ("ce_time", format_time_ns(time.time_ns())),
            ("ce_subject", subject),
            ("ce_correlationid", id),
            ("content-type", "application/avro"),
        ]
        producer.produce(
            topic=topic, key=subject, value=serialize(data, context), headers=headers, on_delivery=delivered
        )
        producer.poll(0)
    producer.flush()
    run = watch.run(len(rest))
    expect(f"{PEER}: confirmed events", len(rest), confirmed)
    return run
