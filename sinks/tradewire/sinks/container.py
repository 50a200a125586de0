"""Avro container blocks by concatenation: Kafka records become rows for ClickHouse without decoding one of them.

An Avro record is the concatenation of its fields, so a row is its envelope columns, then the bytes of the record as
they came, and ClickHouse parses the whole. Rows whose headers have the same names are built column by column, others
one by one. A record that does not keep the contract is set aside with its reason; what only parsing would show is found
by ClickHouse (``end_offset_bytes`` behind the record must be its offset again: a record that is longer or shorter than
its schema says cannot pass for good) and then by ``unreadable``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final, NamedTuple, TypeAlias

import fastavro

from tradewire.core.clock import NS_PER_MS
from tradewire.core.errors import MalformedRecord
from tradewire.schemas.codec import FRAME, MAGIC
from tradewire.schemas.headers import SCHEMA_KEY, Header, decode_headers, is_structured
from tradewire.schemas.schema_keys import SchemaKey, read_schema_key
from tradewire.sinks._avro import EMPTY, SECOND_BRANCH, encode_array, encode_bytes, encode_map
from tradewire.sinks._columnwise import ColumnwiseRows, NotUniform
from tradewire.sinks.header_columns import Columns
from tradewire.sinks.layout import plain_layout
from tradewire.sinks.records import RecordColumns
from tradewire.sinks.row_shape import RowShape, row_head

_NUMBERS: Final = struct.Struct("<qqq")
_LITTLE_ENDIAN: Final = struct.Struct("<q")
# Below this many rows a group that does not fit the fast path is not halved further but read row by row.
_HALVING_ROWS_MIN: Final = 8
# Rows built at once: the pieces of so many still lie in the processor's cache when they are joined.
_CHUNK_ROWS: Final = 1024


class Malformed(NamedTuple):
    """A record of a batch, by its place, that cannot become a row, and why."""

    at: int
    reason: str
    error: str


class Block(NamedTuple):
    """An Avro container file of ``rows`` rows, and the records that were set aside."""

    rows: int
    body: bytes
    malformed: Sequence[Malformed]


# A schema id in front of the value, or what a header says instead (``tradewire.schemas.schema_keys``).
WriterKey: TypeAlias = int | SchemaKey


def key_name(key: WriterKey) -> int | str:
    """How a key is named in intents and errors: by its id where it has one."""
    return key if isinstance(key, int) else key.schema_id if key.schema_id is not None else str(key.guid)


def group_name(key: WriterKey) -> int | str:
    """The records of one key in tokens: of one schema id there may be two inserts in a batch, of values with a frame
    and of values without."""
    return key if isinstance(key, int) else f"header-{key_name(key)}"


@dataclass(slots=True)
class Split:
    """A batch by the schema of its values; ``tombstones`` are the records without a value."""

    by_schema: dict[WriterKey, list[int]] = field(default_factory=dict)
    tombstones: list[int] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)


def split_by_schema(batch: RecordColumns) -> Split:
    """Reads the frame of every value; where a header names the schema, that header."""
    split = Split()
    named = _schema_headers(batch)
    schema_id = None if named else _only_schema(batch.values)
    if schema_id is not None:
        split.by_schema[schema_id] = list(range(len(batch)))
        return split
    by_prefix: dict[bytes, list[int]] = {}
    for index, value in enumerate(batch.values):
        if value is None:
            split.tombstones.append(index)
            continue
        if index in named:
            _split_named(split, index, named[index])
            continue
        try:
            by_prefix[value[:5]].append(index)
        except KeyError:
            by_prefix[value[:5]] = [index]
    for prefix, indexes in by_prefix.items():
        if len(prefix) == FRAME.size and prefix[0] == MAGIC:
            split.by_schema[FRAME.unpack(prefix)[1]] = indexes
        elif len(prefix) < FRAME.size:
            error = f"the value has {len(prefix)} bytes; a frame has at least {FRAME.size}"
            split.malformed += [_unframed(batch, index, error) for index in indexes]
        else:
            error = f"the value begins with 0x{prefix[0]:02x}, not 0x00: is it JSON or plain Avro?"
            split.malformed += [_unframed(batch, index, error) for index in indexes]
    return split


def _schema_headers(batch: RecordColumns) -> dict[int, bytes | None]:
    """The header that names the schema, by the place of its record; of several the last counts."""
    found: dict[int, bytes | None] = {}
    first = 0
    for rows, names, columns, mixed in batch.headers.runs():
        if names is None:
            for at, headers in enumerate(mixed, start=first):
                for name, value in headers:
                    if name == SCHEMA_KEY:
                        found[at] = value
        elif SCHEMA_KEY in names:
            column = columns[len(names) - 1 - names[::-1].index(SCHEMA_KEY)]
            found |= zip(range(first, first + rows), column, strict=True)
        first += rows
    return found


def _split_named(split: Split, index: int, header: bytes | None) -> None:
    """Confluent's header mode: the value is Avro with nothing before it, whatever it begins with."""
    try:
        key = read_schema_key(header or b"")
    except MalformedRecord as error:
        split.malformed.append(Malformed(index, "headers", str(error)))
        return
    split.by_schema.setdefault(key, []).append(index)


def _only_schema(values: Sequence[bytes | None]) -> int | None:
    """The schema id that all values are framed with, if there is one."""
    try:
        prefixes = [value[:5] for value in values]  # type: ignore[index]
    except TypeError:
        return None
    if not prefixes or len(prefixes[0]) < FRAME.size or prefixes[0][0] != MAGIC:
        return None
    return int(FRAME.unpack(prefixes[0])[1]) if prefixes.count(prefixes[0]) == len(prefixes) else None


def _unframed(batch: RecordColumns, index: int, error: str) -> Malformed:
    """A value without a frame, and what its headers say it is instead."""
    headers: Sequence[Header] = batch.headers[index] or ()
    if any(name == "content-type" and is_structured(value) for name, value in headers):
        error += " The header content-type says that it is a CloudEvent in structured mode: write binary mode"
    return Malformed(index, "frame", error)


def build_block(batch: RecordColumns, indexes: Sequence[int], shape: RowShape) -> Block:
    """One container file of the records at ``indexes``, all written with the schema of ``shape``.

    The same records give the same bytes, in this process and the next: a repeated insert is the same insert.
    """
    chunks: list[bytes] = []
    malformed: list[Malformed] = []
    for at in range(0, len(indexes), _CHUNK_ROWS):
        parts: list[bytes] = []
        _build_chunk(batch, indexes[at : at + _CHUNK_ROWS], shape, parts, malformed)
        chunks.append(b"".join(parts))
    rows = len(indexes) - len(malformed)
    return Block(rows, shape.container.wrap(rows, chunks) if rows else b"", malformed)


def _build_chunk(
    batch: RecordColumns, indexes: Sequence[int], shape: RowShape, parts: list[bytes], malformed: list[Malformed]
) -> None:
    uniform = batch.headers.columns(indexes)
    if uniform is not None:
        _build_group(batch, indexes, *uniform, shape, parts, malformed)
        return
    headers = batch.headers
    by_names: dict[tuple[str, ...], tuple[list[int], list[tuple[bytes | None, ...]]]] = {}
    for index in indexes:
        found = headers[index]
        names, values = zip(*found, strict=True) if found else ((), ())
        group = by_names.get(names)
        if group is None:
            group = by_names[names] = ([], [])
        group[0].append(index)
        group[1].append(values)
    for names, (group_indexes, group_values) in by_names.items():
        columns: Columns = list(map(list, zip(*group_values, strict=True)))
        _build_group(batch, group_indexes, names, columns, shape, parts, malformed)


def _build_group(
    batch: RecordColumns,
    indexes: Sequence[int],
    names: tuple[str, ...],
    columns: Columns,
    shape: RowShape,
    parts: list[bytes],
    malformed: list[Malformed],
) -> None:
    """Rows that share header names: all at once, or in halves until those at fault are alone."""
    fast = ColumnwiseRows.of(names)
    if fast is not None:
        try:
            parts += fast.build(batch, indexes, columns, shape)
        except (NotUniform, TypeError, ValueError, OverflowError, struct.error):
            if len(indexes) > _HALVING_ROWS_MIN:
                half = len(indexes) // 2
                first, second = [column[:half] for column in columns], [column[half:] for column in columns]
                _build_group(batch, indexes[:half], names, first, shape, parts, malformed)
                _build_group(batch, indexes[half:], names, second, shape, parts, malformed)
                return
        else:
            return
    for index in indexes:
        try:
            parts.append(_build_one(batch, index, shape))
        except MalformedRecord as error:
            malformed.append(Malformed(index, "headers", str(error)))


def _build_one(batch: RecordColumns, index: int, shape: RowShape) -> bytes:
    """One row, by the contract's own reading of its headers. Raises MalformedRecord."""
    offset, stamp_ms, key, value, headers = batch.record(index)
    envelope = decode_headers(headers, fallback_time_ns=stamp_ms * NS_PER_MS)
    if shape.type is not None and envelope.type != shape.type:
        raise MalformedRecord(f"header ce_type says {envelope.type}, the schema is of {shape.type}")
    layout, header_values = plain_layout(headers)
    try:
        numbers = _NUMBERS.pack(offset, stamp_ms, envelope.time_ns)
        sequence = EMPTY if envelope.sequence is None else SECOND_BRANCH + _LITTLE_ENDIAN.pack(envelope.sequence)
    except struct.error as error:
        raise MalformedRecord(f"ce_time or ce_sequence does not fit 64 bits: {error}") from error
    assert value is not None, "split_by_schema keeps tombstones apart"
    return b"".join(
        (
            row_head(batch, shape, layout, envelope.type.encode()),
            numbers,
            encode_bytes(envelope.id.encode()),
            encode_bytes(envelope.source.encode()),
            encode_bytes(envelope.subject.encode()),
            encode_bytes(envelope.correlation_id.encode()),
            encode_bytes((envelope.causation_id or "").encode()),
            sequence,
            encode_map(envelope.tags),
            encode_array(map(encode_bytes, header_values)),
            EMPTY if key is None else SECOND_BRANCH + encode_bytes(key),
            encode_bytes(value),
            value[shape.frame_bytes :],
            numbers[:8],
        )
    )


def unreadable(batch: RecordColumns, indexes: Sequence[int], shape: RowShape) -> list[Malformed]:
    """The records whose bytes do not fit their schema, found by decoding each: once ClickHouse has refused a block."""
    found: list[Malformed] = []
    for index in indexes:
        stream = BytesIO((batch.values[index] or b"")[shape.frame_bytes :])
        size = len(stream.getbuffer())
        try:
            fastavro.schemaless_reader(stream, shape.writer, None)
        except Exception as error:  # fastavro raises whatever its reading of bad bytes ran into
            found.append(Malformed(index, "avro", f"the bytes do not fit schema id {shape.schema_id}: {error!r}"))
            continue
        if stream.tell() != size:
            left = size - stream.tell()
            found.append(Malformed(index, "avro", f"{left} bytes follow the data of schema id {shape.schema_id}"))
    return found
