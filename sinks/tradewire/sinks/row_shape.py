"""The Avro shape of a row: envelope columns around the bytes of a record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import fastavro

from tradewire.schemas.codec import FRAME
from tradewire.sinks._avro import Container, encode_bytes, encode_long
from tradewire.sinks.records import RecordColumns

_NUMBER: Final = {"type": "fixed", "size": 8}


def row_schema(data: Mapping[str, Any]) -> dict[str, Any]:
    """The Avro schema of a row: envelope columns, raw bytes, and the record under its writer's schema as ``data``."""
    number = {**_NUMBER, "name": "TradewireSinkNumber"}
    fields: list[tuple[str, Any]] = [
        ("topic", "string"),
        ("partition", "int"),
        ("schema_id", "long"),
        ("header_layout", "string"),
        ("type", "string"),
        ("offset_bytes", number),
        ("recorded_ms_bytes", number["name"]),
        ("time_ns_bytes", number["name"]),
        ("id", "string"),
        ("source", "string"),
        ("subject", "string"),
        ("correlation_id", "string"),
        ("causation_id", "string"),
        ("sequence_bytes", ["null", number["name"]]),
        ("tags", {"type": "map", "values": "string"}),
        ("header_values", {"type": "array", "items": "bytes"}),
        ("key", ["null", "bytes"]),
        ("value", "bytes"),
        ("data", data),
        ("end_offset_bytes", number["name"]),
    ]
    return {
        "type": "record",
        "name": "TradewireSinkRow",
        "fields": [{"name": name, "type": type} for name, type in fields],
    }


@dataclass(frozen=True, slots=True)
class RowShape:
    """How rows of one writer's schema are built. ``type`` is what ``ce_type`` must say; None accepts any.

    ``schema_id`` is 0 where only a GUID is known; ``frame_bytes`` lie before the Avro of a value: none where a header
    names the schema.
    """

    schema_id: int
    type: str | None
    writer: Any
    container: Container
    frame_bytes: int = FRAME.size

    @classmethod
    def of(cls, schema_id: int, type: str | None, schema: Mapping[str, Any], frame_bytes: int = FRAME.size) -> RowShape:
        writer = fastavro.parse_schema(json.loads(json.dumps(schema)))
        return cls(schema_id, type, writer, Container(row_schema(schema)), frame_bytes)


def row_head(batch: RecordColumns, shape: RowShape, layout: str, type: bytes) -> bytes:
    """The first fields of a row, which many rows share."""
    return b"".join(
        (
            encode_bytes(batch.topic.encode()),
            encode_long(batch.partition),
            encode_long(shape.schema_id),
            encode_bytes(layout.encode()),
            encode_bytes(type),
        )
    )
