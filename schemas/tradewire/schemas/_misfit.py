"""What may be written for a type. fastavro's writer truncates a float into a long, takes any object for a boolean, lets
an infinity slip into a float and stumbles without a name over NaN; the contract refuses all of them by field.

``find_misfit`` is the readable form, run when compiled code has refused data, and before fastavro where a schema is not
compiled. The ``as_…`` functions are what compiled code calls for a value that is not of the one expected class.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Integral, Real
from reprlib import Repr
from typing import Any, Final

from fastavro.read import LOGICAL_READERS
from fastavro.write import LOGICAL_WRITERS

from tradewire.schemas._shape import Shape

# Levels of records, arrays and maps inside each other in recursive data; far below what Python's own stack can take.
NESTING_MAX: Final = 128
INTEGER_BITS: Final = {"int": 31, "long": 63}
_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80  # as keywords only from Python 3.12


class Misfit(Exception):
    """Raised when a value does not fit; its text says why, whoever knows the path puts it in front."""


def as_whole(value: Any) -> int:
    """An integer of another class, numpy's for instance; a boolean is none."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    raise Misfit(f"is {type(value).__name__}, not an integer")


def as_real(value: Any) -> float:
    """The float of an integer or of another class of floats; neither a Decimal nor a boolean is one."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise Misfit(f"is {type(value).__name__}, not a number for a float")
    try:
        return float(value)
    except OverflowError:
        raise Misfit("is too large for a float") from None


def as_text(value: Any) -> str:
    """The text of a subclass of str, an enum of strings for instance."""
    if isinstance(value, str):
        return str.__str__(value)
    raise Misfit(f"is {type(value).__name__}, not a string")


def as_decimal(value: Any) -> Decimal:
    """A subclass of Decimal as it is; a float or a string is no price."""
    if isinstance(value, Decimal):
        return value
    raise Misfit(f"is {type(value).__name__}, not a Decimal")


def as_octets(value: Any) -> bytes:
    """The bytes of bytes or a bytearray."""
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise Misfit(f"is {type(value).__name__}, not bytes")


def as_sequence(value: Any) -> Sequence[Any]:
    """Any sequence that is not text or bytes. A set has no order and is refused."""
    if isinstance(value, Sequence | array) and not isinstance(value, str | bytes | bytearray | memoryview):
        return value
    raise Misfit(f"is {type(value).__name__}, not a list")


def as_mapping(value: Any) -> dict[Any, Any]:
    """The entries of any mapping."""
    if isinstance(value, Mapping):
        return dict(value)
    raise Misfit(f"is {type(value).__name__}, not a mapping of fields")


class Symbols(dict[Any, bytes]):
    """The bytes of an enum's symbols; members of Python enums of strings find theirs too."""

    def __missing__(self, value: Any) -> bytes:
        found = self.get(str.__str__(value)) if isinstance(value, str) else None
        if found is None:
            raise Misfit(f"is not one of {', '.join(self)}")
        return found


def find_misfit(shape: Shape, value: Any) -> str | None:
    """What is wrong with ``value``, by its path; None when it fits."""
    try:
        _check(shape, value, "", 0)
    except _Found as found:
        return str(found)
    except RecursionError:
        return f"data is nested more than {NESTING_MAX} levels deep: is it a cycle?"
    return None


class _Found(Exception):
    """A misfit with its path."""


def _check(shape: Shape, value: Any, path: str, depth: int) -> None:
    try:
        if shape.logical == "foreign":
            value = to_base(shape, value)
        if shape.kind in ("record", "array", "map"):
            if depth > NESTING_MAX:
                raise _Found(f"field {path[:80]!r} …: nested more than {NESTING_MAX} levels deep: is it a cycle?")
            _check_parts(shape, value, path, depth)
        elif shape.kind == "union":
            _check_union(shape, value, path, depth)
        else:
            _check_leaf(shape, value)
    except Misfit as misfit:
        where = f"field {path!r} = {_short.repr(value)}" if path else "data"
        raise _Found(f"{where} {misfit}") from None


def _check_parts(shape: Shape, value: Any, path: str, depth: int) -> None:
    if shape.kind == "record":
        _check_record(shape, as_mapping(value), path, depth)
    elif shape.kind == "array":
        for number, item in enumerate(as_sequence(value)):
            _check(shape.parts[0], item, f"{path}[{number}]", depth + 1)
    else:
        for key, item in as_mapping(value).items():
            _check(_KEY, key, f"{path} key", depth)
            _check(shape.parts[0], item, f"{path}[{key!r}]", depth + 1)


_KEY: Final = Shape("string", {})


def to_base(shape: Shape, value: Any) -> Any:
    """What a date, time, timestamp or UUID is written as; refused when no reader could turn it back."""
    prepare = LOGICAL_WRITERS.get(shape.foreign_key)
    back = LOGICAL_READERS.get(shape.foreign_key)
    schema = dict(shape.schema)
    try:
        base = value if prepare is None else prepare(value, schema)
        if shape.kind not in ("record", "array", "map"):
            _check_leaf(shape, base)  # before anything is computed with it: a huge number would keep us busy
        if back is not None:
            back(base, schema, None)
    except Misfit:
        raise
    except Exception as error:  # the conversions raise whatever they run into
        raise Misfit(f"is not a {schema.get('logicalType')}: {error}") from None
    return base


def _check_record(shape: Shape, value: dict[Any, Any], path: str, depth: int) -> None:
    names = [field["name"] for field in shape.fields]
    unknown = sorted(repr(key) for key in value if key not in names)
    if unknown:
        where = f" of {path}" if path else ""
        raise _Found(f"field {unknown[0]}{where} is not in the schema; its fields are {', '.join(sorted(names))}")
    for field, part in zip(shape.fields, shape.parts, strict=True):
        name = field["name"]
        inner = f"{path}.{name}" if path else name
        if name in value:
            _check(part, value[name], inner, depth + 1)
        elif "default" not in field:
            raise _Found(f"field {inner!r} is missing and has no default")


def _check_union(shape: Shape, value: Any, path: str, depth: int) -> None:
    if value is None and any(part.kind == "null" for part in shape.parts):
        return
    if shape.is_optional:
        if isinstance(value, tuple):
            raise Misfit("is a tuple, which in a union would name a branch: use a list")
        _check(next(part for part in shape.parts if part.kind != "null"), value, path, depth)
    elif isinstance(value, tuple) and len(value) == 2:  # fastavro's notation for the branch to take
        return
    elif all(_fails(part, value, depth) for part in shape.parts):
        raise Misfit(f"fits none of {', '.join(part.name for part in shape.parts)}")


def _fails(shape: Shape, value: Any, depth: int) -> bool:
    try:
        _check(shape, value, "", depth)
    except _Found:
        return True
    return False


def _check_leaf(shape: Shape, value: Any) -> None:
    kind = shape.kind
    if shape.logical == "decimal":
        _check_decimal(shape, value)
    elif kind in INTEGER_BITS:
        bits = INTEGER_BITS[kind]
        if not -(1 << bits) <= as_whole(value) < 1 << bits:
            raise Misfit(f"does not fit {bits + 1} bits")
    elif kind in ("float", "double"):
        _check_float(kind, as_real(value))
    elif kind == "boolean":
        if type(value) is not bool:
            raise Misfit(f"is {type(value).__name__}, not a boolean")
    elif kind == "string":
        try:
            as_text(value).encode()
        except UnicodeEncodeError:
            raise Misfit("has half a surrogate pair, which UTF-8 cannot carry") from None
    elif kind == "bytes":
        as_octets(value)
    elif kind == "fixed":
        if len(as_octets(value)) != shape.schema["size"]:
            raise Misfit(f"has {len(value)} bytes, not {shape.schema['size']}")
    elif kind == "enum":
        if not isinstance(value, str) or str.__str__(value) not in shape.schema["symbols"]:
            raise Misfit(f"is not one of {', '.join(shape.schema['symbols'])}")
    elif value is not None:
        raise Misfit(f"is {type(value).__name__}, not null")


def _check_float(kind: str, value: float) -> None:
    if kind == "float":
        try:
            struct.pack("<f", value)
        except OverflowError:
            raise Misfit("is too large for a float of 32 bits") from None


def _check_decimal(shape: Shape, value: Any) -> None:
    value = as_decimal(value)
    precision, scale = shape.precision, shape.scale
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise Misfit("is not a finite number")
    if -exponent > scale:
        raise Misfit(f"has more than {scale} decimal places: round it where it is made")
    if value and value.adjusted() >= precision - scale:
        raise Misfit(f"has more than {precision - scale} digits before the point")
