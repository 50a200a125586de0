"""One hash of a record, computed alike from Kafka in Python and from the stored columns in ClickHouse.

The hash is xxHash64 (seed 0) over position, broker time and the canonical bytes of key, value and headers
(``tradewire.sinks.digest``). ClickHouse puts the headers together again from a row's layout and columns: a column that
was altered, and would be replayed altered, alters the hash.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import xxhash

from tradewire.schemas.headers import SEQUENCE_DIGITS, Header
from tradewire.sinks.columns import literal
from tradewire.sinks.digest import canonical
from tradewire.sinks.layout import COLUMN, CONSTANT, LETTERS, NULL, TEXT_COLUMNS, VALUE, layout_entries

_POSITION: Final = struct.Struct(">qq")
_NULL_SIZE: Final = "unhex('FFFFFFFFFFFFFFFF')"
# The columns that a row's hash is made of; ``dead_letters`` has no envelope columns, its layouts name none.
TEXT_NAMES: Final = ("id", "type", "source", "subject", "correlation_id", "causation_id")
_TIME: Final = "concat(replaceOne(toString(fromUnixTimestamp64Nano(time_ns, 'UTC')), ' ', 'T'), 'Z')"
_SEQUENCE: Final = f"leftPad(toString(assumeNotNull(sequence)), {SEQUENCE_DIGITS}, '0')"
_COLUMN_SQL: Final = {
    **{name: f"assumeNotNull({column})" for name, column in TEXT_COLUMNS.items()},
    "ce_time": _TIME,
    "ce_sequence": _SEQUENCE,
}


def record_hash(
    offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Sequence[Header]
) -> int:
    """64 bits; two records of one partition have the same exactly when they are the same record, but for chance."""
    return xxhash.xxh64_intdigest(_POSITION.pack(offset, timestamp_ms) + canonical(key, value, headers))


def row_hash_sql(layouts: Sequence[str]) -> str:
    """The same hash as an expression over the stored columns.

    Rows of the named layouts are put together by a plain concatenation; any other layout is read in SQL, which is
    slower, so that a hostile variety of headers costs time and never a wrong answer.
    """
    branches = "".join(f"header_layout = {literal(layout)}, {_headers_of(layout)}, " for layout in layouts)
    headers = f"multiIf({branches}{_headers_generic()})" if branches else _headers_generic()
    position = f"{_number('offset')}, {_number('recorded_ms')}"
    return f"xxHash64(concat({position}, {_nullable('key')}, {_nullable('value')}, {headers}))"


def _number(expression: str) -> str:
    """Eight bytes, big-endian."""
    return f"reinterpretAsFixedString(byteSwap(toInt64({expression})))"


def _sized(expression: str) -> str:
    return f"{_number(f'length({expression})')}, {expression}"


def _nullable(column: str) -> str:
    return f"if(isNull({column}), {_NULL_SIZE}, concat({_sized(f'assumeNotNull({column})')}))"


def _bytes(raw: bytes) -> str:
    return f"unhex('{raw.hex()}')"


def _sized_bytes(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">q", len(raw)) + raw


def _headers_of(layout: str) -> str:
    """The canonical bytes of the headers of rows with one layout: constants between columns."""
    entries = layout_entries(layout)
    constant = struct.pack(">q", len(entries))
    parts: list[str] = []
    kept = 0
    for name, kind, *value in entries:
        constant += _sized_bytes(name)
        if kind == CONSTANT:
            constant += _sized_bytes(value[0])
        elif kind == NULL:
            constant += struct.pack(">q", -1)
        else:
            kept += kind == VALUE
            parts += [_bytes(constant), _sized(f"header_values[{kept}]" if kind == VALUE else _COLUMN_SQL[name])]
            constant = b""
    if constant:
        parts.append(_bytes(constant))
    parts.append(f"if(length(header_values) = {kept}, '', 'values left over')")
    return f"concat({', '.join(parts)})"


def _headers_generic() -> str:
    """The same for a layout that is only known when the row is read."""
    of_letter = ", ".join(f"{literal(letter)}, [{', '.join(map(literal, entry))}]" for entry, letter in LETTERS.items())
    text = "CAST(header_layout, 'String')"
    entries = (
        f"if(startsWith({text}, '['), JSONExtract({text}, 'Array(Array(String))'), "
        f"arrayMap(letter -> map({of_letter})[letter], extractAll({text}, '.')))"
    )
    kept = f"arrayCumSum(arrayMap(entry -> entry[2] = {literal(VALUE)}, {entries}))"
    columns = ", ".join(f"entry[1] = {literal(name)}, {sql}" for name, sql in _COLUMN_SQL.items())
    content = (
        f"multiIf(entry[2] = {literal(VALUE)}, header_values[at], entry[2] = {literal(CONSTANT)}, entry[3], "
        f"entry[2] = {literal(COLUMN)}, multiIf({columns}, ''), '')"
    )
    one = f"concat({_sized('entry[1]')}, if(entry[2] = {literal(NULL)}, {_NULL_SIZE}, concat({_sized(content)})))"
    joined = f"arrayStringConcat(arrayMap((entry, at) -> {one}, {entries}, {kept}))"
    used = f"arrayCount(entry -> entry[2] = {literal(VALUE)}, {entries})"
    left = f"if({used} = length(header_values), '', 'values left over')"
    return f"concat({_number(f'length({entries})')}, {joined}, {left})"
