"""Rows whose headers have the same names, built column by column: the hot loop of the sink.

Per row only slices and list entries are made; the loops run inside ``map``, ``zip`` and ``join``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Final

from tradewire.schemas.codec import FRAME
from tradewire.schemas.headers import (
    CONTENT_TYPE,
    SCHEMA_KEY,
    SEQUENCE_DIGITS,
    SPEC_VERSION,
    is_structured,
    parse_tags,
    parse_time_ns,
)
from tradewire.sinks._avro import EMPTY, SECOND_BRANCH, encode_bytes, encode_map, length_of
from tradewire.sinks._lines import Lines
from tradewire.sinks._native_loops import NATIVE
from tradewire.sinks.header_columns import Columns
from tradewire.sinks.layout import COLUMN, CONSTANT, TEXT_COLUMNS, VALUE, Entry, layout_text
from tradewire.sinks.records import RecordColumns
from tradewire.sinks.row_shape import RowShape, row_head

_SECOND_LENGTH: Final = 20
_SECOND: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.")
_CONSTANTS: Final = dict((SPEC_VERSION, CONTENT_TYPE))
_TEXTS: Final = ("ce_id", "ce_source", "ce_subject", "ce_correlationid")
_REQUIRED: Final = frozenset((*_TEXTS, "ce_type", "ce_time"))


class NotUniform(Exception):
    """The rows of a group differ in something that the fast path takes as equal, or one of them is at fault."""


class _Seconds(dict[bytes, int]):
    """Nanoseconds of ``2024-08-08T12:00:00.``, remembered: a batch holds few different seconds."""

    def __missing__(self, text: bytes) -> int:
        if not _SECOND.fullmatch(text):
            raise ValueError(f"{text!r} is not the beginning of a time")
        if len(self) >= 100_000:
            self.clear()
        known = self[text] = parse_time_ns(f"{text.decode()}000000000Z")
        return known


class _Tags(dict[bytes, bytes]):
    """The Avro map of a ``ce_tags`` header, remembered: tags repeat."""

    def __missing__(self, text: bytes | None) -> bytes:
        if text is None:
            raise NotUniform
        tags = parse_tags(text.decode())
        if len(self) >= 10_000:
            self.clear()
        known = self[text] = encode_map(tags)
        return known


_seconds: Final = _Seconds()
_tags: Final = _Tags()


def _text(values: list[bytes], *, may_be_empty: bool = False) -> list[bytes]:
    """The values, if all are UTF-8. Raises NotUniform, UnicodeDecodeError, TypeError."""
    if not may_be_empty and not all(values):
        raise NotUniform
    if not b"".join(values).isascii():
        b"\n".join(values).decode()  # raises for what is not UTF-8; the separator keeps halves of a character apart
    return values


def _times(values: Sequence[bytes]) -> list[int]:
    fractions = [value[_SECOND_LENGTH:29] for value in values]
    joined = b"".join(fractions)
    if (
        len(joined) != 9 * len(values)
        or not joined.isdigit()
        or [value[29:] for value in values].count(b"Z") != len(values)
    ):
        raise NotUniform
    seconds = _seconds.__getitem__
    return [seconds(value[:_SECOND_LENGTH]) + int(fraction) for value, fraction in zip(values, fractions, strict=True)]


def _sequences(values: Sequence[bytes]) -> list[bytes]:
    joined = b"".join(values)
    if not joined.isdigit() or set(map(len, values)) != {SEQUENCE_DIGITS}:
        raise NotUniform
    packed = struct.pack(f"<{len(values)}q", *map(int, values))
    return [packed[at : at + 8] for at in range(0, len(packed), 8)]


class ColumnwiseRows:
    """Builds rows whose headers have these names, in this order."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._at = {name: at for at, name in enumerate(names)}
        self._names = names

    @staticmethod
    @lru_cache(maxsize=1024)
    def of(names: tuple[str, ...]) -> ColumnwiseRows | None:
        """None where a name is repeated, an attribute missing or the schema in a header: rows to read one by one."""
        unique = frozenset(names)
        uniform = len(unique) == len(names) and unique >= _REQUIRED and SCHEMA_KEY not in unique
        return ColumnwiseRows(names) if uniform else None

    def _entries(self, columns: Sequence[list[bytes]]) -> tuple[str, list[list[bytes]]]:
        entries: list[Entry] = []
        kept: list[list[bytes]] = []
        for name, column in zip(self._names, columns, strict=True):
            if name in TEXT_COLUMNS or name in ("ce_time", "ce_sequence"):
                entries.append((name, COLUMN))
            elif name in _CONSTANTS and column.count(_CONSTANTS[name]) == len(column):
                entries.append((name, CONSTANT, column[0].decode()))
            else:
                entries.append((name, VALUE))
                kept.append(column)
        return layout_text(entries), kept

    def build(self, batch: RecordColumns, indexes: Sequence[int], headers: Columns, shape: RowShape) -> list[bytes]:
        """The bytes of all rows, in pieces; ``headers`` has a column for each name.

        Raises:
            NotUniform, TypeError, ValueError, struct.error: some row does not fit; nothing is said of which.
        """
        columns: list[list[bytes]] = headers  # type: ignore[assignment]
        column = {name: columns[at] for name, at in self._at.items()}
        types = column["ce_type"]
        type = types[0]
        if types.count(type) != len(types) or (shape.type is not None and type != shape.type.encode()):
            raise NotUniform
        if set(column.get("ce_specversion", ())) - {SPEC_VERSION[1]} or any(
            map(is_structured, set(column.get("content-type", ())))
        ):
            raise NotUniform
        layout, kept = self._entries(columns)
        head = row_head(batch, shape, layout, type)
        offsets, stamps, keys, found = _at(batch, indexes)
        tags = list(map(_tags.__getitem__, column["ce_tags"])) if "ce_tags" in column else None
        if NATIVE is not None:
            written = NATIVE.write_rows(
                head,
                list(offsets),
                list(stamps),
                column["ce_time"],
                _seconds.__getitem__,
                tuple(column[name] for name in _TEXTS),
                column.get("ce_causationid"),
                column.get("ce_sequence"),
                tags,
                tuple(kept),
                list(keys),
                list(found),
                FRAME.size,
            )
            if written is not None:
                return [written]
        packed = struct.pack(
            f"<{3 * len(indexes)}q", *chain.from_iterable(zip(offsets, stamps, _times(column["ce_time"]), strict=True))
        )
        values: list[bytes] = found  # type: ignore[assignment]
        return _pieces(head, packed, column, tags, kept, keys, values)


def _pieces(
    head: bytes,
    packed: bytes,
    column: Mapping[str, list[bytes]],
    tags: list[bytes] | None,
    kept: Sequence[list[bytes]],
    keys: Sequence[bytes | None],
    values: Sequence[bytes],
) -> list[bytes]:
    """The rows in pieces; ``packed`` has offset, broker time and time of each."""
    line = Lines(len(values), length_of)
    line.constant(head)
    line.column([packed[at : at + 24] for at in range(0, len(packed), 24)])
    for name in _TEXTS:
        line.sized(_text(column[name]))
    if "ce_causationid" in column:
        line.sized(_text(column["ce_causationid"], may_be_empty=True))
    else:
        line.constant(EMPTY)
    if "ce_sequence" in column:
        line.constant(SECOND_BRANCH)
        line.column(_sequences(column["ce_sequence"]))
    else:
        line.constant(EMPTY)
    if tags is None:
        line.constant(EMPTY)
    else:
        line.column(tags)
    if kept:
        line.constant(length_of(len(kept)))
        for header in kept:
            line.sized(header)
    line.constant(EMPTY)
    if None in keys:
        line.column([EMPTY if key is None else SECOND_BRANCH + encode_bytes(key) for key in keys])
    else:
        line.constant(SECOND_BRANCH)
        line.sized(keys)
    line.sized(values)
    line.column([value[FRAME.size :] for value in values])
    line.column([packed[at : at + 8] for at in range(0, len(packed), 24)])
    return line.pieces()


def _at(
    batch: RecordColumns, indexes: Sequence[int]
) -> tuple[Sequence[int], Sequence[int], Sequence[bytes | None], Sequence[bytes | None]]:
    """Offsets, broker times, keys and values of the rows at ascending indexes."""
    first, end = indexes[0], indexes[-1] + 1
    wanted = slice(first, end)
    if end - first == len(indexes):
        return batch.offsets[wanted], batch.timestamps_ms[wanted], batch.keys[wanted], batch.values[wanted]
    pick = itemgetter(*indexes)
    return pick(batch.offsets), pick(batch.timestamps_ms), pick(batch.keys), pick(batch.values)
