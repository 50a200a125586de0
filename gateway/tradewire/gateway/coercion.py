"""JSON values as Avro data, by the schema. Pure; every misfit is named by a JSON pointer, all of them at once.

What JSON cannot say is taken in one way each:

- a decimal is a string (``"61837.63"``) or an integer. A JSON number with a fraction or an exponent is refused,
  although its text could be read exactly: whoever wrote it most likely had a binary float, and the error is in the
  digits already;
- a ``long`` is an integer, or a string of digits for clients whose numbers end at 2^53; a ``*_ns`` field also takes an
  RFC 3339 time with an offset and up to nine fraction digits;
- bytes are base64; an enum is the name of its symbol.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from tradewire.gateway.problems import FieldError
from tradewire.schemas import parse_time_ns

ERRORS_MAX: Final = 20
_DECIMAL = re.compile(r"-?[0-9]{1,60}(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,3})?\Z")
_INTEGER = re.compile(r"-?[0-9]{1,20}\Z")
# A converter returns the Avro value; after an error it notes, what it returns is not used.
Converter = Callable[[Any, str, list[FieldError]], Any]


def pointer(base: str, name: str | int) -> str:
    """One step further in a JSON pointer (RFC 6901)."""
    return f"{base}/{str(name).replace('~', '~0').replace('/', '~1')}"


def record(fields: Mapping[str, Converter], required: Sequence[str]) -> Converter:
    """An object with these fields and no other; those not required may be left out."""

    def convert(value: Any, at: str, errors: list[FieldError]) -> Any:
        if not isinstance(value, dict):
            return _wrong(value, "an object", at, errors)
        for name in value:
            if name not in fields:
                _unknown(name, fields, at, errors)
        errors += [FieldError(pointer(at, name), "is missing") for name in required if name not in value]
        return {
            name: fields[name](item, pointer(at, name), errors)
            for name, item in value.items()
            if name in fields and len(errors) < ERRORS_MAX
        }

    return convert


class Coercer:
    """Turns the JSON data of one schema into Avro data. Built once per schema; thread-safe."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._convert = _Builder().converter(schema, "")

    def __call__(self, data: Any, at: str, errors: list[FieldError]) -> Any:
        """The Avro data; misfits are appended to ``errors`` (about the first 20), and it is then not to be used."""
        return self._convert(data, at, errors)


class _Builder:
    """Carries the named types seen so far: Avro defines a name once and refers to it afterwards."""

    def __init__(self) -> None:
        self._named: dict[str, Converter] = {}

    def converter(self, schema: Any, field: str) -> Converter:
        if isinstance(schema, list):
            return self._union(schema, field)
        if isinstance(schema, str):
            schema = {"type": schema}
        kind = schema["type"]
        if isinstance(kind, dict | list):
            return self.converter(kind, field)
        if kind == "record":
            return self._record(schema)
        if kind in ("enum", "fixed"):
            made = _enum(schema["symbols"]) if kind == "enum" else _decimal_or_bytes(schema)
            return self._name(schema, made)
        if kind == "array":
            return _array(self.converter(schema["items"], field))
        if kind == "map":
            return mapping(self.converter(schema["values"], field))
        if kind == "bytes":
            return _decimal_or_bytes(schema)
        if kind == "long":
            return time_ns if field.endswith("_ns") else long
        simple = _SIMPLE.get(kind)
        return simple if simple is not None else self._later(kind)

    def _later(self, name: str) -> Converter:
        # Looked up when it is used: a record may refer to itself before it is finished.
        return lambda value, at, errors: self._named[name](value, at, errors)

    def _name(self, schema: Mapping[str, Any], made: Converter) -> Converter:
        self._named[schema["name"]] = made
        if "namespace" in schema:
            self._named[f"{schema['namespace']}.{schema['name']}"] = made
        return made

    def _record(self, schema: Mapping[str, Any]) -> Converter:
        fields: dict[str, Converter] = {}
        required: list[str] = []
        # Named before its fields are known: one of them may be of this very type.
        made = self._name(schema, record(fields, required))
        for field in schema["fields"]:
            fields[field["name"]] = self.converter(field["type"], field["name"])
            if "default" not in field:
                required.append(field["name"])
        return made

    def _union(self, branches: list[Any], field: str) -> Converter:
        converters = [self.converter(branch, field) for branch in branches if branch != "null"]
        nullable = "null" in branches

        def convert(value: Any, at: str, errors: list[FieldError]) -> Any:
            if value is None and nullable:
                return None
            if value is None or not converters:
                errors.append(FieldError(at, "must not be null" if value is None else "must be null"))
                return None
            if len(converters) == 1:
                return converters[0](value, at, errors)
            first: list[FieldError] = []
            for converter in converters:
                tried: list[FieldError] = []
                made = converter(value, at, tried)
                if not tried:
                    return made
                first = first or tried
            errors += first
            return None

        return convert


def _said(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the string {value[:40]!r}" + ("…" if len(value) > 40 else "")
    if isinstance(value, int | Decimal):
        return f"the number {str(value)[:40]}"
    return "an array" if isinstance(value, list) else "an object"


def _wrong(value: Any, wanted: str, at: str, errors: list[FieldError]) -> None:
    errors.append(FieldError(at, f"must be {wanted}, not {_said(value)}"))


def _unknown(name: str, fields: Mapping[str, object], at: str, errors: list[FieldError]) -> None:
    near = difflib.get_close_matches(name, fields, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"its fields are {', '.join(fields)}"
    errors.append(FieldError(pointer(at, name), f"is not in the schema; {hint}"))


def _decimal_or_bytes(schema: Mapping[str, Any]) -> Converter:
    if schema.get("logicalType") != "decimal":
        return _bytes
    precision, scale = schema["precision"], schema.get("scale", 0)

    def convert(value: Any, at: str, errors: list[FieldError]) -> Any:
        if isinstance(value, Decimal):
            errors.append(
                FieldError(
                    at, f'is a JSON number with a fraction, most likely a float: write a string, "{value}"'[:200]
                )
            )
            return None
        if isinstance(value, bool) or not isinstance(value, int | str):
            return _wrong(value, 'a decimal as a string such as "61837.63"', at, errors)
        if isinstance(value, str) and not _DECIMAL.match(value):
            return _wrong(value, 'a decimal as a string such as "61837.63"', at, errors)
        number = Decimal(value)
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > scale:
            errors.append(FieldError(at, f"has more than {scale} decimal places"))
        elif number and number.adjusted() >= precision - scale:
            errors.append(FieldError(at, f"has more than {precision - scale} digits before the point"))
        return number

    return convert


def _bytes(value: Any, at: str, errors: list[FieldError]) -> Any:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    return _wrong(value, "bytes as a base64 string", at, errors)


def _integer(bits: int) -> Converter:
    low, high = -(1 << bits), (1 << bits) - 1

    def convert(value: Any, at: str, errors: list[FieldError]) -> Any:
        if isinstance(value, str) and _INTEGER.match(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return _wrong(value, "an integer", at, errors)
        if not low <= value <= high:
            errors.append(FieldError(at, f"{value} does not fit {bits + 1} bits"))
        return value

    return convert


long = _integer(63)


def time_ns(value: Any, at: str, errors: list[FieldError]) -> Any:
    """Nanoseconds: an integer, a string of digits, or an RFC 3339 time."""
    if isinstance(value, str) and not _INTEGER.match(value):
        try:
            value = parse_time_ns(value)
        except (ValueError, OverflowError) as error:
            errors.append(FieldError(at, f"must be nanoseconds since 1970 or an RFC 3339 time: {error}"))
            return None
    return long(value, at, errors)


def _boolean(value: Any, at: str, errors: list[FieldError]) -> Any:
    return value if isinstance(value, bool) else _wrong(value, "true or false", at, errors)


def string(value: Any, at: str, errors: list[FieldError]) -> Any:
    """A JSON string that UTF-8 can carry; an escaped half of a surrogate pair cannot."""
    if not isinstance(value, str):
        return _wrong(value, "a string", at, errors)
    try:
        value.encode()
    except UnicodeEncodeError:
        errors.append(FieldError(at, "holds half of a surrogate pair, which is no character"))
    return value


def _number(value: Any, at: str, errors: list[FieldError]) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return _wrong(value, "a number", at, errors)
    try:
        made = float(value)
    except OverflowError:
        made = math.inf
    return made if math.isfinite(made) else _wrong(value, "a number that 64 bits can hold", at, errors)


def _null(value: Any, at: str, errors: list[FieldError]) -> Any:
    return None if value is None else _wrong(value, "null", at, errors)


def _enum(symbols: list[str]) -> Converter:
    known = frozenset(symbols)

    def convert(value: Any, at: str, errors: list[FieldError]) -> Any:
        if not isinstance(value, str) or value not in known:
            return _wrong(value, f"one of {', '.join(symbols)}", at, errors)
        return value

    return convert


def _array(inner: Converter) -> Converter:
    def convert(value: Any, at: str, errors: list[FieldError]) -> Any:
        if not isinstance(value, list):
            return _wrong(value, "an array", at, errors)
        made = []
        for number, item in enumerate(value):
            if len(errors) >= ERRORS_MAX:
                break
            made.append(inner(item, pointer(at, number), errors))
        return made

    return convert


def mapping(inner: Converter) -> Converter:
    """An object whose values are all of one kind."""

    def convert(value: Any, at: str, errors: list[FieldError]) -> Any:
        if not isinstance(value, dict):
            return _wrong(value, "an object", at, errors)
        return {name: inner(item, pointer(at, name), errors) for name, item in value.items()}

    return convert


_SIMPLE: Final[Mapping[str, Converter]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _integer(31),
    "float": _number,
    "double": _number,
    "string": string,
}
