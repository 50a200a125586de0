"""Records of every schema, made from a seed, and the Kafka records they travel in."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import fastavro

from tradewire.schemas import Event, EventSchema, Header, encode_headers
from tradewire.schemas.codec import FRAME, MAGIC
from tradewire.sinks.records import Record, RecordColumns

NOW_NS = 1_723_075_200_123_456_789


def data_of(schema: EventSchema, seed: int = 1) -> dict[str, Any]:
    """Data that fits the schema; nullable fields are null in about a third of them."""
    return Sampler(seed).record(schema.schema)


class Sampler:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._named: dict[str, Any] = {}

    def record(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        self._learn(schema)
        return {field["name"]: self.value(field["type"]) for field in schema["fields"]}

    def _learn(self, avro: Any) -> None:
        """Keeps definitions that no sampled value may come by, as in a union whose null is chosen."""
        for part in avro if isinstance(avro, list) else [avro] if isinstance(avro, Mapping) else []:
            if isinstance(part, Mapping):
                if "name" in part:
                    self._named[part["name"]] = part
                for inner in (part["type"], part.get("items"), part.get("values")):
                    self._learn(inner)
                for field in part.get("fields", ()):
                    self._learn(field["type"])

    def value(self, avro: Any) -> Any:
        chance = self._random
        if isinstance(avro, list):
            branches = [branch for branch in avro if branch != "null"]
            return None if "null" in avro and chance.random() < 0.33 else self.value(chance.choice(branches))
        if isinstance(avro, str):
            if avro in self._named:
                return self.value(self._named[avro])
            return {
                "string": lambda: chance.choice(
                    ("", "BTCUSDT", "ü 漢字 🚀", 'it\'s \\ "quoted"\n', f"id-{chance.random()}")
                ),
                "bytes": lambda: chance.randbytes(chance.randrange(5)),
                "boolean": lambda: chance.random() < 0.5,
                "int": lambda: chance.randrange(-(2**31), 2**31),
                "long": lambda: chance.randrange(-(2**63), 2**63),
                "float": lambda: 0.5,
                "double": lambda: chance.random(),
            }[avro]()
        if "name" in avro:
            self._named[avro["name"]] = avro
        if avro.get("logicalType") == "decimal":
            return Decimal(chance.randrange(-(10**30), 10**30)).scaleb(-18)
        if avro["type"] == "record":
            return self.record(avro)
        if avro["type"] == "enum":
            return chance.choice(avro["symbols"])
        if avro["type"] == "array":
            return [self.value(avro["items"]) for _ in range(chance.randrange(4))]
        if avro["type"] == "map":
            return {f"k{number}": self.value(avro["values"]) for number in range(chance.randrange(4))}
        return self.value(avro["type"])


def framed(schema: EventSchema, schema_id: int, data: Mapping[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, schema.parsed, data)
    return FRAME.pack(MAGIC, schema_id) + stream.getvalue()


def event_of(schema: EventSchema, number: int = 0, **changes: Any) -> Event:
    """An event of the type with its own id; ``changes`` replace attributes."""
    attributes: dict[str, Any] = {
        "id": f"event-{number}",
        "type": schema.type,
        "data": data_of(schema, number),
        "source": "test",
        "subject": f"aggregate-{number % 7}",
        "time_ns": NOW_NS + number,
        "correlation_id": f"flow-{number % 5}",
    }
    return Event(**{**attributes, **changes})


def record_of(
    schema: EventSchema, schema_id: int, offset: int, *, extra: Sequence[Header] = (), **changes: Any
) -> Record:
    event = event_of(schema, offset, **changes)
    headers = [*encode_headers(event), *extra]
    value = framed(schema, schema_id, event.data)
    return Record(offset, NOW_NS // 1_000_000 + offset, event.subject.encode(), value, headers)


def batch_of(records: Sequence[Record], topic: str = "market.events", partition: int = 0) -> RecordColumns:
    batch = RecordColumns(topic, partition)
    batch.add(records)
    return batch
