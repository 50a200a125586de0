"""CloudEvents 1.0 in Kafka binary mode: the envelope as headers, so that any client reads it without us.

Source: cloudevents/spec ``bindings/kafka-protocol-binding.md`` 3.2; correlation and sequence are its extensions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from tradewire.core.clock import NS_PER_SECOND
from tradewire.core.errors import MalformedRecord
from tradewire.schemas.event import NO_TAGS, Event

Header = tuple[str, bytes | None]

SPEC_VERSION: Final = ("ce_specversion", b"1.0")
CONTENT_TYPE: Final = ("content-type", b"application/avro")
# CloudEvents sequences are compared as strings: padding to the digits of a 64-bit number keeps them in numeric order.
SEQUENCE_DIGITS: Final = 19
# Confluent's header mode: the schema's GUID or id stands here, and the value is Avro with nothing before it.
SCHEMA_KEY: Final = "__value_schema_id"
_SEQUENCE_DIGITS_MAX: Final = 40
_ENVELOPE: Final = frozenset(
    ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_subject", "ce_correlationid", "ce_causationid")
) | frozenset(("ce_sequence", "ce_tags", "ce_datacontenttype"))


class Envelope(NamedTuple):
    """The attributes that travel as headers; the rest of an event is its Avro data.

    ``schema_key`` names the schema where it is not in front of the value (``SCHEMA_KEY``); None for framed values.
    """

    id: str
    type: str
    source: str
    subject: str
    time_ns: int
    correlation_id: str
    causation_id: str | None
    sequence: int | None
    tags: Mapping[str, str]
    schema_key: bytes | None = None


_new: Final = tuple.__new__


@lru_cache(maxsize=1024)
def second_text(second: int) -> str:
    """The beginning of ``format_time_ns``, up to the fraction: ``2024-08-08T12:00:00``."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def format_time_ns(time_ns: int) -> str:
    """RFC 3339 with nine fraction digits; every nanosecond survives."""
    second, fraction = divmod(time_ns, NS_PER_SECOND)
    return f"{second_text(second)}.{fraction:09d}Z"


# RFC 3339 5.6, which fromisoformat is not: it takes week dates, hours alone, and a comma whose digits it throws away.
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:)([0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


@lru_cache(maxsize=1024)
def _second_of(text: str) -> int:
    match = _TIME.fullmatch(f"{text}Z")
    if match is None or match[4]:
        raise ValueError(f"{text!r} is not a date and a time")
    return _utc_second(match)


def _utc_second(match: re.Match[str]) -> int:
    """The second of a time as if its offset were zero; a leap second is the one after it, as in Unix time."""
    second = match[3]
    leap = second == "60"
    moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{'59' if leap else second}").replace(tzinfo=UTC)
    return int(moment.timestamp()) + leap


def parse_time_ns(text: str) -> int:
    """Nanoseconds of an RFC 3339 time with any offset. Digits behind the ninth of the fraction may only be zeros.

    Raises:
        ValueError: the text is not such a time, has no offset, or is finer than a nanosecond.
    """
    if len(text) == 30 and text[19] == "." and text[29] == "Z" and text.isascii():
        fraction = text[20:29]
        if fraction.isdigit():
            return _second_of(text[:19]) * NS_PER_SECOND + int(fraction)
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is not an RFC 3339 time with an offset, such as 2024-08-08T12:00:00.5Z")
    digits, sign, hours, minutes = match[4] or "", match[5], int(match[6] or 0), int(match[7] or 0)
    if digits[9:].strip("0"):
        raise ValueError(f"{text[:64]!r} is finer than a nanosecond")
    if hours > 23 or minutes > 59:
        raise ValueError(f"{text!r} has an offset of more than a day")
    offset = (hours * 60 + minutes) * 60 * (-1 if sign == "-" else 1)
    second = _utc_second(match) - offset
    if match[3] == "60" and second % 86_400:
        raise ValueError(f"{text!r} is a leap second, but not at the end of a day")
    return second * NS_PER_SECOND + int(digits[:9].ljust(9, "0"))


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


def parse_tags(text: str) -> dict[str, str]:
    """The tags of a ``ce_tags`` header: a JSON object, its values as text.

    Raises:
        ValueError: it is none, is nested too deeply, or has text that UTF-8 cannot carry.
    """
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
        tags = {str(key): str(tag) for key, tag in found.items()}
    except RecursionError:
        raise ValueError("nested too deeply") from None
    "".join((*tags, *tags.values())).encode()  # JSON can spell half a surrogate pair
    return tags


def _sequence(octets: bytes) -> int:
    digits = octets[1:] if octets[:1] == b"-" else octets
    if not digits.isdigit() or len(digits) > _SEQUENCE_DIGITS_MAX:
        raise ValueError("not an integer")
    return int(octets)


def extensions_of(headers: Iterable[Header] | None) -> Mapping[str, str]:
    """The CloudEvents attributes that are no part of the envelope: by name without ``ce_``; most records have none.

    Raises:
        MalformedRecord: a value is not UTF-8.
    """
    found = dict(headers or ())
    others = [name for name in found if name not in _ENVELOPE]
    names = [name for name in others if name[:3] in ("ce_", "CE_", "Ce_") and name.lower() not in _ENVELOPE]
    texts = {name[3:].lower(): _text(found, name) for name in names}
    return {name: text for name, text in texts.items() if text is not None} if texts else NO_TAGS


def _check_mode(found: Mapping[str, bytes | None]) -> None:
    """Raises MalformedRecord for what only looks like an event of ours: another version, or the structured mode."""
    version = found.get("ce_specversion")
    if version is not None and version != SPEC_VERSION[1]:
        raise MalformedRecord(
            f"header ce_specversion is {version[:64]!r}: only CloudEvents 1.0 is read", header="ce_specversion"
        )
    content_type = found.get(CONTENT_TYPE[0])
    if is_structured(content_type):
        raise MalformedRecord(
            f"header content-type is {content_type!r}: a CloudEvent in structured mode. Topics of events hold binary "
            "mode: let the producer write attributes as ce_ headers and the data as framed Avro",
            header="content-type",
        )


def is_structured(content_type: bytes | None) -> bool:
    """Whether a ``content-type`` announces the structured mode (Kafka binding, section 3)."""
    return content_type is not None and content_type[:23].lower() == b"application/cloudevents"


def decode_headers(headers: Iterable[Header] | None, *, fallback_time_ns: int | None = None) -> Envelope:
    """Reads an envelope. Of a repeated header the last one counts; names may be in capitals if all of them are.

    Records of other CloudEvents producers are read too: without ``ce_correlationid`` an event is the root of its own
    flow, without ``ce_subject`` its source is the aggregate, without ``ce_time`` ``fallback_time_ns`` is taken.

    Raises:
        MalformedRecord: a required header is missing, a value cannot be read, or the record is a CloudEvent of another
            version or in structured mode; names the header.
    """
    found = dict(headers or ())
    if found.get("ce_specversion") != SPEC_VERSION[1] or found.get("content-type") != CONTENT_TYPE[1]:
        if "ce_id" not in found:
            found = {name.lower(): value for name, value in found.items()}
        _check_mode(found)
    get = found.get
    raw_id, raw_type, raw_source = get("ce_id"), get("ce_type"), get("ce_source")
    if not (raw_id and raw_type and raw_source):
        name = "ce_id" if not raw_id else "ce_source" if raw_type else "ce_type"
        raise MalformedRecord(f"header {name} is missing: is this record a CloudEvent in binary mode?", header=name)
    raw_subject, raw_correlation, raw_causation = get("ce_subject"), get("ce_correlationid"), get("ce_causationid")
    raw_time, raw_sequence, raw_tags = get("ce_time"), get("ce_sequence"), get("ce_tags")
    header, value = "ce_time", raw_time
    try:
        id, source = raw_id.decode(), raw_source.decode()
        if raw_time is not None:
            time_ns = parse_time_ns(raw_time.decode())
        elif fallback_time_ns is not None:
            time_ns = fallback_time_ns
        else:
            raise MalformedRecord("header ce_time is missing and there is no broker time to take", header="ce_time")
        header, value = "ce_sequence", raw_sequence
        sequence = None if raw_sequence is None else _sequence(raw_sequence)
        header, value = "ce_tags", raw_tags
        # Once per record of every topic: the fields in their order, without the call of a constructor.
        return _new(
            Envelope,
            (
                id,
                raw_type.decode(),
                source,
                raw_subject.decode() if raw_subject else source,
                time_ns,
                raw_correlation.decode() if raw_correlation else id,
                raw_causation.decode() if raw_causation else None,
                sequence,
                NO_TAGS if raw_tags is None else parse_tags(raw_tags.decode()),
                get(SCHEMA_KEY),
            ),
        )
    except (ValueError, OverflowError) as error:
        for name in _ENVELOPE:
            _text(found, name)  # raises for the one that is not UTF-8
        shown = "nothing" if value is None else repr(value[:200])
        raise MalformedRecord(f"header {header} cannot be read: {shown} ({error})", header=header) from error
