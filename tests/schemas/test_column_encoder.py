"""The encoder for columns: the bytes of the encoder for dicts, or no bytes at all."""

from __future__ import annotations

import copy
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.schemas.generated import DataMaker, SchemaMaker, spoil

from tradewire.core import EventInvalid
from tradewire.schemas import Catalogue
from tradewire.schemas._compiled_encoder import EncoderFactory
from tradewire.schemas.column_encoder import ColumnEncoder, Unscaled

SCHEMAS = [type.latest for type in Catalogue.load().values()]


def check_against_dicts(schema: Any, maker: DataMaker, pick: random.Random, *, must_encode: bool) -> None:
    """Whole and spoiled rows: equal bytes, and nothing is taken that the encoder for dicts refuses."""
    names = [field["name"] for field in schema["fields"]]
    one = EncoderFactory(copy.deepcopy(schema), "made.up.type v1").encoder(b"frame")
    encoder = ColumnEncoder(copy.deepcopy(schema), "made.up.type v1")
    rows = [maker.make() for _ in range(pick.choice((1, 7, 40)))]
    rows = [row for row in rows if all(name in row for name in names)]
    columns = {name: [row[name] for row in rows] for name in names}
    expected = [one(row) for row in rows]
    found = encoder.encode(b"frame", columns, len(rows))
    assert found == expected if must_encode else found in (expected, None)
    for _ in range(6):
        if not rows or not names:
            return
        bad, name = pick.randrange(len(rows)), pick.choice(names)
        spoiled = [*rows[:bad], spoil(rows[bad], pick), *rows[bad + 1 :]]
        if not all(isinstance(row, dict) and set(row) == set(names) for row in spoiled):
            continue
        found = encoder.encode(b"frame", columns | {name: [row[name] for row in spoiled]}, len(rows))
        mixed = [row | {name: other[name]} for row, other in zip(rows, spoiled, strict=True)]
        if found is None:
            continue
        assert found == [one(row) for row in mixed]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.type)
def test_columns_of_every_event_type_become_the_bytes_of_its_dicts(schema: Any) -> None:
    """And no type is left to the slow way."""
    for seed in range(6):
        check_against_dicts(schema.schema, DataMaker(schema.schema, seed), random.Random(seed), must_encode=True)


@pytest.mark.parametrize("chunk", range(4))
def test_columns_of_generated_schemas_become_the_bytes_of_their_dicts(chunk: int) -> None:
    """Every construct of Avro; a type that only fastavro writes is left to the encoder for dicts."""
    for seed in range(chunk, 240, 4):
        schema = SchemaMaker(seed).record()
        check_against_dicts(schema, DataMaker(schema, seed), random.Random(seed), must_encode=False)


@given(st.lists(st.integers(-(10**25), 10**25) | st.none(), min_size=1, max_size=30), st.integers(0, 24))
def test_unscaled_numbers_are_the_decimals_that_they_stand_for(numbers: list[int | None], scale: int) -> None:
    """At any scale: the same bytes, and refused where the decimals are."""
    kind = ["null", {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 18}]
    schema = {"type": "record", "name": "Made", "fields": [{"name": "price", "type": kind}]}
    column = Unscaled(numbers, scale)
    one = EncoderFactory(copy.deepcopy(schema), "made.up.type v1").encoder(b"")
    try:
        expected: Any = [one({"price": value}) for value in column.decimals()]
    except EventInvalid:
        expected = None

    found = ColumnEncoder(schema, "made.up.type v1").encode(b"", {"price": column}, len(numbers))
    # Zeros behind the last place count as places in a Decimal, whose exponent says so, and not in a bare number.
    assert found == expected or (expected is None and scale > 18 and found is not None)


@given(st.lists(st.integers(1 << 55, (1 << 62) - 1) | st.sampled_from([1 << 55, (1 << 62) - 1]), max_size=70))
def test_times_are_spread_into_the_bytes_of_their_varints(times: list[int]) -> None:
    """All at once, and each as if it were alone; from the least to the largest number of nine bytes."""
    schema = {"type": "record", "name": "Made", "fields": [{"name": "time_ns", "type": "long"}]}
    one = EncoderFactory(copy.deepcopy(schema), "made.up.type v1").encoder(b"")

    found = ColumnEncoder(schema, "made.up.type v1").encode(b"", {"time_ns": times}, len(times))
    assert found == [one({"time_ns": time_ns}) for time_ns in times]


def test_unscaled_numbers_are_no_whole_numbers() -> None:
    """A price in cents must not slip into a count."""
    encoder = ColumnEncoder({"type": "record", "name": "Made", "fields": [{"name": "n", "type": "long"}]}, "made v1")

    assert encoder.encode(b"", {"n": Unscaled([150], 2)}, 1) is None
    assert encoder.encode(b"", {"n": [150]}, 1) == [b"\xac\x02"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 1),
        ("long", 1.0),
        ("long", True),
        ("long", 1 << 63),
        ("int", 1 << 31),
        ("boolean", 1),
        ("double", Decimal(1)),
        ({"type": "enum", "name": "Side", "symbols": ["BUY"]}, "buy"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, 1.5),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, Decimal("1.001")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, Decimal("0E-9")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, Decimal("NaN")),
        (["null", {"type": "array", "items": "int"}], ("int", 1)),
    ],
)
@pytest.mark.parametrize("repeated", [1, 8])
def test_a_value_that_does_not_fit_gives_no_bytes(kind: Any, value: Any, repeated: int) -> None:
    """Also where it comes again and again, so that each different value is looked at once."""
    encoder = ColumnEncoder({"type": "record", "name": "Made", "fields": [{"name": "f", "type": kind}]}, "made v1")

    assert encoder.encode(b"", {"f": [value] * repeated}, repeated) is None


def test_a_column_too_many_or_too_few_is_named() -> None:
    """A field with a default needs no column."""
    fields = [{"name": "a", "type": "int"}, {"name": "b", "type": "int", "default": -1}]
    encoder = ColumnEncoder({"type": "record", "name": "Made", "fields": fields}, "made.up.type v1")
    encoder.check_names(["a"])

    assert encoder.encode(b"", {"a": [1, 2]}, 2) == [b"\x02\x01", b"\x04\x01"]
    with pytest.raises(EventInvalid, match=r"made\.up\.type v1: there is no column 'a'"):
        encoder.check_names(["b"])
    with pytest.raises(EventInvalid, match="column 'c' is no field"):
        encoder.check_names(["a", "c"])
