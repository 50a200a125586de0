"""Decode-and-insert-rows: confluent-kafka, fastavro, ``clickhouse_connect``'s ``insert``, into the sink's own tables.

One thread, batches as large as the sink's, rows equal to the sink's; offsets are committed after the inserts. It has no
intent, no token and no dead letters: at least once, and ended by one malformed record.
"""

from __future__ import annotations

import io
import json
import signal
import time
from functools import lru_cache
from typing import Any, Final

import fastavro
from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient

from benchmarks.trades import TYPE
from tradewire.core import Settings, load_settings
from tradewire.schemas import Contract, parse_time_ns
from tradewire.sinks.layout import COLUMN, CONSTANT, TEXT_COLUMNS, Entry, layout_text
from tradewire.sinks.store import connect

_PLACE: Final = ("topic", "partition", "offset", "recorded_at")
_EVENTS: Final = (
    *_PLACE, "type", "version", "schema_id", "id", "source", "subject", "correlation_id", "causation_id", "sequence",
    "tags", "time_ns", "occurred_at", "payload_text", "key", "value", "header_layout", "header_values",
)  # fmt: skip
_TRADES: Final = (
    *_PLACE, "id", "version", "source", "subject", "correlation_id", "time_ns", "occurred_at", "venue", "symbol",
    "trade_id", "price", "quantity", "aggressor_side", "trade_time_ns", "received_time_ns",
)  # fmt: skip
_CONSTANTS: Final = {"ce_specversion": "1.0", "content-type": "application/avro"}


class RowInsert:
    """Reads a topic of one event type and inserts its records as rows."""

    def __init__(self, settings: Settings) -> None:
        self._topic = Contract.load(settings).topic_of(TYPE)
        self._registry = SchemaRegistryClient({"url": settings.registry.url})
        self._schemas: dict[int, Any] = {}
        self._client = connect(settings.clickhouse, database=settings.clickhouse.database)
        self._limits = settings.sink
        self._consumer = Consumer(
            {
                **settings.kafka.client_config(),
                "group.id": settings.sink.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "queued.min.messages": 50_000,
                "fetch.wait.max.ms": 50,
            }
        )
        self._going = True

    def stop(self) -> None:
        """Ends ``run``; what was gathered and not inserted is read again by the next one."""
        self._going = False

    def run(self) -> None:
        """Inserts until ``stop``."""
        self._consumer.subscribe([self._topic])
        gathered: list[Any] = []
        since = 0.0
        while self._going:
            messages = self._consumer.consume(10_000, 0.05)
            if messages and not gathered:
                since = time.monotonic()
            gathered += messages
            due = (time.monotonic() - since) * 1000 >= self._limits.batch_age_ms_max
            if gathered and (due or len(gathered) >= self._limits.batch_rows_max):
                self._insert(gathered)
                self._consumer.commit(asynchronous=False)
                gathered = []
        self._consumer.close()

    def _insert(self, messages: list[Any]) -> None:
        events: list[list[Any]] = []
        typed: list[list[Any]] = []
        for message in messages:
            event, row = self._rows(message)
            events.append(event)
            typed.append(row)
        self._client.insert("events", events, column_names=_EVENTS)
        self._client.insert("market_trade_reported", typed, column_names=_TRADES)

    def _rows(self, message: Any) -> tuple[list[Any], list[Any]]:
        value = message.value()
        schema_id = int.from_bytes(value[1:5], "big")
        data: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), self._schema(schema_id), None)
        headers = {name: found.decode() for name, found in message.headers()}
        time_ns = parse_time_ns(headers["ce_time"])
        place = [message.topic(), message.partition(), message.offset(), message.timestamp()[1]]
        id, source, subject, flow = (
            headers["ce_id"], headers["ce_source"], headers["ce_subject"], headers["ce_correlationid"],
        )  # fmt: skip
        payload = json.dumps({**data, "price": str(data["price"]), "quantity": str(data["quantity"])})
        event = [
            *place, headers["ce_type"], 1, schema_id, id, source, subject, flow, headers.get("ce_causationid", ""),
            None, {}, time_ns, time_ns, payload, message.key(), value, _layout(tuple(headers)), [],
        ]  # fmt: skip
        return event, [*place, id, 1, source, subject, flow, time_ns, time_ns, *data.values()]

    def _schema(self, schema_id: int) -> Any:
        known = self._schemas.get(schema_id)
        if known is None:
            text = self._registry.get_schema(schema_id).schema_str
            known = self._schemas[schema_id] = fastavro.parse_schema(json.loads(str(text)))
        return known


@lru_cache
def _layout(names: tuple[str, ...]) -> str:
    entries: list[Entry] = [
        (name, CONSTANT, _CONSTANTS[name]) if name in _CONSTANTS else (name, COLUMN)
        for name in names
        if name in _CONSTANTS or name in TEXT_COLUMNS or name == "ce_time"
    ]
    return layout_text(entries)


def main() -> None:
    """Runs until SIGTERM."""
    sink = RowInsert(load_settings())
    signal.signal(signal.SIGTERM, lambda *_: sink.stop())
    sink.run()


if __name__ == "__main__":
    main()
