"""What implementations of Avro hold each other to: binary forms of the specification, schemas that must parse and those
that must not, data that must be rejected. The shapes of the cases follow Apache Avro's own (``share/test/data``,
``lang/py/avro/test/test_schema.py``, ``test_io.py``); everything goes through ``Codec``, as a record from Kafka would.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from tradewire.core import MalformedRecord
from tradewire.schemas import Catalogue, Codec, FixedIds
from tradewire.schemas._compiled_decoder import Decoder
from tradewire.schemas._compiled_encoder import EncoderFactory


class Only(FixedIds):
    """A registry that holds one schema, whatever it may be."""

    def __init__(self, schema: Any) -> None:
        super().__init__()
        self._schema = schema

    def schema_of(self, schema_id: int) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._schema
        return found


def decode(schema: Any, octets: bytes) -> Any:
    return Codec(Catalogue({}), Only(schema)).decode(b"\0\0\0\0\1" + octets).data


def encode(schema: Any, data: Any) -> bytes:
    return EncoderFactory(copy.deepcopy(schema), "interop v1").encoder(b"")(data)


def resolve(writer: Any, reader: Any, octets: bytes) -> Any:
    return Decoder(copy.deepcopy(writer), copy.deepcopy(reader)).read(octets, 0)


def record(*fields: Any, name: str = "Made") -> dict[str, Any]:
    named = [{"name": f"f{number}", "type": type} for number, type in enumerate(fields)]
    return {"type": "record", "name": name, "fields": named}


LONGS = [
    (0, "00"),
    (-1, "01"),
    (1, "02"),
    (-2, "03"),
    (2, "04"),
    (-64, "7f"),
    (64, "8001"),
    (8192, "808001"),
    (-8193, "818001"),
    ((1 << 31) - 1, "feffffff0f"),
    (-(1 << 31), "ffffffff0f"),
]
FIXED_DECIMAL = {"type": "fixed", "name": "D", "size": 8, "logicalType": "decimal", "precision": 5, "scale": 4}
BINARY = [
    *[("int", number, octets) for number, octets in LONGS],
    *[("long", number, octets) for number, octets in LONGS],
    ("long", (1 << 63) - 1, "feffffffffffffffff01"),
    ("long", -(1 << 63), "ffffffffffffffffff01"),
    ("null", None, ""),
    ("boolean", True, "01"),
    ("boolean", False, "00"),
    ("float", 1.0, "0000803f"),
    ("float", math.inf, "0000807f"),
    ("double", -2.5, "00000000000004c0"),
    ("bytes", b"\x00\xff", "0400ff"),
    ("bytes", b"", "00"),
    ("string", "foo", "06666f6f"),
    ("string", "\U0001f680", "08f09f9a80"),
    (record("long", "string"), {"f0": 27, "f1": "foo"}, "3606666f6f"),
    ({"type": "array", "items": "long"}, [3, 27], "04063600"),
    ({"type": "array", "items": "long"}, [], "00"),
    ({"type": "map", "values": "long"}, {"a": 1}, "0202610200"),
    (["null", "string"], None, "00"),
    (["null", "string"], "a", "020261"),
    ({"type": "enum", "name": "Foo", "symbols": ["A", "B", "C", "D"]}, "D", "06"),
    ({"type": "fixed", "name": "md5", "size": 16}, bytes(range(16)), bytes(range(16)).hex()),
    ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 4}, Decimal("3.1415"), "047ab7"),
    ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 4}, Decimal("-3.1415"), "048549"),
    (FIXED_DECIMAL, Decimal("-3.1415"), "ffffffffffff8549"),
    ({"type": "bytes", "logicalType": "decimal", "precision": 1}, Decimal("3"), "0203"),
]


@pytest.mark.parametrize(("schema", "data", "octets"), BINARY, ids=lambda part: str(part)[:40])
def test_the_specifications_binary_forms_both_ways(schema: Any, data: Any, octets: str) -> None:
    """Avro 1.12, "Binary encoding": the bytes, and nothing but them."""
    assert bytes.fromhex(octets) == encode(schema, data)
    assert data == decode(schema, bytes.fromhex(octets))


ARRAY = {"type": "array", "items": "long"}
MAP = {"type": "map", "values": "long"}


@pytest.mark.parametrize(
    ("schema", "octets", "data"),
    [
        (ARRAY, "0304063600", [3, 27]),
        (ARRAY, "0206023600", [3, 27]),
        (ARRAY, "010206010236" + "00", [3, 27]),
        (ARRAY, "02060304024000", [3, 1, 32]),
        (ARRAY, "8480000636" + "00", [3, 27]),
        (ARRAY, "0402fe01" + "00", [1, 127]),
        (MAP, "02026102" + "02026104" + "00", {"a": 2}),
        (MAP, "0106026102" + "00", {"a": 1}),
        (MAP, "040261020261" + "0400", {"a": 2}),
        (record({"type": "array", "items": "null"}), "0600", {"f0": [None] * 3}),
    ],
)
def test_blocks_of_other_writers_are_read(schema: Any, octets: str, data: Any) -> None:
    """Several blocks, negative counts with their size in bytes, superfluous zeros in a varint, a key twice."""
    assert data == decode(schema, bytes.fromhex(octets))


ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
REJECTED = [
    ("long", "80808080808080808080", "a varint that does not end in 10 bytes"),
    ("long", "8080808080808080808000", "nor in 11"),
    ("long", "ffffffffffffffffff02", "65 bits"),
    ("int", "8080808080", "a varint that does not end in 5 bytes"),
    ("int", "808080808000", "nor in 6, which a long may have"),
    ("int", "8080808010", "33 bits"),
    ({"type": "array", "items": "int"}, "ffffffffffffffffff0102", "the count whose negation does not exist"),
    ({"type": "array", "items": "null"}, "ffffffffffffffffff0100", "the same of nulls"),
    ({"type": "map", "values": "null"}, "ffffffffffffffffff0100", "the same of a map"),
    ({"type": "array", "items": "null"}, "feffffffffffffffff0100", "2^63 nulls"),
    ({"type": "array", "items": record()}, "feffffffffffffff7f00", "2^62 empty records"),
    ({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}, "feffffffffffffff7f00", "of no bytes"),
    (ARRAY, "0302063600", "a block longer than its size"),
    (ARRAY, "0306063600", "a block shorter than its size"),
    (ARRAY, "0303063600", "a negative block size"),
    (ARRAY, "03feffffffffffffff7f063600", "a block size beyond the bytes"),
    ("bytes", "01", "a negative length"),
    ("string", "01", "a negative length"),
    ("string", "feffffffffffffffff01", "a length of 2^63 - 1"),
    ("string", "04c328", "not UTF-8"),
    ("string", "06eda080", "half a surrogate pair"),
    ("string", "04c080", "an overlong zero"),
    (MAP, "0201610200", "a negative length of a key"),
    (MAP, "0202ff0200", "a key that is not UTF-8"),
    (["null", "int"], "01", "branch -1"),
    (["null", "int"], "0a", "branch 5"),
    (["null", "int"], "feffffffffffffffff01", "branch 2^63 - 1"),
    (ENUM, "01", "symbol -1"),
    (ENUM, "0a", "symbol 5"),
    (ENUM, "8004", "symbol 256"),
    ("boolean", "02", "neither true nor false"),
    ("boolean", "ff", "neither true nor false"),
    ("float", "000000", "three of four bytes"),
    ("double", "00000000000000", "seven of eight bytes"),
    ({"type": "fixed", "name": "F", "size": 4}, "000000", "three of four bytes"),
    ("long", "", "nothing"),
    ("null", "00", "a byte behind nothing"),
    ("long", "0200", "a byte behind the data"),
    ({"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 2}, "0403e9", "four digits"),
    ({"type": "int", "logicalType": "date"}, "feffffff0f", "a day after the year 9999"),
    ({"type": "long", "logicalType": "timestamp-micros"}, "feffffffffffffffff01", "a time after the year 9999"),
    ({"type": "string", "logicalType": "uuid"}, "0478", "no UUID"),
]


@pytest.mark.parametrize(("schema", "octets", "why"), REJECTED, ids=[why for _, _, why in REJECTED])
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside"])
def test_data_that_must_be_rejected_is(schema: Any, octets: str, why: str, inside: bool) -> None:
    """Avro's shared vectors (AVRO-4304) and their kin, alone and between other fields."""
    if inside:
        schema = record("string", schema, name="Outer")
        octets = "0261" + octets
    with pytest.raises(MalformedRecord, match="do not fit the schema"):
        decode(schema, bytes.fromhex(octets))


INTEROP = {
    "type": "record",
    "name": "Interop",
    "namespace": "org.example",
    "fields": [
        {"name": "i", "type": "int"},
        {"name": "l", "type": "long"},
        {"name": "s", "type": "string"},
        {"name": "b", "type": "boolean"},
        {"name": "f", "type": "float"},
        {"name": "d", "type": "double"},
        {"name": "n", "type": "null"},
        {"name": "a", "type": {"type": "array", "items": "double"}},
        {
            "name": "m",
            "type": {
                "type": "map",
                "values": {"name": "Foo", "type": "record", "fields": [{"name": "label", "type": "string"}]},
            },
        },
        {"name": "u", "type": ["boolean", "double", {"type": "array", "items": "bytes"}]},
        {"name": "e", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B", "C"]}},
        {"name": "x", "type": {"type": "fixed", "name": "MD5", "size": 16}},
        {"name": "x2", "type": "MD5"},
        {
            "name": "r",
            "type": {
                "type": "record",
                "name": "Node",
                "fields": [
                    {"name": "label", "type": "string"},
                    {"name": "children", "type": {"type": "array", "items": "Node"}},
                ],
            },
        },
    ],
}
LISP = {
    "type": "record",
    "name": "Lisp",
    "fields": [
        {
            "name": "value",
            "type": [
                "null",
                "string",
                {
                    "type": "record",
                    "name": "Cons",
                    "fields": [{"name": "car", "type": "Lisp"}, {"name": "cdr", "type": "Lisp"}],
                },
            ],
        }
    ],
}


def linked(name: str) -> dict[str, Any]:
    fields = [{"name": "value", "type": "int"}, {"name": "next", "type": ["null", name]}]
    return {"type": "record", "name": name, "fields": fields}


def test_data_of_every_construct_come_back() -> None:
    """Recursion, names in namespaces, unions of three, and types named like Avro's own."""
    data: dict[str, Any] = {"i": 12, "l": 15234324, "s": "hey", "b": True, "f": 1234.0, "d": -1234.0, "n": None}
    data |= {"a": [5.0, 0.0, 12.0], "m": {"a": {"label": "a"}, "bee": {"label": "b"}}, "u": 12.5, "e": "C"}
    data |= {"x": b"1019181716151413", "x2": bytes(16)}
    data |= {"r": {"label": "blah", "children": [{"label": "inner", "children": []}]}}
    pair = {"value": {"car": {"value": "head"}, "cdr": {"value": None}}}

    assert data == decode(INTEROP, encode(INTEROP, data))
    assert pair == decode(LISP, encode(LISP, pair))
    for name in ("Node", "record", "ns.long", "ns.int", "fixed"):
        chain = {"value": 0, "next": {"value": 1, "next": None}}
        assert chain == decode(linked(name), encode(linked(name), chain))


def decimal(**more: Any) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal"} | more


def fixed_decimal(size: int, **more: Any) -> dict[str, Any]:
    return {"type": "fixed", "name": "F", "size": size, "logicalType": "decimal"} | more


@pytest.mark.parametrize(
    ("schema", "octets", "data"),
    [
        ({"type": "string"}, "0261", "a"),
        ({"type": "fixed", "name": "N", "namespace": None, "size": 1}, "61", b"a"),
        ({"type": "fixed", "name": "N", "namespace": "", "size": 1}, "61", b"a"),
        ({"type": "enum", "name": "record", "symbols": ["A", "B"]}, "02", "B"),
        ({"type": "enum", "name": "ns.int", "symbols": ["A", "B"]}, "02", "B"),
        ({"type": "enum", "namespace": "ns", "name": "int", "symbols": ["A", "B"]}, "02", "B"),
        ({"type": "error", "name": "Test", "fields": [{"name": "f", "type": "long"}]}, "02", {"f": 1}),
        ({"type": "map", "values": "long", "cp_boolean": True, "doc": 5}, "00", {}),
        ({"type": "string", "logicalType": "unknown-logical-type"}, "0261", "a"),
        ({"type": "string", "logicalType": 5}, "0261", "a"),
        ({"type": "long", "logicalType": "date"}, "02", 1),
        ({"type": "long", "logicalType": "time-millis"}, "02", 1),
        ({"type": "int", "logicalType": "timestamp-micros"}, "02", 1),
        ({"type": "float", "logicalType": "decimal", "precision": 2, "scale": 0}, "0000803f", 1.0),
        (decimal(scale=0), "0201", b"\1"),
        (decimal(precision=2.4, scale=0), "0201", b"\1"),
        (decimal(precision="4"), "0201", b"\1"),
        (decimal(precision=True), "0201", b"\1"),
        (decimal(precision=0), "0201", b"\1"),
        (decimal(precision=2, scale=-2), "0201", b"\1"),
        (decimal(precision=-2, scale=2), "0201", b"\1"),
        (decimal(precision=2, scale=3), "0201", b"\1"),
        (decimal(precision=4), "0201", Decimal(1)),
        (fixed_decimal(1, precision=-10, scale=2), "01", b"\1"),
        (fixed_decimal(1, scale=2), "01", b"\1"),
        (fixed_decimal(1, precision=3), "01", b"\1"),
        (fixed_decimal(8, precision=18), "0000000000000001", Decimal(1)),
        (fixed_decimal(8, precision=19), "0000000000000001", bytes(7) + b"\1"),
        (fixed_decimal(129, precision=311), "00" * 128 + "01", bytes(128) + b"\1"),
        (fixed_decimal(129, precision=310), "00" * 128 + "01", Decimal(1)),
        ({"type": "record", "name": "E", "fields": []}, "", {}),
    ],
    ids=lambda part: str(part)[:70],
)
def test_schemas_that_must_parse_do(schema: Any, octets: str, data: Any) -> None:
    """A logical type that is unknown, incomplete or on the wrong type is ignored: the data is of the type below."""
    assert data == decode(schema, bytes.fromhex(octets))


@pytest.mark.parametrize(
    "schema",
    [
        "True",
        "panther",
        "",
        None,
        5,
        True,
        {},
        {"no_type": "test"},
        {"type": "panther"},
        {"type": None},
        {"type": "fixed", "name": "Missing size"},
        {"type": "fixed", "size": 314},
        {"type": "fixed", "name": "F", "size": -2},
        {"type": "fixed", "name": "F", "size": "4"},
        {"type": "fixed", "name": "F", "size": 1.5},
        {"type": "fixed", "name": "F", "size": True},
        fixed_decimal(-2, precision=2, scale=2),
        {"type": "enum", "name": "Bad", "symbols": ["A"], "default": "B"},
        {"type": "enum", "name": "Status", "symbols": "Normal Caution Critical"},
        {"type": "enum", "name": [0, 1, 1, 2, 3, 5, 8], "symbols": ["Golden", "Mean"]},
        {"type": "enum", "symbols": ["I", "will", "fail", "no", "name"]},
        {"type": "enum", "name": "Test", "symbols": ["AA", "AA"]},
        {"type": "enum", "name": "Test", "symbols": ["white space"]},
        {"type": "enum", "name": "Test", "symbols": [1]},
        {"type": "enum", "name": "Test"},
        {"type": "array"},
        {"type": "array", "items": "nope"},
        {"type": "map"},
        ["null", "null"],
        ["long", "long"],
        [ARRAY, {"type": "array", "items": "string"}],
        [["null", "long"], "string"],
        ["string", {"type": "string", "logicalType": "uuid"}],
        record({"type": "fixed", "name": "X", "size": 1}, {"type": "fixed", "name": "X", "size": 2}),
        {"type": "record", "name": "A", "fields": "His vision, from the constantly passing bars"},
        {"type": "record", "name": ["Tom", "Jerry"], "fields": []},
        {"type": "record", "name": "A", "fields": [{"type": "string"}, {"name": "City", "type": "string"}]},
        {"type": "record", "name": "A", "fields": [{"name": "Sponsor"}]},
        {"type": "record", "name": "A", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "long"}]},
        {"type": "record", "name": "A", "fields": [{"name": "a", "type": "B"}]},
    ],
    ids=lambda schema: str(schema)[:70],
)
def test_schemas_that_must_not_parse_make_their_records_malformed(schema: Any) -> None:
    """A registry holds them or somebody gives them out as its own; either way the reader goes on."""
    with pytest.raises(MalformedRecord, match="not an Avro schema"):
        decode(schema, b"\0")


DEFAULTS = [
    ("null", None, None),
    ("boolean", True, True),
    ("string", "foo", "foo"),
    ("bytes", "\u00ff\u00ff", b"\xff\xff"),
    ("int", 5, 5),
    ("long", 5, 5),
    ("float", 1.1, 1.100000023841858),
    ("double", 1.1, 1.1),
    ("double", 1, 1.0),
    ({"type": "fixed", "name": "F", "size": 2}, "\u00ff\u00ff", b"\xff\xff"),
    ({"type": "enum", "name": "F", "symbols": ["FOO", "BAR"]}, "FOO", "FOO"),
    ({"type": "array", "items": "int"}, [1, 2, 3], [1, 2, 3]),
    ({"type": "map", "values": "int"}, {"a": 1, "b": 2}, {"a": 1, "b": 2}),
    (["int", "null"], 5, 5),
    (record("int", name="R"), {"f0": 5}, {"f0": 5}),
]


@pytest.mark.parametrize(("type", "default", "expected"), DEFAULTS, ids=lambda part: str(part)[:30])
def test_defaults_fill_fields_that_the_writer_did_not_have(type: Any, default: Any, expected: Any) -> None:
    """Every type's default, as the specification spells it in JSON."""
    older = record("long")
    newer = copy.deepcopy(older)
    newer["fields"].append({"name": "H", "type": type, "default": default})

    assert {"f0": 1, "H": expected} == resolve(older, newer, b"\2")


@pytest.mark.parametrize(("written", "read"), [(a, b) for a in range(4) for b in range(a, 4)])
def test_numbers_are_promoted(written: int, read: int) -> None:
    """219 as int, long, float and double is 219 to every wider one."""
    kinds = ("int", "long", "float", "double")
    value = resolve(kinds[written], kinds[read], encode(kinds[written], 219))

    assert 219 == value
    assert isinstance(value, float if read > 1 else int)


@pytest.mark.parametrize(("written", "read"), [(b, a) for a in range(4) for b in range(a + 1, 4)])
def test_numbers_are_never_narrowed(written: int, read: int) -> None:
    """A long does not become an int, however small it is."""
    kinds = ("int", "long", "float", "double")
    with pytest.raises(Exception, match="cannot be read as"):
        resolve(kinds[written], kinds[read], encode(kinds[written], 2))
