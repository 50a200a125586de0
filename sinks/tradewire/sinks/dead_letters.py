"""Rows of ``dead_letters``: records that keep no contract, and those that workers have given up on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tradewire.core.errors import MalformedRecord
from tradewire.schemas.codec import FRAME, MAGIC
from tradewire.schemas.headers import SCHEMA_KEY, Header
from tradewire.schemas.schema_keys import read_schema_key
from tradewire.sinks._avro import EMPTY, SECOND_BRANCH, Container, encode_array, encode_bytes, encode_long
from tradewire.sinks.container import Malformed
from tradewire.sinks.layout import plain_layout
from tradewire.sinks.records import RecordColumns

TABLE: Final = "dead_letters"
PARKED: Final = "parked by a worker"
# Where and why a worker gave up, in the headers of its dead letter (KIP-1191).
_ORIGIN: Final = "__dlq.errors."


def _container(fields: Mapping[str, Any]) -> Container:
    named = [{"name": name, "type": type} for name, type in fields.items()]
    return Container({"type": "record", "name": "TradewireSinkRow", "fields": named})


_POSITION: Final[dict[str, Any]] = {
    "topic": "string",
    "partition": "int",
    "offset": "long",
    "recorded_at": {"type": "long", "logicalType": "timestamp-millis"},
}
_DEAD_FIELDS: Final[dict[str, Any]] = {
    **_POSITION,
    "reason": "string",
    "error": "string",
    "schema_id": "long",
    "origin_topic": "string",
    "origin_partition": "int",
    "origin_offset": "long",
    "origin_group": "string",
    "key": ["null", "bytes"],
    "value": ["null", "bytes"],
    "header_layout": "string",
    "header_values": {"type": "array", "items": "bytes"},
}
_DELETED_FIELDS: Final[dict[str, Any]] = {**_POSITION, "key": "bytes", "is_deleted": "int"}
_DEAD: Final = _container(_DEAD_FIELDS)
_DELETED: Final = _container(_DELETED_FIELDS)
DEAD_COLUMNS: Final = tuple(_DEAD_FIELDS)
DELETED_COLUMNS: Final = tuple(_DELETED_FIELDS)


def _position(batch: RecordColumns, index: int) -> bytes:
    return b"".join(
        (
            encode_bytes(batch.topic.encode()),
            encode_long(batch.partition),
            encode_long(batch.offsets[index]),
            encode_long(batch.timestamps_ms[index]),
        )
    )


def _optional(value: bytes | None) -> bytes:
    return EMPTY if value is None else SECOND_BRANCH + encode_bytes(value)


def _number(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        return -1
    return number if -(2**31) <= number < 2**31 else -1


def _long(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        return -1
    return number if -(2**63) <= number < 2**63 else -1


def _origin(headers: Sequence[Header]) -> dict[str, str]:
    return {
        name.removeprefix(_ORIGIN): (value or b"").decode(errors="replace")
        for name, value in headers
        if name.startswith(_ORIGIN)
    }


def _schema_id(value: bytes | None, headers: Sequence[Header]) -> int:
    """The id that the record says it was written with; 0 where it says none, or a GUID."""
    named = [content for name, content in headers if name == SCHEMA_KEY]
    if named:
        try:
            return read_schema_key(named[-1] or b"").schema_id or 0
        except MalformedRecord:
            return 0
    framed = value is not None and len(value) >= FRAME.size and value[0] == MAGIC
    return FRAME.unpack_from(value)[1] if framed and value is not None else 0


def build_dead(batch: RecordColumns, malformed: Iterable[Malformed]) -> tuple[int, bytes]:
    """A container file of dead letters, and its number of rows. Bytes and headers are kept as they were."""
    rows: list[bytes] = []
    for index, reason, error in malformed:
        record = batch.record(index)
        value = record.value
        origin = _origin(record.headers)
        layout, header_values = plain_layout(record.headers)
        rows.append(
            b"".join(
                (
                    _position(batch, index),
                    encode_bytes(reason.encode()),
                    encode_bytes((error or origin.get("message", "")).encode(errors="replace")),
                    encode_long(_schema_id(value, record.headers)),
                    encode_bytes(origin.get("topic", "").encode()),
                    encode_long(_number(origin.get("partition", "-1"))),
                    encode_long(_long(origin.get("offset", "-1"))),
                    encode_bytes(origin.get("group", "").encode()),
                    _optional(record.key),
                    _optional(value),
                    encode_bytes(layout.encode(errors="replace")),
                    encode_array(map(encode_bytes, header_values)),
                )
            )
        )
    return len(rows), _DEAD.wrap(len(rows), rows)


def build_deleted(batch: RecordColumns, indexes: Sequence[int]) -> bytes:
    """A container file that says of the keys at ``indexes`` that their read model is gone."""
    rows = [_position(batch, index) + encode_bytes(batch.keys[index] or b"") + encode_long(1) for index in indexes]
    return _DELETED.wrap(len(rows), rows)
