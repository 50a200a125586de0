"""Bytes, headers and schemas of strangers: never a hang, never memory without bound, always the typed error."""

from __future__ import annotations

import builtins
import copy
import itertools
import json
import random
import threading
import time
import tracemalloc
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.schemas import fuzz_codec
from tests.schemas.generated import DataMaker, SchemaMaker
from tests.schemas.test_avro_interop import Only
from tests.schemas.test_compiled_codec import NODE, TREE

from tradewire.core import MalformedRecord
from tradewire.core.settings import RegistrySettings
from tradewire.schemas import (
    Catalogue,
    Codec,
    Event,
    FixedIds,
    Header,
    RegistryIds,
    decode_headers,
    encode_headers,
    read_event,
    readable_schema,
)
from tradewire.schemas._compiled_decoder import EMPTY_ITEMS_MAX, Decoder
from tradewire.schemas._compiled_encoder import EncoderFactory
from tradewire.schemas._shape import SCHEMA_PARTS_MAX
from tradewire.schemas._varints import varint

CATALOGUE = Catalogue.load()
TYPES = list(CATALOGUE)
GOOD_HEADERS: list[Header] = [
    ("ce_id", b"1"),
    ("ce_type", b"t"),
    ("ce_source", b"s"),
    ("ce_time", b"1970-01-01T00:00:00Z"),
]


def codec_of(schema: Any) -> Codec:
    return Codec(Catalogue({}), Only(schema))


def within(seconds: float, memory_bytes: int, call: Callable[[], Any]) -> Any:
    """What a call returns or raises, which must come soon and without much memory. Far from the limit either way."""
    tracemalloc.start()
    begun = time.monotonic()
    try:
        return call()
    finally:
        took, peak = time.monotonic() - begun, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert took < seconds
        assert peak < memory_bytes


@pytest.mark.parametrize("type", TYPES)
def test_every_beginning_of_every_type_is_malformed(type: str) -> None:
    """Cut at each byte, frame included, and read as an event: the message names the record."""
    schema = CATALOGUE[type].latest
    codec = Codec(CATALOGUE, FixedIds())
    made = (codec.encode(type, DataMaker(schema.schema, seed).make(), "t") for seed in itertools.count())
    value = next(value for value in made if len(value) < 500)  # each cut costs an error with its traceback
    headers = encode_headers(Event(id="1", type=type, data={}, source="s", subject="a", time_ns=0, correlation_id="c"))
    for cut in range(len(value)):
        with pytest.raises(MalformedRecord, match=r"t\[0\]@9: "):
            read_event(codec, topic="t", partition=0, offset=9, timestamp_ms=0, value=value[:cut], headers=headers)
    with pytest.raises(MalformedRecord, match=r"no value|0 bytes"):
        read_event(codec, topic="t", partition=0, offset=9, timestamp_ms=0, value=None, headers=headers)


@pytest.mark.parametrize("magic", [1, 2, 0x7B, 0x80, 0xFF])
def test_another_first_byte_is_named(magic: int) -> None:
    """Plain Avro, JSON, a GUID in front of the value: each begins with something else."""
    with pytest.raises(MalformedRecord, match=f"0x{magic:02x}"):
        codec_of("long").decode(bytes((magic, 0, 0, 0, 1, 2)))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(fuzz_codec.NAMES) | st.text(max_size=6), st.none() | st.binary(max_size=40))),
    st.booleans(),
)
def test_any_headers_are_read_or_malformed(headers: list[Header], good_first: bool) -> None:
    """Whatever names and bytes: an envelope or the one error."""
    for given_headers in (headers, GOOD_HEADERS + headers if good_first else headers + GOOD_HEADERS):
        try:
            decode_headers(given_headers)
        except MalformedRecord as error:
            assert len(str(error)) < 1_000


def test_mutated_records_are_read_as_fastavro_reads_them_or_malformed() -> None:
    """A few thousand inputs of the fuzz target, which also runs for hours under atheris (see there)."""
    assert fuzz_codec.run(5.0, seed=4) > 1_000


DEEP: Any = "long"
for _ in range(10_000):
    DEEP = {"type": "array", "items": DEEP}
CHAIN: Any = "long"
for level in range(400):
    CHAIN = {"type": "record", "name": f"R{level}", "fields": [{"name": "f", "type": CHAIN}]}
WIDE = {"type": "record", "name": "W", "fields": [{"name": f"f{n}", "type": "long"} for n in range(100_000)]}


def doubling(levels: int, innermost: Any) -> Any:
    """Records of two records each: 2^levels values, in a schema of a few lines."""
    schema: Any = {"type": "record", "name": "L0", "fields": [{"name": "x", "type": innermost}]}
    for level in range(1, levels):
        fields = [{"name": "a", "type": schema}, {"name": "b", "type": f"L{level - 1}"}]
        schema = {"type": "record", "name": f"L{level}", "fields": fields}
    return schema


@pytest.mark.parametrize(
    ("schema", "body", "match"),
    [
        (DEEP, b"\0", "not an Avro schema"),
        (CHAIN, b"\0", "not an Avro schema"),
        (WIDE, bytes(100_000), f"more than {SCHEMA_PARTS_MAX} parts"),
        (["null"] * 100_000, b"\0", "not an Avro schema"),
        ({"type": "fixed", "name": "F", "size": 1 << 62}, b"x", "bytes are missing"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 10**30}, b"\2\1", "not an Avro schema"),
        (doubling(60, "null"), b"", f"more than {EMPTY_ITEMS_MAX} items"),
        (doubling(60, "long"), b"\0" * 1_000, "too early"),
        ({"type": "array", "items": doubling(18, "null")}, b"\x7e" + b"\0", f"more than {EMPTY_ITEMS_MAX} items"),
        ({"type": "array", "items": {"type": "array", "items": "null"}}, b"\x08" + varint(40_000) * 4, "items"),
        ({"type": "map", "values": {"type": "map", "values": "null"}}, varint(1 << 40), "bytes left"),
        (NODE, b"\2\2" * 10_000 + b"\2\0", "levels deep"),
        (TREE, b"\2" * 10_000 + b"\0" * 10_001, "levels deep"),
        ({"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]}, b"", "levels deep"),
        ({"type": "array", "items": ["null", "R"]}, b"\2\0", "not an Avro schema"),
    ],
    ids=[
        *("deep", "chain", "wide", "union", "fixed", "precision", "nothing doubled", "longs doubled"),
        *("arrays of nothing doubled", "nulls", "maps", "list", "tree", "itself", "unknown"),
    ],
)
def test_hostile_schemas_and_bytes_cost_little(schema: Any, body: bytes, match: str) -> None:
    """Whoever may write to the registry can give any schema; the records under it are malformed, the reader goes on."""
    codec = codec_of(schema)
    with pytest.raises(MalformedRecord, match=match) as malformed:
        within(60, 200_000_000, lambda: codec.decode(b"\0\0\0\0\1" + body))
    assert len(str(malformed.value)) < 2_000


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, "{", "", "\x00", json.dumps(["null"])])
def test_what_a_registry_answers_is_not_believed(text: str) -> None:
    """The text of the schema itself: JSON that Python cannot even parse. The registry is a hostile one, made here."""
    body = json.dumps({"schema": text, "schemaType": "AVRO"}).encode()

    class Hostile(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hostile)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        ids = RegistryIds(RegistrySettings(url=f"http://127.0.0.1:{server.server_address[1]}"))
        for key in (None, b"\1" + bytes(16)):
            with pytest.raises(MalformedRecord, match=r"schema (id 2|guid)"):
                Codec(Catalogue({}), ids).decode(b"\0\0\0\0\2\2\0", key)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_schemas_with_something_else_in_them_are_read_or_malformed() -> None:
    """One part of a good schema replaced by anything that JSON can say, a thousand times."""
    pick = random.Random(8)
    sources = [json.loads(schema.text) for type in CATALOGUE.values() for schema in type.versions]
    sources += [SchemaMaker(seed).record() for seed in range(40)]
    odd: list[Any] = [None, True, -1, 0, 1.5, 1 << 70, "", "long", "x y", "\ud800", "\0", [], {}, ["null", "null"]]
    odd += [{"type": "record"}, {"type": []}, [[]], "__proto__", {"type": "fixed", "name": "Z", "size": 3}]
    refused = 0
    for _ in range(1_000):
        schema = copy.deepcopy(pick.choice(sources))
        places = list(_places(schema))
        place, key = pick.choice(places)
        place[key] = pick.choice(odd)
        try:
            codec_of(schema).decode(b"\0\0\0\0\1" + pick.randbytes(pick.randrange(200)))
        except MalformedRecord as error:
            refused += "not an Avro schema" in str(error)
    assert 100 < refused < 1_000


def _places(part: Any) -> Any:
    for key in list(part) if isinstance(part, dict) else range(len(part)):
        yield part, key
        if isinstance(part[key], dict | list):
            yield from _places(part[key])


ATTACKS = [
    "'+__import__('builtins').HACKED.append(1)+'",
    '"+__import__("builtins").HACKED.append(1)+"',
    "'\n    __import__('builtins').HACKED.append(1)\n'",
    "x\n__import__('builtins').HACKED.append(1)\n#",
    "{__import__('builtins').HACKED.append(1)}",
    "\\'+__import__('builtins').HACKED.append(1)+\\'",
    "'''\n__import__('builtins').HACKED.append(1)\n'''",
    "0): __import__('builtins').HACKED.append(1) #",
    "\u2028__import__('builtins').HACKED.append(1)",
    "\0",
    "\ud800",
    "self",
    "__class__",
    "read_varint",
    "b",
]


def poisoned(text: str) -> list[dict[str, Any]]:
    """A schema for each place that can hold a text of the author's choice."""
    field: dict[str, Any] = {"name": "a", "type": "string", "default": text, "doc": text, "aliases": [text]}
    record: dict[str, Any] = {"type": "record", "name": "R", "doc": text, "fields": [field]}
    enum = {"type": "enum", "name": "E", "symbols": ["A"], "doc": text, "default": "A"}
    sized = {"type": "fixed", "name": "F", "size": text}
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": text, "scale": text}
    scaled = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": text}
    return [
        record,
        record | {"name": text},
        record | {"namespace": text},
        record | {"fields": [{"name": text, "type": "long", "default": 1}, field]},
        record | {"fields": [{"name": text, "type": ["null", {"type": "array", "items": "long"}]}]},
        record | {"fields": [{"name": text, "type": {"type": "map", "values": enum}}]},
        record | {"fields": [{"name": "e", "type": enum | {"symbols": [text, "A"]}}]},
        record | {"fields": [{"name": "f", "type": sized}]},
        record | {"fields": [{"name": "f", "type": {"type": "fixed", "name": text, "size": 1}}]},
        record | {"fields": [{"name": "d", "type": decimal}]},
        record | {"fields": [{"name": "d", "type": scaled}]},
        record | {"fields": [{"name": "l", "type": {"type": "string", "logicalType": text}}]},
        record | {text: text},
    ]


@pytest.mark.parametrize("text", ATTACKS, ids=range(len(ATTACKS)))
def test_nothing_in_a_schema_is_ever_run(text: str) -> None:
    """Code is made of schemas; what a schema says enters it as a constant or not at all, on every path."""
    builtins.HACKED = hacked = []  # type: ignore[attr-defined]
    older = {"type": "record", "name": "R", "fields": []}
    tried = 0
    try:
        for schema in poisoned(text):
            for made in (
                lambda schema=schema: codec_of(schema).decode(b"\0\0\0\0\1" + bytes(20)),
                lambda schema=schema: Decoder(copy.deepcopy(schema)).read(b"\0", 0),
                lambda schema=schema: Decoder(copy.deepcopy(older), copy.deepcopy(schema)).read(b"", 0),
                lambda schema=schema: Decoder(copy.deepcopy(schema), copy.deepcopy(older)).read(b"\0", 0),
                lambda schema=schema: EncoderFactory(copy.deepcopy(schema), text).encoder(b"")({text: 1}),
                lambda schema=schema: EncoderFactory(copy.deepcopy(schema), text).encoder(b"")({}),
            ):
                try:
                    made()
                except Exception:
                    tried += 1
        assert tried
        assert [] == hacked
    finally:
        del builtins.HACKED  # type: ignore[attr-defined]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_bytes_under_random_schemas_are_read_or_malformed(data: st.DataObject) -> None:
    """No beginning that is good: hypothesis makes schema and bytes."""
    number = data.draw(st.integers(0, len(fuzz_codec.SCHEMAS) - 1))
    fuzz_codec.one_input(b"\2" + number.to_bytes(2, "big") + data.draw(st.binary(max_size=200)))


def test_memory_of_a_large_good_record_grows_with_its_size_only() -> None:
    """A megabyte of text and 100,000 numbers are no attack."""
    schema: Mapping[str, Any] = {
        "type": "record",
        "name": "Large",
        "fields": [{"name": "text", "type": "string"}, {"name": "numbers", "type": {"type": "array", "items": "long"}}],
    }
    data = {"text": "漢" * (1 << 20), "numbers": list(range(100_000))}
    octets = EncoderFactory(dict(schema), "large v1").encoder(b"")(data)

    assert data == within(60, 20 * len(octets), lambda: codec_of(schema).decode(b"\0\0\0\0\1" + octets)).data


@pytest.mark.parametrize(
    ("schema", "match"),
    [
        (DEEP, "levels"),
        (WIDE, "parts"),
        (doubling(40, "long"), "values in each other"),
        ({"type": "fixed", "name": "F", "size": "1) ENGINE=Null"}, "size"),
        ("nothing", "not an Avro schema"),
        (None, "not an Avro schema"),
    ],
    ids=["deep", "wide", "doubled", "size", "unknown", "null"],
)
def test_no_columns_are_made_of_a_schema_that_is_none(schema: Any, match: str) -> None:
    """What the sink asks before it writes a statement: one error for all of it, and soon."""
    with pytest.raises(ValueError, match=match):
        within(60, 200_000_000, lambda: readable_schema(schema))


def test_a_readable_schema_means_what_it_meant() -> None:
    """Those of the catalogue and recursive ones come back as they are; ignored decimals lose the name that lies."""
    for source in [*(schema.schema for type in CATALOGUE.values() for schema in type.versions), NODE, TREE, "long"]:
        assert source == readable_schema(source)
    lying = {"type": "bytes", "logicalType": "decimal", "precision": "2) x", "scale": 0}
    assert "logicalType" not in readable_schema(lying)
