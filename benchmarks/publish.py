"""Row ``publish``: the publisher, confluent-kafka's own AvroSerializer and Producer, and raw ``produce()``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from benchmarks.log import Log, produce_ready
from benchmarks.measure import Options, Stopwatch, expect
from benchmarks.report import RowSpec, Run
from benchmarks.trades import SOURCE, TYPE, Trade, ready_records, trades
from tradewire.core import Settings, new_id
from tradewire.producers import Publisher
from tradewire.producers.publisher import producer_config
from tradewire.schemas import Contract, format_time_ns

OURS: Final = "publisher"
PEER: Final = "avro_serializer"
LIMIT: Final = "raw_produce"


class PublishStudy:
    """The same trades from dicts to delivered, one process, one thread that publishes.

    The first one is delivered before the clock starts: see ``produce_ready``.
    """

    rows: Sequence[RowSpec] = (RowSpec("publish", OURS, PEER, LIMIT, bar_vs_peer=3.0, bar_vs_limit=1 / 3),)
    contenders: Sequence[str] = (OURS, PEER, LIMIT)
    skipped: Mapping[str, str] = {}
    warm_up: bool = True

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings
        self._contract = Contract.load(settings)
        self._topic = self._contract.topic_of(TYPE)
        self._log = Log(settings)
        self._trades = list(trades(options.share()))
        self._ready = ready_records(self._contract, self._trades, topic=self._topic)

    def measure(self, contender: str, number: int) -> Run:
        """Raises NotVerified when the topic has not grown by exactly the events, or one was not confirmed."""
        before = self._log.count(self._topic)
        if contender == OURS:
            run = self._publish()
        elif contender == PEER:
            run = publish_with_serializer(self._settings, self._contract, self._topic, self._trades)
        else:
            run = produce_ready(self._settings, self._topic, self._ready)
        expect(f"{contender}: records in {self._topic}", len(self._trades), self._log.count(self._topic) - before)
        return run

    def _publish(self) -> Run:
        with Publisher(self._settings, self._contract, source=SOURCE) as publisher:
            publish = publisher.publish
            first, *rest = self._trades
            publish(TYPE, first.data, subject=first.subject)
            publisher.flush()
            watch = Stopwatch()
            for subject, data in rest:
                publish(TYPE, data, subject=subject)
            publisher.flush()
            run = watch.run(len(rest))
            expect(
                f"{OURS}: confirmed events", (len(self._trades), 0), (publisher.outcome.published, publisher.pending)
            )
        return run

    def close(self) -> None:
        self._log.close()


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
