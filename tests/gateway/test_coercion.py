"""JSON becomes Avro data without losing a digit, and every misfit is named by a JSON pointer."""

from __future__ import annotations

import base64
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewire.gateway._json import read_json, write_json
from tradewire.gateway.coercion import ERRORS_MAX, Coercer, pointer
from tradewire.gateway.problems import FieldError, Problem
from tradewire.schemas import Catalogue, Codec, FixedIds

CATALOGUE = Catalogue.load()
CODEC = Codec(CATALOGUE, FixedIds())
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 18}
INNER = {
    "type": "record",
    "name": "Inner",
    "fields": [{"name": "price", "type": DECIMAL}, {"name": "note", "type": ["null", "string"], "default": None}],
}
EVERYTHING = {
    "type": "record",
    "name": "Everything",
    "namespace": "test",
    "fields": [
        {"name": "price", "type": DECIMAL},
        {"name": "maybe", "type": ["null", DECIMAL], "default": None},
        {"name": "count", "type": "int"},
        {"name": "big", "type": "long"},
        {"name": "seen_ns", "type": ["null", "long"], "default": None},
        {"name": "ratio", "type": "double"},
        {"name": "flag", "type": "boolean"},
        {"name": "text", "type": "string"},
        {"name": "raw", "type": "bytes"},
        {"name": "side", "type": {"type": "enum", "name": "Side", "symbols": ["BUY", "SELL"]}},
        {"name": "other_side", "type": ["null", "Side"], "default": None},
        {"name": "inner", "type": INNER},
        {"name": "inners", "type": {"type": "array", "items": "Inner"}},
        {"name": "prices", "type": {"type": "map", "values": DECIMAL}},
    ],
}
GOOD: dict[str, Any] = {
    "price": "61837.63",
    "count": 1,
    "big": 2,
    "ratio": 1,
    "flag": True,
    "text": "x",
    "raw": "AAE=",
    "side": "BUY",
    "inner": {"price": "1"},
    "inners": [],
    "prices": {},
}


def coerce(data: Any, schema: Any = EVERYTHING) -> tuple[Any, list[FieldError]]:
    errors: list[FieldError] = []
    return Coercer(schema)(data, "/data", errors), errors


def strategy(schema: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Avro data of a schema."""
    if isinstance(schema, list):
        return st.one_of([strategy(branch, named) for branch in schema])
    if isinstance(schema, str):
        schema = named.get(schema, {"type": schema})
    kind = schema["type"]
    if kind in ("record", "enum"):
        named[schema["name"]] = schema
        named[f"{schema.get('namespace', '')}.{schema['name']}"] = schema
    if schema.get("logicalType") == "decimal":
        return st.decimals(min_value=-(10**19), max_value=10**19, places=18, allow_nan=False, allow_infinity=False)
    if kind == "record":
        return st.fixed_dictionaries({field["name"]: strategy(field["type"], named) for field in schema["fields"]})
    if kind == "enum":
        return st.sampled_from(schema["symbols"])
    if kind == "array":
        return st.lists(strategy(schema["items"], named), max_size=3)
    if kind == "map":
        return st.dictionaries(TEXT, strategy(schema["values"], named), max_size=3)
    return SIMPLE[kind] if isinstance(kind, str) else strategy(kind, named)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SIMPLE = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "float": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "string": TEXT,
    "bytes": st.binary(max_size=20),
}


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_what_the_gateway_writes_it_reads_back_exactly(data: st.DataObject) -> None:
    """Any data of any event type: as JSON and back it is equal, and so are its Avro bytes."""
    type = data.draw(st.sampled_from(sorted(CATALOGUE)))
    schema = CATALOGUE[type].latest.schema
    drawn = data.draw(strategy(schema, {}))

    made, errors = coerce(read_json(write_json(drawn)), schema)

    assert [] == errors
    assert drawn == made
    assert CODEC.encode(type, drawn, "t") == CODEC.encode(type, made, "t")


@given(st.decimals(min_value=-(10**19), max_value=10**19, places=18, allow_nan=False, allow_infinity=False))
def test_a_decimal_string_keeps_every_digit(price: Decimal) -> None:
    """Also in scientific notation, which some clients write for small numbers."""
    for text in (format(price, "f"), str(price)):
        made, errors = coerce({**GOOD, "price": text})
        assert [] == errors
        assert price == made["price"]


def test_each_kind_of_field_takes_its_json() -> None:
    """Integers are decimals too, longs may be strings of digits, times may be RFC 3339, numbers may be doubles."""
    body = b"""{"price": 61838, "maybe": null, "count": -1, "big": "1723075200123456789", "ratio": 0.1, "flag": false,
        "seen_ns": "2024-08-08T02:00:00.123456789+02:00", "text": "\\u00e9", "raw": "AAE=", "side": "SELL",
        "other_side": "BUY", "inner": {"price": "0.000000000000000001"}, "inners": [{"price": "1", "note": "n"}],
        "prices": {"a/b": "2.5"}}"""

    made, errors = coerce(read_json(body))

    assert [] == errors
    assert Decimal(61838) == made["price"]
    assert 1723075200123456789 == made["big"]
    assert 1723075200123456789 == made["seen_ns"]
    assert 0.1 == made["ratio"]
    assert b"\x00\x01" == made["raw"]
    assert ("SELL", "BUY", "é") == (made["side"], made["other_side"], made["text"])
    assert Decimal("1e-18") == made["inner"]["price"]
    assert {"a/b": Decimal("2.5")} == made["prices"]


@pytest.mark.parametrize(
    ("field", "json", "at", "said"),
    [
        ("price", "61837.63", "/data/price", 'write a string, "61837.63"'),
        ("price", "1e2", "/data/price", "write a string"),
        ("price", '"NaN"', "/data/price", "must be a decimal as a string"),
        ("price", '"1_000"', "/data/price", "must be a decimal as a string"),
        ("price", '" 1"', "/data/price", "must be a decimal as a string"),
        ("price", '"\\u0661"', "/data/price", "must be a decimal as a string"),
        ("price", "true", "/data/price", "not true"),
        ("price", "null", "/data/price", "not null"),
        ("price", '"0.1234567890123456789"', "/data/price", "more than 18 decimal places"),
        ("price", '"123456789012345678901"', "/data/price", "more than 20 digits"),
        ("maybe", "1.5", "/data/maybe", "write a string"),
        ("count", "2147483648", "/data/count", "does not fit 32 bits"),
        ("count", "1.0", "/data/count", "must be an integer, not the number 1.0"),
        ("big", '"9223372036854775808"', "/data/big", "does not fit 64 bits"),
        ("big", "true", "/data/big", "must be an integer"),
        ("big", '"2024-08-08T00:00:00Z"', "/data/big", "must be an integer"),
        ("seen_ns", '"2024-08-08T00:00:00"', "/data/seen_ns", "with an offset"),
        ("seen_ns", '"2024-08-08T00:00:00.1234567891Z"', "/data/seen_ns", "finer than a nanosecond"),
        ("ratio", '"1"', "/data/ratio", "must be a number"),
        ("ratio", "1e999", "/data/ratio", "64 bits"),
        ("flag", "1", "/data/flag", "must be true or false"),
        ("text", "1", "/data/text", "must be a string"),
        ("text", '"\\ud800"', "/data/text", "surrogate"),
        ("raw", '"?"', "/data/raw", "base64"),
        ("side", '"HOLD"', "/data/side", "must be one of BUY, SELL, not the string 'HOLD'"),
        ("other_side", '"HOLD"', "/data/other_side", "must be one of BUY, SELL"),
        ("inner", "[]", "/data/inner", "must be an object, not an array"),
        ("inner", "{}", "/data/inner/price", "is missing"),
        ("inner", '{"price": "1", "nite": null}', "/data/inner/nite", "did you mean 'note'?"),
        ("inners", '[{"price": "1"}, {"price": 1.5}]', "/data/inners/1/price", "write a string"),
        ("prices", '{"a/b~c": 1.5}', "/data/prices/a~1b~0c", "write a string"),
        ("prise", '"1"', "/data/prise", "did you mean 'price'?"),
    ],
)
def test_a_misfit_is_named_by_its_pointer(field: str, json: str, at: str, said: str) -> None:
    """One field at fault gives one error, and it names that field."""
    body = {**GOOD, field: read_json(json.encode())}

    _, errors = coerce(body)

    assert [at] == [error.where for error in errors]
    assert said in errors[0].detail


def test_all_misfits_are_told_at_once_up_to_a_limit() -> None:
    """A client corrects its event in one go; a body of nothing but errors is not answered with a book."""
    _, errors = coerce({"price": 1.5, "inners": [{"price": True}] * 100})

    named = {error.where for error in errors}
    assert {"/data/count", "/data/side", "/data/price"} <= named or len(errors) >= ERRORS_MAX
    assert {"/data/count", "/data/big", "/data/inner"} <= named
    assert len(errors) < ERRORS_MAX + 5


def test_a_record_may_hold_itself() -> None:
    """A user's schema may be recursive; ours are not."""
    node = {
        "type": "record",
        "name": "Node",
        "fields": [{"name": "price", "type": DECIMAL}, {"name": "next", "type": ["null", "Node"], "default": None}],
    }

    made, errors = coerce({"price": "1", "next": {"price": "2", "next": {"price": 0.5}}}, node)

    assert ["/data/next/next/price"] == [error.where for error in errors]
    assert Decimal(2) == made["next"]["price"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"a": 1,}', "not JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1, "a": 2}', "'a' is given twice"),
        (b"\xff", "not UTF-8"),
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": ' + b"1" * 10_000 + b"}", "not JSON"),
    ],
)
def test_what_is_not_json_is_refused(body: bytes, said: str) -> None:
    """Including what Python's parser would take: NaN, and a name that hides another."""
    with pytest.raises(Problem) as caught:
        read_json(body)

    assert 400 == caught.value.status
    assert said in str(caught.value)


def test_answers_have_decimals_as_plain_strings_and_no_float_for_them() -> None:
    """No exponent, no lost zero; bytes are base64; what is not JSON is refused rather than written."""
    assert b'{"a":"0.000000000000000001","b":"61837.630","c":[1],"d":"AAE="}' == write_json(
        {"a": Decimal("1e-18"), "b": Decimal("61837.630"), "c": (1,), "d": base64.b64decode("AAE=")}
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"a": math.nan})


def test_pointers_escape_as_rfc_6901_says() -> None:
    """A slash in a name is not a step."""
    assert "/a~1b/m~0n/0" == pointer(pointer(pointer("", "a/b"), "m~n"), 0)
