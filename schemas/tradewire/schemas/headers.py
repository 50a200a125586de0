"""CloudEvents 1.0 in Kafka binary mode: the envelope as headers, so that any client reads it without us.

Source: cloudevents/spec ``bindings/kafka-protocol-binding.md`` 3.2; correlation and sequence are its extensions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from tradewire.core.clock import NS_PER_SECOND
from tradewire.core.errors import MalformedRecord
from tradewire.schemas.event import NO_TAGS, Event

Header = tuple[str, bytes | None]

SPEC_VERSION: Final = ("ce_specversion", b"1.0")
CONTENT_TYPE: Final = ("content-type", b"application/avro")
# CloudEvents sequences are compared as strings: padding to the digits of a 64-bit number keeps them in numeric order.
SEQUENCE_DIGITS: Final = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The attributes that travel as headers; the rest of an event is its Avro data."""

    id: str
    type: str
    source: str
    subject: str
    time_ns: int
    correlation_id: str
    causation_id: str | None
    sequence: int | None
    tags: Mapping[str, str]


@lru_cache(maxsize=1024)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def format_time_ns(time_ns: int) -> str:
    """RFC 3339 with nine fraction digits; every nanosecond survives."""
    second, fraction = divmod(time_ns, NS_PER_SECOND)
    return f"{_second_text(second)}.{fraction:09d}Z"


@lru_cache(maxsize=1024)
def _second_of(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def parse_time_ns(text: str) -> int:
    """Nanoseconds of an RFC 3339 time with any offset and up to nine fraction digits.

    Raises:
        ValueError: the text is not such a time, or has no offset.
    """
    if len(text) == 30 and text[19] == "." and text[29] == "Z":
        return _second_of(text[:19]) * NS_PER_SECOND + int(text[20:29])
    head, dot, tail = text.partition(".")
    if not dot:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(f"{text!r} has no offset from UTC")
        return int(moment.timestamp()) * NS_PER_SECOND
    digits = len(tail) - len(tail.lstrip("0123456789"))
    if not 1 <= digits <= 9:
        raise ValueError(f"{text!r} has {digits} fraction digits; one to nine can be kept")
    moment = datetime.fromisoformat(head + tail[digits:])
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return int(moment.timestamp()) * NS_PER_SECOND + int(tail[:digits].ljust(9, "0"))


def encode_headers(event: Event) -> list[Header]:
    """The headers of an event, required attributes first; absent attributes have no header."""
    headers: list[Header] = [
        SPEC_VERSION,
        ("ce_id", event.id.encode()),
        ("ce_type", event.type.encode()),
        ("ce_source", event.source.encode()),
        ("ce_time", format_time_ns(event.time_ns).encode()),
        ("ce_subject", event.subject.encode()),
        ("ce_correlationid", event.correlation_id.encode()),
    ]
    if event.causation_id is not None:
        headers.append(("ce_causationid", event.causation_id.encode()))
    if event.sequence is not None:
        headers.append(("ce_sequence", f"{event.sequence:0{SEQUENCE_DIGITS}d}".encode()))
    if event.tags:
        headers.append(("ce_tags", json.dumps(dict(event.tags), sort_keys=True, separators=(",", ":")).encode()))
    headers.append(CONTENT_TYPE)
    return headers


def _text(headers: Mapping[str, bytes | None], name: str) -> str | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise MalformedRecord(f"header {name} is not UTF-8: {value[:64]!r}", header=name) from error


def decode_headers(headers: Iterable[Header] | None, *, fallback_time_ns: int | None = None) -> Envelope:
    """Reads an envelope. Of a repeated header the last one counts.

    Records of other CloudEvents producers are read too: without ``ce_correlationid`` an event is the root of its own
    flow, without ``ce_subject`` its source is the aggregate, without ``ce_time`` ``fallback_time_ns`` is taken.

    Raises:
        MalformedRecord: a required header is missing or a value cannot be read; names the header.
    """
    found = dict(headers or ())
    required: list[str] = []
    for name in ("ce_id", "ce_type", "ce_source"):
        value = _text(found, name)
        if not value:
            raise MalformedRecord(f"header {name} is missing: is this record a CloudEvent in binary mode?", header=name)
        required.append(value)
    id, type, source = required
    time_text = _text(found, "ce_time")
    sequence_text = _text(found, "ce_sequence")
    tags_text = _text(found, "ce_tags")
    header, value = "ce_time", time_text
    try:
        if time_text is not None:
            time_ns = parse_time_ns(time_text)
        elif fallback_time_ns is not None:
            time_ns = fallback_time_ns
        else:
            raise MalformedRecord("header ce_time is missing and there is no broker time to take", header="ce_time")
        header, value = "ce_sequence", sequence_text
        sequence = int(sequence_text) if sequence_text is not None else None
        header, value = "ce_tags", tags_text
        tags: Mapping[str, str] = NO_TAGS
        if tags_text is not None:
            tags = {str(key): str(tag) for key, tag in json.loads(tags_text).items()}
    except (ValueError, AttributeError, OverflowError) as error:
        raise MalformedRecord(f"header {header} cannot be read: {value!r} ({error})", header=header) from error
    return Envelope(
        id=id,
        type=type,
        source=source,
        subject=_text(found, "ce_subject") or source,
        time_ns=time_ns,
        correlation_id=_text(found, "ce_correlationid") or id,
        causation_id=_text(found, "ce_causationid") or None,
        sequence=sequence,
        tags=tags,
    )
