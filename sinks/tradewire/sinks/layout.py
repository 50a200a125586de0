"""Raw headers without storing them twice: a layout says where the value of each header is kept.

Most headers of our records only repeat what a column of the row holds. The layout, a short text that is the same for
nearly every row, names all headers in order and says for each whether its value is a constant, a column, the next of
the row's ``header_values``, or null. Order, repeats and nulls survive: a replayed record is equal byte for byte.

Headers that every record has are one letter each (``LETTERS``); any other set of headers is written out as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from tradewire.core.errors import ReplayError
from tradewire.schemas.headers import SEQUENCE_DIGITS, Header, format_time_ns, second_text
from tradewire.sinks._native_loops import NATIVE

CONSTANT: Final = "constant"
COLUMN: Final = "column"
VALUE: Final = "value"
NULL: Final = "null"

# Headers whose value is a column as it stands.
TEXT_COLUMNS: Final[Mapping[str, str]] = {
    "ce_id": "id",
    "ce_type": "type",
    "ce_source": "source",
    "ce_subject": "subject",
    "ce_correlationid": "correlation_id",
    "ce_causationid": "causation_id",
}
# Headers whose value is a number in a column, written in one way only.
NUMBER_COLUMNS: Final[Mapping[str, tuple[str, Callable[[int], str]]]] = {
    "ce_time": ("time_ns", format_time_ns),
    "ce_sequence": ("sequence", lambda number: f"{number:0{SEQUENCE_DIGITS}d}"),
}
Entry = tuple[str, str] | tuple[str, str, str]
# Part of what is stored: a letter never changes its meaning.
LETTERS: Final[Mapping[Entry, str]] = {
    ("ce_specversion", CONSTANT, "1.0"): "v",
    ("ce_id", COLUMN): "i",
    ("ce_type", COLUMN): "y",
    ("ce_source", COLUMN): "s",
    ("ce_time", COLUMN): "t",
    ("ce_subject", COLUMN): "u",
    ("ce_correlationid", COLUMN): "r",
    ("ce_causationid", COLUMN): "a",
    ("ce_sequence", COLUMN): "q",
    ("ce_tags", VALUE): "g",
    ("content-type", CONSTANT, "application/avro"): "c",
    ("traceparent", VALUE): "p",
}
_ENTRY_OF: Final = {letter: entry for entry, letter in LETTERS.items()}


def layout_text(entries: Sequence[Entry]) -> str:
    """The layout as it is stored."""
    letters = [LETTERS.get(entry) for entry in entries]
    return json.dumps(entries, separators=(",", ":")) if None in letters else "".join(map(str, letters))


def plain_layout(headers: Sequence[Header]) -> tuple[str, list[bytes]]:
    """The layout that keeps every value in ``header_values``; right for any headers."""
    entries = [(name, NULL if value is None else VALUE) for name, value in headers]
    return layout_text(entries), [value for _, value in headers if value is not None]


@lru_cache(maxsize=4096)
def _entries(text: str) -> tuple[tuple[str, ...], ...]:
    if text.startswith("["):
        return tuple(tuple(entry) for entry in json.loads(text))
    return tuple(_ENTRY_OF[letter] for letter in text)


def layout_entries(text: str) -> Sequence[Sequence[str]]:
    """What a layout says of each header, in order: its name, its kind, and of a constant its value."""
    return _entries(text)


def restore_headers(text: str, header_values: Sequence[bytes], columns: Mapping[str, bytes | int]) -> list[Header]:
    """``restore_columns`` of one row. Raises ReplayError."""
    return restore_columns(text, [header_values], {name: [value] for name, value in columns.items()})[0]


def restore_columns(
    text: str, header_values: Sequence[Sequence[bytes]], columns: Mapping[str, Sequence[Any]]
) -> list[list[Header]]:
    """The headers of rows that share a layout, as they were in Kafka.

    ``columns`` holds a value per row: bytes in text columns, integers in number columns.

    Raises:
        ReplayError: a row contradicts its layout: it was not written by the sink, or has been altered.
    """
    names, restored = restore_by_name(text, header_values, columns)
    by_row = zip(
        *([(name, value) for value in column] for name, column in zip(names, restored, strict=True)), strict=True
    )
    return list(map(list, by_row)) if names else [[] for _ in header_values]


def restore_by_name(
    text: str, header_values: Sequence[Sequence[bytes]], columns: Mapping[str, Sequence[Any]]
) -> tuple[tuple[str, ...], list[list[bytes | None]]]:
    """``restore_columns`` as the names of the headers in order and a column of values for each. Raises ReplayError."""
    rows, kept = len(header_values), 0
    names: list[str] = []
    restored: list[list[bytes | None]] = []
    try:
        for name, kind, *constant in _entries(text):
            names.append(name)
            if kind == COLUMN and name in TEXT_COLUMNS:
                restored.append(list(columns[TEXT_COLUMNS[name]]))
            elif kind == COLUMN:
                column, write = NUMBER_COLUMNS[name]
                restored.append(_written(columns[column], write))
            elif kind == VALUE:
                restored.append([values[kept] for values in header_values])
                kept += 1
            else:
                restored.append([constant[0].encode() if kind == CONSTANT else None] * rows)
    except (LookupError, TypeError, ValueError) as error:
        raise ReplayError(f"header layout {text!r} does not fit its rows: {error!r}; were they altered?") from error
    if set(map(len, header_values)) - {kept}:
        raise ReplayError(f"header layout {text!r} leaves header values over; were the rows altered?")
    return tuple(names), restored


def _written(numbers: Sequence[int], write: Callable[[int], str]) -> list[bytes | None]:
    written: Sequence[bytes] | None = None
    if NATIVE is not None and write is format_time_ns:
        written = NATIVE.format_times(list(numbers), second_text)
    return list(written if written is not None else [write(number).encode() for number in numbers])
