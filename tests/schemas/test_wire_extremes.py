"""The edges of what every type can hold, written byte for byte as fastavro writes it and read back as it was."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.schemas.generated import fastavro_bytes, fastavro_value

from tradewire.core import EventInvalid
from tradewire.schemas import Catalogue, EventSchema
from tradewire.schemas._compiled_decoder import Decoder
from tradewire.schemas._compiled_encoder import EncoderFactory

VERSIONS = [schema for type in Catalogue.load().values() for schema in type.versions]
TEXTS = (
    "",
    "\0",
    "a\0b",
    "\u202eright to left \u05d0\u05d1",
    "\U0001f469\u200d\U0001f680",  # an astronaut: three code points, one sign
    "e\u0301",  # not normalised, and it must not be
    "\ufeff",
    "\uffff\U0010ffff",
    "\u2028\n\r\t\x7f",
    "x" * 127,
    "x" * 128,
    "ü" * 4_096,
)
LONGS = (0, -1, 1, 63, 64, -64, -65, (1 << 31) - 1, 1 << 31, (1 << 53) + 1, (1 << 63) - 1, -(1 << 63))
INTS = (0, -1, 63, -65, (1 << 31) - 1, -(1 << 31))
DOUBLES = (0.0, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan"), 0.1)
FLOATS = (0.0, -0.0, 1.5, 3.4028234663852886e38, float("inf"), float("nan"))


def decimals(precision: int, scale: int) -> list[Decimal]:
    """Zeros of several exponents, the largest and the smallest, one digit at each end, and both sides of each byte."""
    most = 10**precision - 1
    numbers = [0, 1, -1, most, -most, 10**scale, -(10**scale)]
    numbers += [sign * n for bits in range(7, 128, 24) for n in (1 << bits, (1 << bits) - 1) for sign in (1, -1)]
    made = [Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -scale)) for n in numbers if abs(n) <= most]
    zeros = [Decimal("0"), Decimal("-0"), Decimal((0, (0,), -scale)), Decimal("0E+5")]
    return made + zeros + [Decimal(1)] * (precision > scale) + [Decimal("1E+1")] * (precision > scale + 1)


class Edges:
    """Data of a schema in which each leaf takes its edges in turn: the n-th datum has the n-th edge of every leaf."""

    def __init__(self, schema: Any) -> None:
        self._named: dict[str, Any] = {}
        self.parsed = fastavro.parse_schema(copy.deepcopy(schema), self._named)
        self.count = 0

    def data(self) -> Iterator[Any]:
        n = 0
        while n <= self.count:
            yield self._value(self.parsed, n, 0)
            n += 1

    def _pick(self, edges: Any, n: int) -> Any:
        self.count = max(self.count, len(edges))
        return edges[n % len(edges)]

    def _value(self, schema: Any, n: int, depth: int) -> Any:
        if isinstance(schema, str):
            schema = self._named.get(schema, {"type": schema})
        if isinstance(schema, list):
            branches = [branch for branch in schema if branch == "null"] if depth > 4 else schema
            return self._value(self._pick(branches or schema, n), n // max(1, len(branches)), depth)
        kind = schema["type"]
        if kind == "record":
            return {field["name"]: self._value(field["type"], n, depth + 1) for field in schema["fields"]}
        if kind == "array":
            count = 0 if depth > 4 else self._pick((0, 1, 65), n)
            return [self._value(schema["items"], n + item, depth + 2) for item in range(count)]
        if kind == "map":
            count = 0 if depth > 4 else self._pick((0, 1, 65), n)
            return {
                TEXTS[item % 11] + str(item): self._value(schema["values"], n + item, depth + 2)
                for item in range(count)
            }
        if schema.get("logicalType") == "decimal":
            return self._pick(decimals(schema["precision"], schema.get("scale", 0)), n)
        edges = {"string": TEXTS, "long": LONGS, "int": INTS, "double": DOUBLES, "float": FLOATS, "null": (None,)}
        edges |= {"boolean": (True, False), "bytes": (b"", b"\0", bytes(range(256)))}
        return self._pick(schema["symbols"] if kind == "enum" else edges[kind], n)


@pytest.mark.parametrize("schema", VERSIONS, ids=lambda schema: f"{schema.type}-v{schema.version}")
def test_the_edges_of_every_type_are_the_oracles_bytes(schema: EventSchema) -> None:
    """Every symbol, every branch, every edge of every leaf, lists and maps of none to 65, whose count has two bytes."""
    factory = EncoderFactory(json.loads(schema.text), schema.type)
    encode, decoder = factory.encoder(b""), Decoder(json.loads(schema.text))
    edges = Edges(schema.schema)
    for data in edges.data():
        octets = encode(data)

        assert fastavro_bytes(edges.parsed, data) == octets
        assert repr(fastavro_value(edges.parsed, octets)) == repr(decoder.read(octets, 0))
    assert edges.count > 1


def record_of(type: Any) -> dict[str, Any]:
    return {"type": "record", "name": "Made", "fields": [{"name": "f", "type": type}]}


def decimal_of(precision: int, scale: int, size: int | None = None) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": "bytes"} if size is None else {"type": "fixed", "name": "Amount", "size": size}
    return kind | {"logicalType": "decimal", "precision": precision, "scale": scale}


@pytest.mark.parametrize(
    ("precision", "scale", "size"),
    [
        *((1, 0, None), (1, 1, None), (9, 2, None), (18, 18, None), (38, 18, None), (38, 0, None), (76, 38, None)),
        *((2, 0, 1), (18, 9, 8), (38, 18, 16), (76, 30, 32)),
    ],
)
def test_decimals_of_any_precision_at_their_edges(precision: int, scale: int, size: int | None) -> None:
    """What fits comes back equal; one digit or one place more, NaN and the infinities are refused by name."""
    schema = record_of(decimal_of(precision, scale, size))
    encode, read = EncoderFactory(schema, "t").encoder(b""), Decoder(schema).read
    for value in decimals(precision, scale):
        assert value == read(encode({"f": value}), 0)["f"]
    for refused in (
        Decimal((0, (1,), -scale - 1)),
        Decimal((1, (1,), -scale - 1)),
        Decimal((0, (0,), -scale - 1)),
        Decimal((0, (1,), precision - scale)),
        Decimal((1, (1,), precision - scale)),
        Decimal((0, (1,), 999_999_999)),
        Decimal((0, (1,), -999_999_999)),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-NaN123"),
        Decimal("Infinity"),
        Decimal("-Infinity"),
    ):
        with pytest.raises(EventInvalid, match="field 'f'"):
            encode({"f": refused})


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.text(), st.lists(st.integers(-(1 << 31), (1 << 31) - 1), max_size=9))
@settings(max_examples=300)
def test_any_time_and_text_are_the_oracles_bytes(time_ns: int, text: str, numbers: list[int]) -> None:
    """Half a surrogate pair is refused by name, all other text is written."""
    data = {"time_ns": time_ns, "text": text, "numbers": numbers, "by_text": {text: time_ns}}
    try:
        octets = WRITE(data)
    except EventInvalid as error:
        assert "surrogate" in str(error)
        with pytest.raises(UnicodeEncodeError):
            text.encode()
        return
    assert fastavro_bytes(MIXED_PARSED, data) == octets
    assert data == READ(octets, 0)


MIXED: dict[str, Any] = {
    "type": "record",
    "name": "Mixed",
    "fields": [
        {"name": "time_ns", "type": "long"},
        {"name": "text", "type": "string"},
        {"name": "numbers", "type": {"type": "array", "items": "int"}},
        {"name": "by_text", "type": {"type": "map", "values": "long"}},
    ],
}
MIXED_PARSED = fastavro.parse_schema(copy.deepcopy(MIXED))
WRITE = EncoderFactory(MIXED, "t").encoder(b"")
READ = Decoder(MIXED).read


def test_large_values_are_the_oracles_bytes() -> None:
    """A megabyte of each: text of four-byte signs, numbers, entries of a map."""
    pick = random.Random(2)
    data = {
        "time_ns": 1,
        "text": "\U0001f680" * (1 << 18),
        "numbers": [pick.getrandbits(31) for _ in range(200_000)],
        "by_text": {f"key {n}": pick.getrandbits(63) for n in range(50_000)},
    }
    octets = WRITE(data)

    assert fastavro_bytes(MIXED_PARSED, data) == octets
    assert data == READ(octets, 0)


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 1 << 200, -(1 << 200)])
def test_times_beyond_64_bits_are_refused(number: int) -> None:
    with pytest.raises(EventInvalid, match="time_ns"):
        WRITE({"time_ns": number, "text": "", "numbers": [], "by_text": {}})
