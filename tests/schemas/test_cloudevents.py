"""The envelope against CloudEvents 1.0: the Kafka binding, the JSON format, and the ``cloudevents`` SDK both ways.

The cases of the sections on conformance follow the shapes of the ``cloudevents/conformance`` repository
(``features/kafka-protocol-binding.feature``, ``format/json``): what is valid there is read, what is not is refused.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka, to_binary, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1 import http as v1_http
from cloudevents.v1 import kafka as v1_kafka
from hypothesis import given
from hypothesis import strategies as st
from tests.schemas.test_codec import TRADE, TYPE

from tradewire.core import MalformedRecord
from tradewire.schemas import (
    Catalogue,
    Codec,
    Event,
    FixedIds,
    Header,
    decode_headers,
    encode_headers,
    parse_time_ns,
    read_event,
)

CODEC = Codec(Catalogue.load(), FixedIds())
TOPIC = "market.events"
VALUE = CODEC.encode(TYPE, TRADE, TOPIC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
EXTENSION_NAMES = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True)
# 2018-04-05T17:31:00Z, the moment of most cases
MOMENT_NS = 1_522_949_460 * 10**9


class AvroBytes(JSONFormat):
    """The SDK has no format for Avro; data goes through as it is."""

    def read_data(self, body: bytes, datacontenttype: str | None) -> dict[str, Any] | str | bytes | None:
        return body

    def write_data(self, data: dict[str, Any] | str | bytes | None, datacontenttype: str | None) -> bytes:
        assert isinstance(data, bytes)
        return data


def read(value: bytes | None, headers: list[Header]) -> Event:
    return read_event(CODEC, topic=TOPIC, partition=0, offset=0, timestamp_ms=7, value=value, headers=headers)


def read_message(message: KafkaMessage) -> Event:
    return read(message.value, list(message.headers.items()))


def read_by_sdk(headers: list[Header], value: bytes, key: bytes) -> BaseCloudEvent:
    found = {name: octets for name, octets in headers if octets is not None}
    return from_kafka(KafkaMessage(headers=found, key=key, value=value), AvroBytes())


@given(
    TEXT,
    TEXT,
    TEXT,
    st.integers(0, 4 * 10**9),
    st.none() | TEXT,
    st.none() | st.integers(0, 2**63 - 1),
    st.dictionaries(TEXT, TEXT, max_size=3),
)
def test_our_records_are_read_by_the_sdk(
    id: str,
    source: str,
    subject: str,
    micros: int,
    causation_id: str | None,
    sequence: int | None,
    tags: Mapping[str, str],
) -> None:
    """Every attribute, in any alphabet, not percent-encoded: the Kafka binding has UTF-8 as it is."""
    event = Event(
        id=id,
        type=TYPE,
        data=TRADE,
        source=source,
        subject=subject,
        time_ns=micros * 1_000,
        correlation_id="flow",
        causation_id=causation_id,
        sequence=sequence,
        tags=tags,
    )

    seen = read_by_sdk(encode_headers(event), VALUE, subject.encode())

    assert (id, TYPE, source, subject) == (seen.get_id(), seen.get_type(), seen.get_source(), seen.get_subject())
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros) == seen.get_time()
    assert ("1.0", "application/avro") == (seen.get_specversion(), seen.get_datacontenttype())
    assert ("flow", causation_id) == (seen.get_extension("correlationid"), seen.get_extension("causationid"))
    assert sequence == (None if sequence is None else int(seen.get_extension("sequence")))
    assert dict(tags) == json.loads(seen.get_extension("tags") or "{}")
    assert subject == seen.get_extension("partitionkey")  # the SDK's own reading of the key
    assert VALUE == seen.get_data()


@given(
    TEXT,
    TEXT,
    st.none() | TEXT,
    st.datetimes(datetime(1678, 1, 1), datetime(2261, 1, 1)),
    st.integers(-23 * 60, 23 * 60),
    st.dictionaries(EXTENSION_NAMES, TEXT, max_size=4),
)
def test_records_of_the_sdk_are_read_by_us(
    id: str, source: str, subject: str | None, time: datetime, offset: int, extensions: dict[str, str]
) -> None:
    """Optional attributes may be absent; what has no field of the event is kept among its extensions."""
    own = {"correlationid", "causationid", "sequence", "tags", "id", "source", "type", "subject", "time", "specversion"}
    kept = {name: text for name, text in extensions.items() if name not in own | {"datacontenttype", "data"}}
    moment = time.replace(tzinfo=timezone(timedelta(minutes=offset)))
    attributes = {"id": id, "source": source, "type": TYPE, "time": moment, "datacontenttype": "application/avro"}
    attributes |= kept | ({} if subject is None else {"subject": subject})

    event = read_message(to_binary(CloudEvent(dict(attributes), VALUE), AvroBytes()))

    assert (id, source, TYPE, subject or source) == (event.id, event.source, event.type, event.subject)
    assert (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000 == event.time_ns
    assert kept == event.extensions
    assert (id, None) == (event.correlation_id, event.causation_id)
    assert TRADE["price"] == event.data["price"]


def test_the_first_generation_of_the_sdk_is_read_and_reads_us() -> None:
    """``cloudevents.v1``, the interface of the SDK before 2.0, which most services still use."""
    theirs = v1_kafka.to_binary(
        v1_http.CloudEvent({"id": "1", "source": "s", "type": TYPE, "datacontenttype": "application/avro"}, VALUE),
        data_marshaller=bytes,
        key_mapper=lambda event: "key",
    )
    event = read(theirs.value, list(theirs.headers.items()))
    ours = v1_kafka.from_binary(
        v1_kafka.KafkaMessage(headers=dict(encode_headers(event)), key=b"key", value=VALUE),  # type: ignore[arg-type]
        v1_http.CloudEvent,
        data_unmarshaller=bytes,
    )

    assert ("1", "s", TYPE, TRADE["price"]) == (event.id, event.source, event.type, event.data["price"])
    assert ("1", "s", TYPE, VALUE) == (ours["id"], ours["source"], ours["type"], ours.data)
    assert event.time_ns == parse_time_ns(ours["time"])


def test_extensions_with_a_field_of_ours_fill_it() -> None:
    """Correlation, causation and sequence of another producer are those of the event."""
    attributes = {"id": "1", "source": "s", "type": TYPE, "correlationid": "flow", "causationid": "0", "sequence": "12"}
    attributes |= {"partitionkey": "k", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    message = to_binary(CloudEvent(dict(attributes), VALUE), AvroBytes())

    event = read_message(message)

    assert b"k" == message.key or "k" == message.key
    assert ("flow", "0", 12) == (event.correlation_id, event.causation_id, event.sequence)
    assert {"partitionkey", "traceparent"} == event.extensions.keys()


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("2018-04-05T17:31:00Z", MOMENT_NS),
        ("2018-04-05t17:31:00z", MOMENT_NS),
        ("2018-04-05T18:31:00+01:00", MOMENT_NS),
        ("2018-04-05T16:31:00-01:00", MOMENT_NS),
        ("2018-04-05T17:31:00-00:00", MOMENT_NS),
        ("2018-04-05T17:31:00.000000000Z", MOMENT_NS),
        ("2018-04-05T17:31:00.1Z", MOMENT_NS + 100_000_000),
        ("2018-04-05T17:31:00.123456789Z", MOMENT_NS + 123_456_789),
        ("2018-04-05T23:16:00.123456789+05:45", MOMENT_NS + 123_456_789),
        ("2018-04-05T17:31:00.123456789000Z", MOMENT_NS + 123_456_789),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1677-09-21T00:12:43.145224192Z", -(2**63)),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
        ("1990-12-31T23:59:60Z", 662_688_000 * 10**9),
        ("1990-12-31T15:59:60-08:00", 662_688_000 * 10**9),
    ],
)
def test_every_form_of_rfc_3339_is_read(text: str, time_ns: int) -> None:
    """Offsets, fractions of any length, both cases, leap seconds."""
    assert time_ns == parse_time_ns(text)


@pytest.mark.parametrize(
    "text",
    [
        "lunchtime",
        "",
        "2018-04-05",
        "2018-04-05T17:31:00",
        "2018-04-05T18:31Z",
        "2018-04-05T18:31:00X",
        "2018-04-05T18:31:00+25:00",
        "2018-04-05T18:31:00+01:60",
        "2018-04-05T18:31:00+xx:00",
        "2018-04-05T18:31:00+05",
        "2018-04-05T18:31:00+0500",
        "2018-04-05T18:31:00.Z",
        "2018-04-05T18:31:00,5Z",
        "2018-04-05 18:31:00Z",
        "20180405T183100Z",
        "2018-W14-4T18:31:00Z",
        "2018-W14-4T18:31:00.123456789Z",
        "2018-04-05 18:31:00.123456789Z",
        "2018-04-05T18:31:00.+23456789Z",
        "2018-04-05T18:31:00.1_345678 Z",
        "2018-04-05T18:31:00.12345678٩Z",
        "٢018-04-05T18:31:00Z",
        "2018-04-05T18:31:00Z\n",
        " 2018-04-05T18:31:00Z",
        "2018-13-05T18:31:00Z",
        "2018-02-30T18:31:00Z",
        "2018-04-05T24:31:00Z",
        "2018-04-05T18:31:60Z",
        "2018-04-05T18:31:61Z",
        "0000-04-05T18:31:00Z",
        "10000-04-05T18:31:00Z",
        "2018-04-05T18:31:00.1234567891Z",
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(text: str) -> None:
    """Nothing is guessed and no digit is thrown away: half of these pass Python's own ``fromisoformat``."""
    with pytest.raises(ValueError):
        parse_time_ns(text)
    with pytest.raises(MalformedRecord, match="ce_time"):
        decode_headers([("ce_id", b"1"), ("ce_type", b"t"), ("ce_source", b"s"), ("ce_time", text.encode())])


BINARY: list[Header] = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1234-1234-1234"),
    ("ce_type", b"com.example.someevent"),
    ("ce_source", b"/mycontext/subcontext"),
    ("ce_time", b"2018-04-05T03:56:24Z"),
    ("content-type", b"application/json"),
]
STRUCTURED = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "time": "2018-04-05T03:56:24Z",
    "id": "1234-1234-1234",
    "source": "/mycontext/subcontext",
    "datacontenttype": "application/json",
    "data": {"message": "Hello World!"},
}
FORMATS = [
    "application/cloudevents+json",
    "application/cloudevents+json; charset=utf-8",
    "Application/CloudEvents+JSON;charset=UTF-8",
]


def check_conformance_event(event: Event) -> None:
    assert ("1234-1234-1234", "com.example.someevent") == (event.id, event.type)
    assert "/mycontext/subcontext" == event.source
    assert 1_522_900_584 * 10**9 == event.time_ns
    assert {"message": "Hello World!"} == event.data


def test_kafka_binding_binary_mode() -> None:
    """The conformance feature's scenario; its data is JSON, of a type that has no schema here."""
    check_conformance_event(read(b'{"message": "Hello World!"}', BINARY))


@pytest.mark.parametrize("content_type", FORMATS)
def test_kafka_binding_structured_mode(content_type: str) -> None:
    """The conformance feature's outline; the binding matches the media type in any case."""
    headers: list[Header] = [("content-type", content_type.encode())]

    check_conformance_event(read(json.dumps(STRUCTURED, indent=4).encode(), headers))
    check_conformance_event(read(json.dumps(STRUCTURED).encode(), [("Content-Type", content_type.encode())]))
    assert 1_522_900_584 * 10**9 == read(json.dumps(STRUCTURED).encode(), [*BINARY[:4], *headers]).time_ns


def test_structured_events_of_the_sdk_are_read() -> None:
    """Avro in JSON is base64; then the type may have a schema, and is held to it."""
    attributes = {"id": "1", "source": "s", "type": TYPE, "datacontenttype": "application/avro", "subject": "a"}
    event = read_message(to_structured_event(CloudEvent(dict(attributes), VALUE)))

    assert ("1", TYPE, "a", TRADE["price"], 1) == (event.id, event.type, event.subject, event.data["price"], 1)
    assert event.schema_id is not None


def test_numbers_of_json_data_are_not_rounded() -> None:
    """A price of another producer arrives with the digits that he wrote."""
    data = json.dumps(STRUCTURED).encode().replace(b'"Hello World!"', b"61837.630000000000000001")

    event = read(data, [("content-type", b"application/cloudevents+json")])

    assert Decimal("61837.630000000000000001") == event.data["message"]


@pytest.mark.parametrize("content_type", ["application/cloudevents+avro", "application/cloudevents-batch+json"])
def test_formats_that_are_not_read_are_named(content_type: str) -> None:
    """The error says which format it was; so does that of whoever reads headers alone."""
    with pytest.raises(MalformedRecord, match=content_type.replace("+", r"\+")):
        read(b"[]", [*BINARY[:5], ("content-type", content_type.encode())])
    with pytest.raises(MalformedRecord, match="structured mode"):
        decode_headers([*BINARY[:5], ("content-type", content_type.encode())])


def structured(**changes: Any) -> Event:
    attributes = {"specversion": "1.0", "id": "minimal", "type": "io.cloudevents.test", "source": "https://a.example"}
    body = {name: value for name, value in (attributes | changes).items() if value != "absent"}
    return read(json.dumps(body).encode(), [("content-type", b"application/cloudevents+json")])


NOTHING = {"datacontenttype": None, "dataschema": None, "subject": None, "time": None}
CORE = {"datacontenttype": "text/plain", "dataschema": "https://a.example/schema", "subject": "tests"}
EXTENSIONS = {
    "extinteger": 10,
    "extboolean": True,
    "extstring": "text",
    "exturi": "https://a.example",
    "exturiref": "//authority/path",
    "exttimestamp": "2023-03-31T15:12:00Z",
    "extbinary": "TWE=",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"data": {}, "time_ns": 7_000_000, "subject": "https://a.example"}),
        (NOTHING, {"data": {}, "time_ns": 7_000_000, "extensions": {}}),
        (
            CORE | {"time": "2018-04-05T17:31:00Z"},
            {"subject": "tests", "time_ns": MOMENT_NS, "extensions": {"dataschema": "https://a.example/schema"}},
        ),
        ({"time": "2018-04-05T17:31:00.000000000Z"}, {"time_ns": MOMENT_NS}),
        ({"time": "2018-04-05T18:31:00+01:00"}, {"time_ns": MOMENT_NS}),
        ({"time": "2018-04-05T16:31:00-01:00"}, {"time_ns": MOMENT_NS}),
        ({"source": "#fragment"}, {"source": "#fragment"}),
        ({"datacontenttype": "text/plain", "data": "Simple text"}, {"data": "Simple text"}),
        (
            EXTENSIONS,
            {"extensions": {name: str(value) for name, value in EXTENSIONS.items()} | {"extboolean": "true"}},
        ),
        ({"data_base64": base64.b64encode(b'{"a": [1]}').decode()}, {"data": {"a": [1]}}),
        ({"data": None}, {"data": {}}),
        ({"data": [1, "a"]}, {"data": [1, "a"]}),
        ({"sequence": "5", "correlationid": "c"}, {"sequence": 5, "correlation_id": "c", "extensions": {}}),
    ],
)
def test_valid_events_of_the_json_format(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    """Null is absent; offsets and nanoseconds are one moment; extensions come as text."""
    event = structured(**changes)

    assert expected == {name: getattr(event, name) for name in expected}


@pytest.mark.parametrize(
    "changes",
    [
        {"specversion": "absent"},
        {"specversion": ""},
        {"specversion": "0.9"},
        {"specversion": 1.0},
        {"id": "absent"},
        {"id": ""},
        {"id": 25},
        {"id": {"xyz": "abc"}},
        {"type": "absent"},
        {"type": ""},
        {"source": "absent"},
        {"source": ""},
        {"source": None},
        {"time": "lunchtime"},
        {"time": "2018-04-05T18:31Z"},
        {"time": "2018-04-05T18:31:00X"},
        {"time": "2018-04-05T18:31:00+25:00"},
        {"time": "2018-04-05T18:31:00+xx:00"},
        {"time": "2018-04-05T18:31:00+05"},
        {"time": ""},
        {"datacontenttype": "xyz"},
        {"datacontenttype": ""},
        {"dataschema": ""},
        {"subject": ""},
        {"MyExtension": "bad"},
        {"my.extension": "bad"},
        {"myextension": 1.5},
        {"myextension": 1 << 31},
        {"myextension": ["a"]},
        {"myextension": "\ud800"},
        {"data": "text", "data_base64": "eyAieHl6IjogMTIzIH0="},
        {"data_base64": "not base64!"},
        {"data_base64": 5},
        {"datacontenttype": "application/avro", "data": {"a": 1}},
        {"datacontenttype": "application/avro", "data_base64": "AAAAAAE="},
        {"datacontenttype": "image/png", "data_base64": "AAAAAAE="},
        {"type": TYPE, "data": {"price": 1.5}},
    ],
    ids=lambda changes: json.dumps(changes)[:60],
)
def test_invalid_events_of_the_json_format(changes: dict[str, Any]) -> None:
    """Each breaks the format or the specification; prices of a type with a schema do not come as JSON numbers."""
    with pytest.raises(MalformedRecord, match=r"market\.events\[0\]@0"):
        structured(**changes)


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"{", b"[]", b"5", b"null", b"\xff", b'{"id": NaN}', b"[" * 100_000, b'{"a":' * 100_000),
        *(b'{"data": 1' + b"0" * 5_000 + b"}", b'{"data": 1e99999999999999999999}', "{}".encode("utf-16")),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_a_structured_event_that_is_no_json_is_malformed(value: bytes) -> None:
    """Never another error, however deep or long."""
    for content_type in ("application/cloudevents+json", "application/json"):
        headers: list[Header] = [("content-type", content_type.encode())]
        with pytest.raises(MalformedRecord):
            read(value, headers)


def test_a_record_that_looks_like_both_modes_is_what_its_content_type_says() -> None:
    """The binding lets a structured event repeat its attributes as headers; the value is not Avro all the same."""
    headers = [*BINARY[:5], ("content-type", b"application/cloudevents+json")]

    assert "other" == read(json.dumps(STRUCTURED | {"id": "other"}).encode(), headers).id
    with pytest.raises(MalformedRecord, match="binary mode"):
        decode_headers(headers)


@pytest.mark.parametrize("version", [b"0.3", b"1.1", b"", b"1.0 ", b"\xff"])
def test_another_version_of_cloudevents_is_refused(version: bytes) -> None:
    """Its attributes may mean something else."""
    with pytest.raises(MalformedRecord, match="ce_specversion"):
        decode_headers([("ce_specversion", version), *BINARY[1:5]])


def test_header_names_in_capitals_are_read() -> None:
    """Some HTTP bridges write them; CloudEvents names have no capitals, so nothing else can be meant."""
    capitals: list[Header] = [(name.upper(), value) for name, value in BINARY[:5]]

    assert decode_headers(BINARY[:5]) == decode_headers(capitals)
    assert "1" == read(VALUE, [*capitals_of_trade(), ("CE_MYEXT", b"1")]).extensions["myext"]


def capitals_of_trade() -> list[Header]:
    return [("CE_ID", b"1"), ("CE_TYPE", TYPE.encode()), ("CE_SOURCE", b"s")]


def test_of_a_repeated_header_the_last_one_counts() -> None:
    """A relay that adds its own appends it."""
    assert "last" == decode_headers([("ce_id", b"first"), *BINARY[2:5], ("ce_id", b"last")]).id


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_sequence", b"1_0"),
        ("ce_sequence", b" 1"),
        ("ce_sequence", b"1.0"),
        ("ce_sequence", b""),
        ("ce_sequence", "١".encode()),
        ("ce_sequence", b"9" * 5_000),
        ("ce_tags", b""),
        ("ce_tags", b"null"),
        ("ce_tags", b'{"a": "\\ud800"}'),
        ("ce_tags", b'{"a":' * 100_000),
        ("ce_tags", b'{"a":' + b"[" * 500 + b"]" * 500 + b"}" + b" " * 10_000 + b"x"),
        ("ce_subject", b"\xff"),
        ("ce_correlationid", b"\xc3"),
        ("ce_causationid", b"\xed\xa0\x80"),
        ("ce_id", b""),
        ("ce_id", None),
    ],
    ids=lambda part: repr(part)[:24],
)
def test_headers_at_fault_are_named(name: str, value: bytes | None) -> None:
    """Always the typed error with the header in its context, and a message that fits a log line."""
    headers = [("ce_id", b"1"), ("ce_type", b"t"), ("ce_source", b"s"), ("ce_time", b"2018-04-05T03:56:24Z")]
    with pytest.raises(MalformedRecord, match=name) as malformed:
        decode_headers([*headers, (name, value)])
    assert name == malformed.value.context["header"]
    assert len(str(malformed.value)) < 500


def test_an_extension_that_is_not_utf_8_is_malformed() -> None:
    with pytest.raises(MalformedRecord, match="ce_myext"):
        read(VALUE, [("ce_id", b"1"), ("ce_type", TYPE.encode()), ("ce_source", b"s"), ("ce_myext", b"\xff")])
