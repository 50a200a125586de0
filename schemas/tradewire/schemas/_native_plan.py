"""What the encoder in C (``_native.c``) is told of a schema, and whether there is one.

It is made at installation where a C compiler is found and is never needed: it writes what is plainly right and leaves
all else, errors too, to the encoder in Python.
"""

from __future__ import annotations

from typing import Any, Final

from tradewire.schemas._defaults import default_bytes
from tradewire.schemas._shape import Shape
from tradewire.schemas._varints import varint

try:
    from tradewire.schemas import _native as _module
except ImportError:  # no compiler at installation
    _module = None  # type: ignore[assignment]

# What this source was written for; a build of an older one is not used.
_ABI: Final = 1
NATIVE: Final = _module if _module is not None and _module.ABI == _ABI else None
_LEAVES: Final = {"string": 0, "bytes": 1, "int": 2, "long": 3, "boolean": 4, "float": 5, "double": 6}
_FIXED, _ENUM, _DECIMAL, _OPTIONAL, _RECORD, _ARRAY, _MAP = range(7, 14)
# Digits of a decimal that fit the integers of C; 16 bytes hold them.
_DIGITS_MAX: Final = 38

Plan = tuple[Any, ...]


class _Unplanned(Exception):
    """Raised for a type that only Python encodes."""


def plan_of(shape: Shape) -> Plan | None:
    """The schema as tuples, or None where a part of it is left to Python: recursion, unions of many, logical types."""
    if shape.is_recursive:
        return None
    try:
        return _plan(shape)
    except _Unplanned:
        return None


def _plan(shape: Shape) -> Plan:
    kind = shape.kind
    if shape.logical == "decimal":
        if shape.precision > _DIGITS_MAX or shape.scale > shape.precision:
            raise _Unplanned
        return (_DECIMAL, shape.precision, shape.scale, int(shape.schema["size"]) if kind == "fixed" else -1)
    if shape.logical:
        raise _Unplanned
    if kind in _LEAVES:
        return (_LEAVES[kind],)
    if kind == "fixed":
        return (_FIXED, int(shape.schema["size"]))
    if kind == "enum":
        return (_ENUM, {symbol: varint(2 * index) for index, symbol in enumerate(shape.schema["symbols"])})
    if kind == "union" and shape.is_optional:
        null = 0 if shape.parts[0].kind == "null" else 1
        return (_OPTIONAL, 2 * null, 2 * (1 - null), _plan(shape.parts[1 - null]))
    if kind == "record":
        fields = zip(shape.fields, shape.parts, strict=True)
        return (_RECORD, tuple((str(field["name"]), _default(field, part), _plan(part)) for field, part in fields))
    if kind in ("array", "map"):
        return (_ARRAY if kind == "array" else _MAP, _plan(shape.parts[0]))
    raise _Unplanned


def _default(field: Any, part: Shape) -> bytes | None:
    if "default" not in field:
        return None
    try:
        return default_bytes(part, field["default"])
    except ValueError:
        return None  # left out, the field is refused, by Python
