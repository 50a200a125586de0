"""Byte equality of records, wherever they lie: a digest over their canonical bytes, a file format that keeps them."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, TypeAlias

from tradewire.core.errors import ReplayError
from tradewire.schemas.headers import Header
from tradewire.sinks._lines import Lines
from tradewire.sinks._native_loops import NATIVE
from tradewire.sinks.records import Record, RecordColumns

REPLAY_HEADER: Final = "tradewire_replay_id"
_LENGTH: Final = struct.Struct(">q")
# What these rows are joined to still lies in the processor's cache when it is hashed.
_ROWS_AT_ONCE: Final = 512

Column: TypeAlias = Sequence[bytes | None]


class Digest(NamedTuple):
    """Two sequences of records with equal digests have the same keys, values and headers in the same order.

    Offsets and timestamps are not part of it: another topic gives its own. ``bytes`` counts keys, values and headers.
    """

    records: int
    bytes: int
    sha256: str


class _Sizes(dict[int, bytes]):
    def __missing__(self, size: int) -> bytes:
        packed = _LENGTH.pack(size)
        if size < 4096:
            self[size] = packed
        return packed


_sizes: Final = _Sizes()
_NULL: Final = _LENGTH.pack(-1)


@lru_cache(maxsize=4096)
def _sized_name(name: str) -> bytes:
    encoded = name.encode()
    return _sizes[len(encoded)] + encoded


def canonical(key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> bytes:
    """A record as bytes, such that two are equal exactly when key, value and headers are; null differs from empty.

    Key, value and each header's value: eight bytes of length, big-endian, -1 for null, then the bytes; header names
    likewise; before the headers their number.
    """
    parts = [_NULL] if key is None else [_sizes[len(key)], key]
    parts += (_NULL,) if value is None else (_sizes[len(value)], value)
    parts.append(_sizes[len(headers)])
    for name, content in headers:
        parts += (_sized_name(name), _NULL) if content is None else (_sized_name(name), _sizes[len(content)], content)
    return b"".join(parts)


class Digester:
    """Makes a digest as records come; ``records`` is how many have."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.records = 0
        self._bytes = 0

    def add(self, record: Record) -> None:
        written = canonical(record.key, record.value, record.headers)
        self._hash.update(written)
        self.records += 1
        # Without the lengths: key, value, number of headers, and two for each header.
        self._bytes += len(written) - _LENGTH.size * (3 + 2 * len(record.headers))

    def add_columns(self, records: RecordColumns) -> None:
        """Adds consecutive records, as ``add`` would one by one."""
        at = 0
        for rows, names, columns, mixed in records.headers.runs():
            keys, values = records.keys[at : at + rows], records.values[at : at + rows]
            at += rows
            if names is None:
                for key, value, headers in zip(keys, values, mixed, strict=True):
                    self.add(Record(0, 0, key, value, headers))
                continue
            for first in range(0, rows, _ROWS_AT_ONCE):
                wanted = slice(first, first + _ROWS_AT_ONCE)
                self._add_uniform(keys[wanted], values[wanted], names, [column[wanted] for column in columns])

    def _add_uniform(self, keys: Column, values: Column, names: Sequence[str], columns: Sequence[Column]) -> None:
        rows = len(keys)
        written = None
        if NATIVE is not None:
            written = NATIVE.canonical_rows(
                list(keys), list(values), tuple(map(_sized_name, names)), list(map(list, columns))
            )
        if written is None:
            written = self._uniform_lines(keys, values, names, columns)
        self._hash.update(written)
        self.records += rows
        self._bytes += len(written) - rows * _LENGTH.size * (3 + 2 * len(names))

    @staticmethod
    def _uniform_lines(keys: Column, values: Column, names: Sequence[str], columns: Sequence[Column]) -> bytes:
        lines = Lines(len(keys), _sizes.__getitem__, _NULL)
        lines.sized(keys)
        lines.sized(values)
        lines.constant(_sizes[len(names)])
        for name, column in zip(names, columns, strict=True):
            lines.constant(_sized_name(name))
            lines.sized(column)
        return b"".join(lines.pieces())

    def digest(self) -> Digest:
        return Digest(self.records, self._bytes, self._hash.hexdigest())


def digest_of(records: Iterable[Record]) -> Digest:
    """The digest of records in their order."""
    digester = Digester()
    for record in records:
        digester.add(record)
    return digester.digest()


def without_replay_id(record: Record) -> Record:
    """The record as it was before a replay marked it."""
    return record._replace(headers=[header for header in record.headers if header[0] != REPLAY_HEADER])


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


def to_line(topic: str, partition: int, record: Record) -> str:
    """One JSON object without a line end; key, value and header values in base64, null where they are null."""
    return json.dumps(
        {
            "topic": topic,
            "partition": partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": _text(record.key),
            "value": _text(record.value),
            "headers": [[name, _text(value)] for name, value in record.headers],
        },
        separators=(",", ":"),
    )


def from_line(line: str) -> tuple[str, int, Record]:
    """Topic, partition and record of a line. Raises ValueError for a line that ``to_line`` did not write."""
    fields: Any = json.loads(line)
    try:
        headers = [(name, _bytes(value)) for name, value in fields["headers"]]
        key, value = _bytes(fields["key"]), _bytes(fields["value"])
        record = Record(int(fields["offset"]), int(fields["timestamp_ms"]), key, value, headers)
        return str(fields["topic"]), int(fields["partition"]), record
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a replayed record: {error!r}") from error


def write_lines(stream: IO[str], topic: str, partition: int, records: Iterable[Record]) -> Iterator[Record]:
    """Writes each record as a line when it is asked for, and passes it on."""
    for record in records:
        stream.write(to_line(topic, partition, record) + "\n")
        yield record


def read_file(file: Path) -> Iterator[tuple[str, int, Record]]:
    """Topic, partition and record of each line of a replay's file, in order.

    Raises:
        ReplayError: a line is damaged; names file and line. The lines before it have been given.
    """
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield from_line(line)
            except ValueError as error:
                raise ReplayError(f"{file}:{number}: {error}", file=str(file), line=number) from error
