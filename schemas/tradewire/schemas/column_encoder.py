"""Encodes many events of one type that come as columns: field by field instead of event by event.

A column is turned into bytes in one go, so that checks, look-ups and calls are paid once per column and not once per
value; then the pieces of each row are joined. The bytes are those of the encoder for dicts.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Context, Decimal
from functools import lru_cache
from itertools import repeat
from struct import Struct
from typing import Any, Final

from tradewire.core.errors import EventInvalid
from tradewire.schemas._compiled_encoder import Uncompilable, _Writer, scaling
from tradewire.schemas._defaults import default_bytes
from tradewire.schemas._misfit import Misfit, Symbols, as_decimal, as_real, as_text, as_whole
from tradewire.schemas._shape import Shape, shape_of
from tradewire.schemas._source import function_of
from tradewire.schemas._varints import TABLE, WHOLE, varint

# The bytes of a column: one or more pieces per value, each list (or repetition) as long as the column.
Pieces = list[Iterable[bytes]]
_Write = Callable[[Sequence[Any]], Pieces]
_NONE: Final = type(None)
_WIDE: Final = Context(prec=80)


class Unscaled(list[Any]):
    """Decimals of one scale as integers (or None): 61837.63 at scale 2 is 6183763. What Arrow's decimals are."""

    def __init__(self, values: Iterable[int | None], scale: int) -> None:
        super().__init__(values)
        self.scale = scale

    def decimals(self) -> list[Decimal | None]:
        """The same numbers as decimals, none rounded."""
        return [None if n is None else Decimal(n).scaleb(-self.scale, _WIDE) for n in self]


class ColumnEncoder:
    """Encodes rows of one schema, given as parsed JSON. Thread-safe."""

    def __init__(self, schema: Any, title: str) -> None:
        shape = shape_of(schema)
        self.title = title
        self._writes: dict[str, _Write | None] = {}
        self._defaults: dict[str, bytes] = {}
        self._decimals: set[str] = set()
        for field, part in zip(shape.fields, shape.parts, strict=True):
            name = str(field["name"])
            self._writes[name] = _write_of(part, self.title)
            if any(leaf.logical == "decimal" for leaf in (part, *part.parts)):
                self._decimals.add(name)
            if "default" in field:
                with suppress(ValueError):  # left out, the field is refused, as by the encoder for dicts
                    self._defaults[name] = default_bytes(part, field["default"])

    def check_names(self, names: Iterable[str]) -> None:
        """Raises EventInvalid: a column is no field, or a field without a default has no column."""
        given = set(names)
        unknown = sorted(given - set(self._writes))
        missing = sorted(set(self._writes) - set(self._defaults) - given)
        if unknown:
            raise EventInvalid(f"{self.title}: column {unknown[0]!r} is no field of it", column=unknown[0])
        if missing:
            raise EventInvalid(f"{self.title}: there is no column {missing[0]!r}", column=missing[0])

    def encode(self, prefix: bytes, columns: Mapping[str, Sequence[Any]], count: int) -> list[bytes] | None:
        """The framed values of ``count`` rows; None if some value does not fit, or its type is one that only fastavro
        writes: then the caller asks the encoder for dicts, row by row, which knows row and field and what is wrong.

        The names must have passed ``check_names``; every column must have ``count`` values.
        """
        pieces: Pieces = [repeat(prefix, count)]
        try:
            for name, write in self._writes.items():
                column = columns.get(name)
                if column is None:
                    pieces.append(repeat(self._defaults[name]))
                elif write is None or (isinstance(column, Unscaled) and name not in self._decimals):
                    return None
                else:
                    pieces += write(column)
            return list(map(b"".join, zip(*pieces, strict=False)))
        except Exception:  # data that do not fit show as whatever the writing of them ran into
            return None


def _write_of(shape: Shape, title: str) -> _Write | None:
    if shape.is_optional:
        null, index = (0, 1) if shape.parts[0].kind == "null" else (1, 0)
        part = shape.parts[index]
        write = _write_of(part, title)
        return write and _optional(write, varint(2 * null), varint(2 * index), is_array=part.kind == "array")
    if not shape.logical:
        if shape.kind == "string":
            return _texts
        if shape.kind in ("int", "long"):
            return _integers(32 if shape.kind == "int" else 64)
        if shape.kind == "enum":
            of = Symbols(
                {symbol: varint(2 * index) for index, symbol in enumerate(shape.schema["symbols"])}
            ).__getitem__
            return lambda column: [list(map(of, column))]
        if shape.kind == "boolean":
            return _booleans
        if shape.kind in ("float", "double"):
            return _floats(Struct("<f" if shape.kind == "float" else "<d").pack)
    try:
        return _decimals(shape) if shape.logical == "decimal" and shape.kind == "bytes" else _compiled(shape, title)
    except Uncompilable:
        return None


def _compiled(shape: Shape, title: str) -> _Write:
    """Whatever else there is: one value after the other, by generated code."""
    source = _Writer(shape, title).source
    names = source.namespace | {"PREFIX": b"", "refuse": lambda _data, error: error}
    encode = function_of(source.compile(), names, "encode")
    return lambda column: [list(map(encode, column))]


def _optional(write: _Write, null: bytes, tag: bytes, *, is_array: bool) -> _Write:
    def pieces(column: Sequence[Any]) -> Pieces:
        kinds = set(map(type, column))
        if is_array and tuple in kinds:
            raise Misfit("is a tuple, which in a union would name a branch")
        if _NONE not in kinds:
            return [repeat(tag), *write(column)]
        dense = [value for value in column if value is not None]
        if isinstance(column, Unscaled):
            dense = Unscaled(dense, column.scale)
        found = map(b"".join, zip(repeat(tag, len(dense)), *write(dense), strict=False))
        return [[null if value is None else next(found) for value in column]]

    return pieces


def _by_value(values: Sequence[Any], bytes_of: Callable[[Any], bytes]) -> list[bytes] | None:
    """Each different value is written once, if that pays: prices and symbols come again and again."""
    distinct = set(values)
    if 2 * len(distinct) > len(values):
        return None
    table = {value: bytes_of(value) for value in distinct}
    return list(map(table.__getitem__, values))


def _texts(column: Sequence[Any]) -> Pieces:
    if set(map(type, column)) - {str}:
        column = list(map(as_text, column))
    known = _by_value(column, _text)
    if known is not None:
        return [known]
    octets = list(map(str.encode, column))
    return [[WHOLE[n + n] if n < TABLE // 2 else varint(n + n) for n in map(len, octets)], octets]


def _text(text: str) -> bytes:
    octets = text.encode()
    return varint(2 * len(octets)) + octets


def _integers(bits: int) -> _Write:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def pieces(column: Sequence[Any]) -> Pieces:
        if set(map(type, column)) - {int}:
            column = list(map(as_whole, column))
        least, most = min(column, default=0), max(column, default=0)
        if least < low or most > high:
            raise Misfit(f"does not fit {bits} bits")
        if least >= 0 and most < TABLE // 2:
            return [[WHOLE[x + x] for x in column]]
        if least >= 1 << 55 and most < 1 << 62:
            return [_nine_byte_varints(column)]
        return [[varint(x + x if x >= 0 else -x - x - 1) for x in column]]

    return pieces


@lru_cache(maxsize=8)
def _lanes(count: int) -> tuple[int, ...]:
    """Masks for ``count`` numbers side by side in lanes of 16 bytes."""
    groups = ((1 << 28) - 1, (1 << 28) - 1 << 28, 0x7F << 56)
    pairs = (0x3FFF | 0x3FFF << 32 | 0x7F << 64, (0x3FFF | 0x3FFF << 32) << 14)
    sevens = (0x007F_007F_007F_007F | 0x7F << 64, 0x007F_007F_007F_007F << 7)
    more = (0x8080_8080_8080_8080,)
    masks = (*groups, *pairs, *sevens, *more)
    return tuple(int.from_bytes(mask.to_bytes(16, "little") * count, "little") for mask in masks)


def _nine_byte_varints(column: Sequence[int]) -> list[bytes]:
    """The bytes of times: numbers whose doubles have 57 to 63 bits, nine groups of seven.

    All of them are spread at once as one large integer: first into 28 + 28 + 7 bits, then 14, then 7.
    """
    count = len(column)
    lanes = array("Q", bytes(16 * count))
    lanes[::2] = array("Q", column)
    if sys.byteorder == "big":
        lanes.byteswap()
    x = int.from_bytes(lanes.tobytes(), "little") << 1
    low, middle, top, even, odd, first, second, more = _lanes(count)
    x = x & low | (x & middle) << 4 | (x & top) << 8
    x = x & even | (x & odd) << 2
    x = x & first | (x & second) << 1 | more
    octets = x.to_bytes(16 * count, "little")
    return [octets[place : place + 9] for place in range(0, 16 * count, 16)]


def _booleans(column: Sequence[Any]) -> Pieces:
    if set(map(type, column)) - {bool}:
        raise Misfit("is no boolean")
    return [[b"\1" if value else b"\0" for value in column]]


def _floats(pack: Callable[[float], bytes]) -> _Write:
    def pieces(column: Sequence[Any]) -> Pieces:
        if set(map(type, column)) - {float}:
            column = list(map(as_real, column))
        return [list(map(pack, column))]

    return pieces


def _number(n: int) -> bytes:
    size = n.bit_length() + 8 >> 3
    return varint(2 * size) + n.to_bytes(size, "big", signed=True)


def _numbers(numbers: Sequence[int]) -> Pieces:
    sizes = [n.bit_length() + 8 >> 3 for n in numbers]
    heads = [WHOLE[size + size] for size in sizes]
    if min(numbers, default=0) >= 0:
        return [heads, [n.to_bytes(size) for n, size in zip(numbers, sizes, strict=True)]]
    return [heads, [n.to_bytes(size, "big", signed=True) for n, size in zip(numbers, sizes, strict=True)]]


def _decimals(shape: Shape) -> _Write:
    precision, scale = shape.precision, shape.scale
    times, exact, power = scaling(precision, scale)
    limit = 10**precision

    def whole(values: Sequence[Decimal]) -> list[int]:
        numbers = [int(exact(times(value, power))) for value in values]
        if 0 in numbers and any(not n and value.adjusted() < -scale for n, value in zip(numbers, values, strict=True)):
            raise Misfit(f"has more than {scale} decimal places")
        return numbers

    def of_text(text: str) -> bytes:
        return _number(whole([Decimal(text)])[0])

    def pieces(column: Sequence[Any]) -> Pieces:
        if isinstance(column, Unscaled):
            return unscaled(column)
        if set(map(type, column)) - {Decimal}:
            column = [Decimal(as_decimal(value)) for value in column]
        # A decimal's text is cheap and tells 0 from 0E-30, which its hash does not.
        known = _by_value(list(map(str, column)), of_text)
        return [known] if known is not None else _numbers(whole(column))

    def unscaled(column: Unscaled) -> Pieces:
        numbers: list[int] = column
        if column.scale < scale:
            factor = 10 ** (scale - column.scale)
            numbers = [n * factor for n in column]
        elif column.scale > scale:
            factor = 10 ** (column.scale - scale)
            if any(n % factor for n in column):
                raise Misfit(f"has more than {scale} decimal places")
            numbers = [n // factor for n in column]
        if max(numbers, default=0) >= limit or min(numbers, default=0) <= -limit:
            raise Misfit(f"has more than {precision} digits")
        return _numbers(numbers)

    return pieces
