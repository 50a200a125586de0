"""Bytes per event on disk, per column and codec, beside the same events as JSON lines and as raw Avro."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import fastavro
import zstandard
from rich.table import Table

from tradewire.schemas import Event
from tradewire.schemas.catalogue import Catalogue
from tradewire.sinks.store import Store

_ENVELOPE: Final = ("id", "source", "subject", "correlation_id", "causation_id")


@dataclass(frozen=True, slots=True)
class ColumnSize:
    """One column of ``events``, or a projection or index of it; bytes per row."""

    name: str
    type: str
    codec: str
    raw: float
    stored: float


def sizes_by_column(store: Store) -> list[ColumnSize]:
    """The columns of ``events``, the largest first, then its projections and indexes."""
    at = {"database": store.database}
    rows = int(store.query(f"SELECT count() FROM `{store.database}`.events")[0][0])
    columns = store.query(
        "SELECT name, type, compression_codec, data_uncompressed_bytes, data_compressed_bytes FROM system.columns "
        "WHERE database = {database:String} AND table = 'events' AND default_kind != 'ALIAS' "
        "ORDER BY data_compressed_bytes DESC",
        at,
    )
    projections = store.query(
        "SELECT name, sum(data_uncompressed_bytes), sum(bytes_on_disk) FROM system.projection_parts WHERE active "
        "AND database = {database:String} AND table = 'events' GROUP BY name ORDER BY name",
        at,
    )
    indexes = store.query(
        "SELECT name, type_full, data_uncompressed_bytes, data_compressed_bytes FROM system.data_skipping_indices "
        "WHERE database = {database:String} AND table = 'events'",
        at,
    )
    return [
        *(ColumnSize(name, type, codec or "LZ4", raw / rows, kept / rows) for name, type, codec, raw, kept in columns),
        *(ColumnSize(f"projection {name}", "", "", raw / rows, kept / rows) for name, raw, kept in projections),
        *(ColumnSize(f"index {name}", type, "", raw / rows, kept / rows) for name, type, raw, kept in indexes),
    ]


def sizes_elsewhere(events: Sequence[Event]) -> dict[str, float]:
    """Bytes per event of the same events in other forms, each with its envelope."""
    lines = b"".join(json.dumps(_cloud_event(event), separators=(",", ":")).encode() + b"\n" for event in events)
    avro = {codec: _avro_bytes(events, codec) for codec in ("null", "deflate", "zstandard")}
    count = len(events)
    return {
        "JSON lines": len(lines) / count,
        "JSON lines, gzip": len(zlib.compress(lines, 6)) / count,
        "JSON lines, zstd": len(zstandard.ZstdCompressor(3).compress(lines)) / count,
        **{f"Avro files, {codec}": size / count for codec, size in avro.items()},
    }


def _cloud_event(event: Event) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "time_ns": event.time_ns,
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "sequence": event.sequence,
        "data": json.loads(json.dumps(event.data, default=_plain)),
    }


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value.decode("latin-1") if isinstance(value, bytes) else value


def _avro_bytes(events: Sequence[Event], codec: str) -> int:
    """The size of one container file per event type: envelope fields and the data as a record."""
    catalogue, by_type = Catalogue.load(), _by_type(events)
    return sum(_file_size(catalogue[type].latest.schema, found, codec) for type, found in by_type.items())


def _by_type(events: Sequence[Event]) -> Mapping[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(event.type, []).append(event)
    return found


def _file_size(schema: Mapping[str, Any], events: Sequence[Event], codec: str) -> int:
    optional = ["null", "string"]
    fields = [{"name": name, "type": optional if name == "causation_id" else "string"} for name in _ENVELOPE]
    fields += [{"name": "time_ns", "type": "long"}, {"name": "sequence", "type": ["null", "long"]}]
    row = {"type": "record", "name": "Row", "fields": [*fields, {"name": "data", "type": schema}]}
    rows = (
        {
            **{name: getattr(event, name) for name in _ENVELOPE},
            "time_ns": event.time_ns,
            "sequence": event.sequence,
            "data": event.data,
        }
        for event in events
    )
    stream = io.BytesIO()
    fastavro.writer(
        stream, fastavro.parse_schema(json.loads(json.dumps(row))), rows, codec=codec, sync_interval=1 << 20
    )
    return len(stream.getbuffer())


def disk_table(columns: Sequence[ColumnSize], elsewhere: Mapping[str, float]) -> Table:
    """Both for a terminal."""
    table = Table(title="bytes per event in `events`", title_justify="left")
    for name in ("column", "type", "codec"):
        table.add_column(name)
    for name in ("raw", "on disk"):
        table.add_column(name, justify="right")
    for column in columns:
        table.add_row(column.name, column.type, column.codec, f"{column.raw:,.1f}", f"{column.stored:,.2f}")
    total = (sum(column.raw for column in columns), sum(column.stored for column in columns))
    table.add_section()
    table.add_row("all of events", "", "", f"{total[0]:,.1f}", f"{total[1]:,.2f}")
    for name, size in elsewhere.items():
        table.add_row(name, "", "", "", f"{size:,.2f}")
    return table
