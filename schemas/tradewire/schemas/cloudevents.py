"""CloudEvents of other producers, as the Kafka binding lets them arrive: the structured mode, and data that is JSON.

Our own topics hold binary mode with Avro. A structured event is turned into the headers that binary mode would have
had, so that both are read by one reader. Only the JSON format is read, which the binding demands of whoever reads the
structured mode; Avro in it is ``data_base64``. Sources: cloudevents/spec ``bindings/kafka-protocol-binding.md`` 3,
``formats/json-format.md`` 2 and 3, ``spec.md`` 3.1.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from tradewire.core.errors import MalformedRecord
from tradewire.schemas.headers import CONTENT_TYPE, SCHEMA_KEY, Header, is_structured

JSON_FORMAT: Final = "application/cloudevents+json"
_REQUIRED: Final = ("specversion", "id", "type", "source")
_ATTRIBUTE_NAME: Final = re.compile(r"[a-z0-9]+")
_MEDIA_TYPE: Final = re.compile(r"[!#$&^_.+A-Za-z0-9-]+/[!#$&^_.+A-Za-z0-9-]+(\s*;.*)?", re.DOTALL)
_INTEGER_BITS: Final = 31


class Contents(NamedTuple):
    """A record as binary mode says it: ``value`` is Avro, or None where ``data`` came as JSON."""

    headers: list[Header]
    value: bytes | None
    data: Any


def contents_of(value: bytes | None, headers: list[Header]) -> Contents:
    """The contents of a record of any mode; a record that is not JSON is answered as it is.

    Raises:
        MalformedRecord: a structured event that breaks its format, is in another one than JSON, or holds data that
            is neither Avro nor JSON; or JSON data that is none.
    """
    if value is None or value[:1] == b"\0":  # no JSON begins so, every frame does
        return Contents(headers, value, None)
    content_type = next((found for name, found in reversed(headers) if name.lower() == CONTENT_TYPE[0]), None)
    text = (content_type or b"").decode(errors="replace")
    if is_structured(content_type):
        if _media_type(text) != JSON_FORMAT:
            raise MalformedRecord(
                f"header content-type is {text!r}: of the structured mode only {JSON_FORMAT} is read",
                header="content-type",
            )
        return _structured(value)
    if _is_json(text) and not any(name == SCHEMA_KEY for name, _ in headers):
        return Contents(headers, None, _json(value))
    return Contents(headers, value, None)


def _structured(value: bytes) -> Contents:
    found = _json(value)
    if not isinstance(found, dict):
        raise MalformedRecord("the structured event is not a JSON object")
    data, encoded = found.pop("data", None), found.pop("data_base64", None)
    headers = [_header(name, item) for name, item in found.items() if item is not None]
    for name in _REQUIRED:
        if not found.get(name) or not isinstance(found[name], str):
            raise MalformedRecord(f"the structured event has no attribute {name!r}, or an empty one", attribute=name)
    content_type = str(found.get("datacontenttype") or "application/json")
    if encoded is None:
        if not _is_json(content_type) and not isinstance(data, str | None):
            raise MalformedRecord(f"the structured event says its data is {content_type!r}, but it is a JSON value")
        return Contents(headers, None, {} if data is None else data)
    if data is not None:
        raise MalformedRecord("the structured event has both data and data_base64")
    try:
        octets = base64.b64decode(encoded, validate=True)
    except (ValueError, TypeError) as error:
        raise MalformedRecord(f"data_base64 of the structured event is not base64: {error}") from error
    if _is_json(content_type):
        return Contents(headers, None, _json(octets))
    if "avro" not in _media_type(content_type):
        raise MalformedRecord(f"the data of the structured event is {content_type!r}, neither Avro nor JSON")
    return Contents(headers, octets, None)


def _header(name: str, value: Any) -> Header:
    """An attribute as the header of binary mode. Raises MalformedRecord."""
    if not _ATTRIBUTE_NAME.fullmatch(name):
        raise MalformedRecord(f"attribute {name[:64]!r}: names have lower-case letters and digits only", attribute=name)
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int) and -(1 << _INTEGER_BITS) <= value < 1 << _INTEGER_BITS:
        text = str(value)
    elif isinstance(value, str):
        text = value
    else:
        raise MalformedRecord(f"attribute {name!r} is neither text, a boolean nor a 32-bit integer", attribute=name)
    if name in ("subject", "dataschema", "datacontenttype") and not text:
        raise MalformedRecord(f"attribute {name!r} is empty", attribute=name)
    if name == "datacontenttype" and not _MEDIA_TYPE.fullmatch(text):
        raise MalformedRecord(f"attribute 'datacontenttype' is {text[:64]!r}, not a media type", attribute=name)
    try:
        octets = text.encode()
    except UnicodeEncodeError as error:
        raise MalformedRecord(f"attribute {name!r} has half a surrogate pair", attribute=name) from error
    return (CONTENT_TYPE[0] if name == "datacontenttype" else f"ce_{name}"), octets


def _media_type(text: str) -> str:
    return text.partition(";")[0].strip().lower()


def _is_json(content_type: str) -> bool:
    media_type = _media_type(content_type)
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def _json(octets: bytes) -> Any:
    """JSON with its fractions as Decimals: what was written is what is read. Raises MalformedRecord."""
    try:
        return json.loads(octets.decode(), parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise MalformedRecord(f"the value is not JSON, which the record says it is: {error}") from error


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def refuse_json_of_catalogue(type: str, catalogue: Mapping[str, Any]) -> None:
    """Raises MalformedRecord for JSON data of a type that has a schema: its prices may have been floats."""
    if type in catalogue:
        raise MalformedRecord(
            f"the data of {type} is JSON: types of the catalogue are written as framed Avro (structured mode: as "
            "data_base64, with datacontenttype application/avro)"
        )
