"""The bytes of a field's default. JSON spells bytes as text of code points 0 to 255, which fastavro's writer does not
undo; everything else comes out as fastavro writes it.
"""

from __future__ import annotations

import struct
from typing import Any

from tradewire.schemas._misfit import INTEGER_BITS
from tradewire.schemas._shape import Shape
from tradewire.schemas._varints import varint, zigzag


def default_bytes(shape: Shape, value: Any, depth: int = 0) -> bytes:
    """The Avro binary of a default as the schema's JSON gives it.

    Raises:
        ValueError: the default is not one of the type.
    """
    kind = shape.kind
    if depth > 50:
        raise ValueError("the default contains itself")
    if kind in INTEGER_BITS and type(value) is int and -(1 << INTEGER_BITS[kind]) <= value < 1 << INTEGER_BITS[kind]:
        return varint(zigzag(value))
    if kind in ("float", "double") and not isinstance(value, bool | None | list | dict):
        return _float(kind, value)
    if kind in ("string", "bytes", "fixed", "enum") and isinstance(value, str):
        return _text(shape, value)
    if kind == "array" and isinstance(value, list):
        items = [default_bytes(shape.parts[0], item, depth + 1) for item in value]
        return _block(items)
    if kind == "map" and isinstance(value, dict):
        part = shape.parts[0]
        return _block([_text(_KEY, key) + default_bytes(part, item, depth + 1) for key, item in value.items()])
    if kind == "record" and isinstance(value, dict):
        return _record(shape, value, depth)
    if kind == "union":
        return _union(shape, value, depth)
    if kind == "boolean" and isinstance(value, bool):
        return b"\1" if value else b"\0"
    if kind == "null" and value is None:
        return b""
    raise ValueError(f"{value!r} is no default of type {shape.name}")


_KEY = Shape("string", {})


def _float(kind: str, value: Any) -> bytes:
    try:
        return struct.pack("<f" if kind == "float" else "<d", float(value))
    except (OverflowError, TypeError) as error:
        raise ValueError(f"{value!r} is no {kind}: {error}") from None


def _text(shape: Shape, value: str) -> bytes:
    if shape.kind == "enum":
        return varint(2 * shape.schema["symbols"].index(value))
    octets = value.encode("utf-8" if shape.kind == "string" else "latin-1")
    if shape.kind != "fixed":
        return varint(2 * len(octets)) + octets
    if len(octets) != shape.schema["size"]:
        raise ValueError(f"{value!r} has {len(octets)} bytes, not {shape.schema['size']}")
    return octets


def _block(items: list[bytes]) -> bytes:
    return b"".join((varint(2 * len(items)), *items, b"\0")) if items else b"\0"


def _record(shape: Shape, value: dict[str, Any], depth: int) -> bytes:
    parts = []
    for field, part in zip(shape.fields, shape.parts, strict=True):
        if field["name"] not in value and "default" not in field:
            raise ValueError(f"the default of {shape.name} has no {field['name']!r}")
        parts.append(default_bytes(part, value.get(field["name"], field.get("default")), depth + 1))
    return b"".join(parts)


def _union(shape: Shape, value: Any, depth: int) -> bytes:
    for number, part in enumerate(shape.parts):
        try:
            return varint(2 * number) + default_bytes(part, value, depth + 1)
        except ValueError:
            continue
    raise ValueError(f"{value!r} is no default of {', '.join(part.name for part in shape.parts)}")
