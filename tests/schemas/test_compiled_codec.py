"""The generated encoder and decoder: fastavro is the oracle, and no bytes are believed."""

from __future__ import annotations

import copy
import random
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.schemas.generated import DataMaker, SchemaMaker, evolve, fastavro_bytes, fastavro_value, spoil

from tradewire.core import EventInvalid
from tradewire.schemas import Catalogue, _compiled_encoder, _varints
from tradewire.schemas._compiled_decoder import DECIMAL_BYTES_MAX, EMPTY_ITEMS_MAX, Decoder
from tradewire.schemas._compiled_encoder import EncoderFactory
from tradewire.schemas._misfit import NESTING_MAX
from tradewire.schemas._varints import BadBytes, read_varint, varint

SCHEMAS = [schema for type in Catalogue.load().values() for schema in type.versions]
GENERATED = 500
CHUNKS = 10
NODE: dict[str, Any] = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "value", "type": "int"}, {"name": "next", "type": ["null", "Node"], "default": None}],
}
TREE: dict[str, Any] = {
    "type": "record",
    "name": "Tree",
    "fields": [{"name": "children", "type": {"type": "array", "items": "Tree"}}],
}


def record(type: Any, **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": "Made", "fields": [{"name": "f", "type": type} | more]}


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def encoder_of(schema: Any, prefix: bytes = b"") -> Callable[[Any], bytes]:
    """Both encoders in one: the one in C, where there is one, must write and refuse as the one in Python does."""
    python, either = (
        EncoderFactory(copy.deepcopy(schema), "made.up.type v1", native=native).encoder(prefix)
        for native in (False, True)
    )

    def encode_by_both(data: Any) -> bytes:
        try:
            expected = python(data)
        except EventInvalid as error:
            with pytest.raises(EventInvalid) as caught:
                either(data)
            assert str(error) == str(caught.value)
            raise
        assert expected == either(data)
        return expected

    return encode_by_both


def encode(schema: Any, data: Any) -> bytes:
    return encoder_of(schema)(data)


def decode(schema: Any, octets: bytes) -> Any:
    return Decoder(copy.deepcopy(schema)).read(octets, 0)


def refused(schema: Any, octets: bytes, *, match: str = "") -> None:
    """Asserts that reading raises, quickly enough for a test, and that the reason can be told."""
    decoder = Decoder(copy.deepcopy(schema))
    with pytest.raises(Exception) as caught:
        decoder.read(octets, 0)
    assert match in decoder.reason(caught.value)


def damage(octets: bytes, pick: random.Random) -> bytes:
    damaged = bytearray(octets)
    for _ in range(pick.choice((1, 1, 3))):
        place = pick.randrange(len(damaged) + 1)
        how = pick.random()
        if how < 0.2 or place == len(damaged):
            damaged.insert(place, pick.choice((0, 1, 127, 128, 255)))
        elif how < 0.4:
            del damaged[place]
        elif how < 0.5:
            del damaged[place:]
        else:
            damaged[place] = pick.choice((0, 1, 2, 127, 128, 255, pick.randrange(256)))
    return bytes(damaged)


def check_against_fastavro(schema: Any, maker: DataMaker, pick: random.Random, rounds: int) -> None:
    """Valid data: the same bytes and values, to the exponent. Spoiled data, damaged bytes: no more than fastavro."""
    factory = EncoderFactory(copy.deepcopy(schema), "made.up.type v1")
    encoder, decoder = encoder_of(schema, b"frame"), Decoder(copy.deepcopy(schema))
    for _ in range(rounds):
        data = maker.make()
        octets = fastavro_bytes(maker.parsed, data)
        assert encoder(data) == b"frame" + octets
        assert repr(decoder.read(b"frame" + octets, 5)) == repr(fastavro_value(maker.parsed, octets))
        for _ in range(4):
            spoiled = spoil(data, pick)
            try:
                taken = encoder(spoiled)
            except EventInvalid as error:
                assert "field" in str(error) or "data" in str(error) or not factory.is_compiled
            else:
                assert taken == b"frame" + fastavro_bytes(maker.parsed, spoiled)
            damaged = damage(octets, pick)
            try:
                value = decoder.read(damaged, 0)
            except Exception as error:
                assert decoder.reason(error)
            else:
                assert repr(value) == repr(fastavro_value(maker.parsed, damaged))


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_generated_schemas_agree_with_fastavro(chunk: int) -> None:
    """500 schemas of every construct that Avro has, each with data, spoiled data and damaged bytes."""
    for seed in range(chunk, GENERATED, CHUNKS):
        schema = SchemaMaker(seed).record()
        check_against_fastavro(schema, DataMaker(schema, seed), random.Random(seed), rounds=5)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: f"{schema.type}-v{schema.version}")
def test_every_schema_of_the_catalogue_agrees_with_fastavro(schema: Any) -> None:
    """And none of them is left to fastavro: all are on the fast way."""
    assert EncoderFactory(copy.deepcopy(schema.schema), "").is_compiled
    # fastavro cannot write the default of a decimal; without defaults the two can be compared.
    bare = copy.deepcopy(schema.schema)
    bare["fields"] = [{k: v for k, v in field.items() if v != "\u0000"} for field in bare["fields"]]

    @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 1 << 32))
    def check(seed: int) -> None:
        check_against_fastavro(bare, DataMaker(bare, seed), random.Random(seed), rounds=2)

    check()


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_an_older_version_is_resolved_as_fastavro_resolves_it(chunk: int) -> None:
    """Fields added, dropped, moved, renamed by alias, promoted; symbols dropped; unions widened."""
    for seed in range(chunk, GENERATED, CHUNKS):
        pick = random.Random(seed)
        schema = SchemaMaker(seed).record()
        if _has_promotable_branches(schema):
            continue  # where a union has two branches for a value, we keep its type and fastavro takes the first
        maker = DataMaker(schema, seed)
        later = evolve(schema, pick)
        try:
            parsed = fastavro.parse_schema(copy.deepcopy(later))
        except Exception:
            continue  # a dropped field took the definition of a name with it
        decoder = Decoder(copy.deepcopy(schema), copy.deepcopy(later))
        for _ in range(4):
            octets = fastavro_bytes(maker.parsed, maker.make())
            try:
                expected = fastavro_value(maker.parsed, octets, parsed)
            except Exception:
                with pytest.raises(Exception):  # noqa: B017 - whichever of the rules is broken
                    decoder.read(octets, 0)
                continue
            assert _sorted(expected) == _sorted(decoder.read(octets, 0))


def _has_promotable_branches(schema: Any) -> bool:
    if isinstance(schema, list):
        kinds = {branch for branch in schema if isinstance(branch, str)}
        promotable = {"string", "bytes"} <= kinds or {"long", "double"} <= kinds
        return promotable or any(map(_has_promotable_branches, schema))
    if isinstance(schema, dict):
        return any(
            _has_promotable_branches(schema[key]) for key in ("type", "items", "values") if key in schema
        ) or any(_has_promotable_branches(field["type"]) for field in schema.get("fields", ()))
    return False


def _sorted(value: Any) -> str:
    """A text that is equal for equal values, NaN and the exponents of decimals included, in any order of fields."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_sorted(value[key])}" for key in sorted(value)) + "}"
    return "[" + ", ".join(map(_sorted, value)) + "]" if isinstance(value, list) else repr(value)


DECIMALS = st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(digits), exponent)),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=45),
    st.integers(-25, 25),
)


PRICE = record(decimal(38, 18))
WRITE_PRICE = encoder_of(PRICE)
READ_PRICE = Decoder(PRICE).read


@settings(max_examples=500)
@given(DECIMALS)
def test_a_decimal_is_written_exactly_or_refused(value: Decimal) -> None:
    """More than 18 places or 20 digits before the point are refused, zeros counted too; all others come back equal."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    fits = exponent >= -18 and (not value or value.adjusted() < 20)
    if not fits:
        with pytest.raises(EventInvalid, match="field 'f'"):
            WRITE_PRICE({"f": value})
        return
    octets = WRITE_PRICE({"f": value})

    assert value == READ_PRICE(octets, 0)["f"]
    if len(digits) <= 38:
        assert octets == fastavro_bytes(fastavro.parse_schema(PRICE), {"f": value})


def test_a_negative_zero_in_a_fixed_decimal_is_zero() -> None:
    """fastavro writes -0 as minus two of the last place there."""
    schema = record(
        {"type": "fixed", "name": "Amount", "size": 8, "logicalType": "decimal", "precision": 10, "scale": 2}
    )

    assert bytes(8) == encode(schema, {"f": Decimal("-0.00")})


def test_a_decimal_with_more_digits_than_its_precision_is_not_rounded_on_reading() -> None:
    """fastavro gives 661 for 660.51: a price must not change by being read."""
    schema = record(decimal(3, 2))

    refused(schema, b"\x06\x01\x02\x03", match="more digits than the schema's precision")
    assert Decimal("1.23") == decode(schema, b"\x04\x00\x7b")["f"]


@pytest.mark.parametrize(
    ("type", "default", "expected"),
    [
        (decimal(38, 18), "\u0000", Decimal("0E-18")),
        ("bytes", "\u00ff\u0000", b"\xff\x00"),
        ({"type": "fixed", "name": "Hash", "size": 2}, "\u0001\u0080", b"\x01\x80"),
        (["bytes", "null"], "a", b"a"),
        ({"type": "map", "values": "bytes"}, {"k": "\u00ff"}, {"k": b"\xff"}),
        ("double", "NaN", "nan"),
        ({"type": "record", "name": "In", "fields": [{"name": "a", "type": "long", "default": 3}]}, {}, {"a": 3}),
    ],
)
def test_a_default_is_written_and_read_by_its_type(type: Any, default: Any, expected: Any) -> None:
    """JSON spells bytes as text; fastavro fails to write such a default and reads it back as text."""
    schema = record(type, default=default)
    older = {"type": "record", "name": "Made", "fields": []}
    written = decode(schema, encode(schema, {}))["f"]
    resolved = Decoder(older, schema).read(b"", 0)["f"]

    assert expected == (str(written) if expected == "nan" else written)
    assert repr(written) == repr(resolved)


def test_a_default_that_can_be_changed_is_made_anew() -> None:
    """One reader that appends to a defaulted list must not change it for the next."""
    decoder = Decoder(
        {"type": "record", "name": "Made", "fields": []}, record({"type": "array", "items": "int"}, default=[1])
    )
    decoder.read(b"", 0)["f"].append(2)

    assert [1] == decoder.read(b"", 0)["f"]


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"f": [{"a": 1, "b": "x"}, {"a": 1.5, "b": "x"}]}, r"field 'f\[1\]\.a' = 1\.5 is float"),
        ({"f": [{"a": 1, "b": "\ud800"}]}, r"field 'f\[0\]\.b' .* surrogate"),
        ({"f": [{"a": 1}]}, r"field 'f\[0\]\.b' is missing"),
        ({"f": [{"a": 1, "b": "", "c": 0}]}, r"field 'c' of f\[0\] is not in the schema"),
        ({"f": {"a": 1}}, r"field 'f' = .* is dict, not a list"),
        ({"f": {1, 2}}, "field 'f' = .* is set, not a list"),
        ([], "data is list, not a mapping"),
    ],
)
def test_nested_data_that_does_not_fit_is_named_by_its_path(data: Any, path: str) -> None:
    """The author of a service sees which of a hundred levels it was."""
    inner = {
        "type": "record",
        "name": "Inner",
        "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "string"}],
    }
    with pytest.raises(EventInvalid, match=path):
        encode(record({"type": "array", "items": inner}), data)


def test_bad_bytes_are_named_by_their_field() -> None:
    """From a field inside an item of an array the path leads out to the record."""
    inner = {
        "type": "record",
        "name": "Inner",
        "fields": [{"name": "ok", "type": "boolean"}, {"name": "text", "type": "string"}],
    }

    refused(record({"type": "array", "items": inner}), b"\x02\x01\x02\xff\x00", match="field f[].text")


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: f"{schema.type}-v{schema.version}")
def test_a_truncated_record_is_refused_at_every_place(schema: Any) -> None:
    """No beginning of a record is a record; nor is a record with a byte behind it."""
    octets = encode(schema.schema, DataMaker(schema.schema, 1).make())
    decoder = Decoder(copy.deepcopy(schema.schema))
    for cut in range(len(octets)):
        with pytest.raises(Exception):  # noqa: B017 - the codec turns any into MalformedRecord
            decoder.read(octets[:cut], 0)
    refused(schema.schema, octets + b"\x00", match="follow the data")


HUGE = varint((1 << 63) - 2)
MINUS_ONE = b"\x01"
NULLS = {"type": "array", "items": "null"}


@pytest.mark.parametrize(
    ("type", "octets", "match"),
    [
        ("string", HUGE, "bytes left"),
        ("string", MINUS_ONE, "negative"),
        ("string", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", "longer than 10 bytes"),
        ("string", b"\x04\xc3\x28", "utf-8"),
        ("string", b"\x06\xed\xa0\x80", "utf-8"),
        ("bytes", varint(1 << 40), "bytes left"),
        ("long", b"\xff" * 9 + b"\x7f", "more than 64 bits"),
        ("long", b"\xff" * 10 + b"\x01", "longer than 10 bytes"),
        ("long", b"\xff\xff", "end too early"),
        ("int", varint(1 << 32), "32 bits"),
        ("boolean", b"\x02", "neither 0 nor 1"),
        ("double", b"1234567", "end too early"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x02", "no symbol"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, MINUS_ONE, "no symbol"),
        (["null", "long"], b"\x04", "no such branch"),
        (["null", "long"], MINUS_ONE, "no such branch"),
        ({"type": "fixed", "name": "F", "size": 4}, b"123", "missing"),
        ({"type": "array", "items": "long"}, HUGE, "bytes left"),
        ({"type": "array", "items": "long"}, varint((1 << 64) - 1) + b"\x02\x00", "bytes left"),
        ({"type": "array", "items": "long"}, b"\x03\x01\x02\x02\x00", "bytes left"),
        ({"type": "array", "items": "long"}, b"\x03\x02\x02\x02\x00", "not as long as it says"),
        ({"type": "map", "values": "null"}, varint(2000), "bytes left"),
        (NULLS, HUGE, "no bytes"),
        (NULLS, varint(2 * EMPTY_ITEMS_MAX) + b"\x02\x00", "no bytes"),
        (
            {"type": "array", "items": NULLS},
            b"\x04" + (varint(2 * EMPTY_ITEMS_MAX) + b"\x00") * 2 + b"\x00",
            "no bytes",
        ),
        (decimal(38, 18), varint(2 * DECIMAL_BYTES_MAX + 2) + b"\x01" * (DECIMAL_BYTES_MAX + 1), "decimal"),
        ({"type": "int", "logicalType": "date"}, varint(200_000_000), "out of range"),
        ({"type": "string", "logicalType": "uuid"}, b"\x02x", "UUID"),
    ],
)
def test_hostile_bytes_are_refused_without_memory(type: Any, octets: bytes, match: str) -> None:
    """Lengths and counts that cannot be true, numbers that are none: refused before anything is made of them."""
    decoder = Decoder(record(type))
    tracemalloc.start()
    with pytest.raises(Exception) as caught:  # the codec turns any into MalformedRecord
        decoder.read(octets, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert match in decoder.reason(caught.value)
    assert peak < 2_000_000


def test_blocks_with_a_byte_size_and_several_blocks_are_read() -> None:
    """Other writers, Java's among them, write negative counts followed by the size of the block."""
    schema = record({"type": "array", "items": "long"})

    assert {"f": [1, 1, 2]} == decode(schema, b"\x03\x04\x02\x02\x02\x04\x00")
    assert {"f": [None] * 3} == decode(record(NULLS), b"\x06\x00")


@pytest.mark.parametrize(
    ("schema", "octets"),
    [
        (NODE, b"\x02\x02" * 10_000 + b"\x02\x00"),
        (TREE, b"\x02" * 10_000 + b"\x00" * 10_001),
        (record("Made"), b""),
    ],
    ids=["list", "tree", "endless"],
)
def test_nesting_of_ten_thousand_levels_is_refused(schema: Any, octets: bytes) -> None:
    """Not by running out of stack: the levels are counted."""
    refused(schema, octets, match=f"more than {NESTING_MAX} levels")


def test_nested_data_is_written_and_read_up_to_the_limit() -> None:
    """What can be written can be read; one level more, or a cycle, is refused by the writer already."""
    data: dict[str, Any] = {"value": 0}
    for _ in range(NESTING_MAX):
        data = {"value": 1, "next": data}
    decoded = decode(NODE, encode(NODE, data))
    assert repr(decoded) == repr(fastavro_value(fastavro.parse_schema(copy.deepcopy(NODE)), encode(NODE, data)))

    cycle: dict[str, Any] = {"value": 1}
    cycle["next"] = cycle
    for too_deep in ({"value": 1, "next": data}, cycle):
        with pytest.raises(EventInvalid, match="levels deep"):
            encode(NODE, too_deep)


def test_a_hundred_thousand_random_tails_never_hang() -> None:
    """Random bytes after a good beginning: an answer or an error for each, in seconds for all."""
    schema = next(schema for schema in SCHEMAS if schema.type == "market.depth.updated")
    octets = encode(schema.schema, DataMaker(schema.schema, 3).make())
    decoder = Decoder(copy.deepcopy(schema.schema))
    pick = random.Random(5)
    for _ in range(100_000):
        tail = pick.randbytes(pick.randrange(40))
        try:
            decoder.read(octets[: pick.randrange(len(octets))] + tail, 0)
        except Exception as error:
            assert isinstance(error, (BadBytes, IndexError, KeyError, ValueError, ArithmeticError)), error


@pytest.mark.parametrize(
    "octets", [b"\x80" * 9 + b"\x01", b"\xff" * 9 + b"\x01", b"\x80\x00", b"\x00", b"\x80" * 4 + b"\x01"]
)
def test_numbers_at_the_edge_of_64_bits_are_read(octets: bytes) -> None:
    """Ten bytes carry 64 bits; superfluous zeros are allowed as in every Avro reader, with and without bytes behind."""
    expected = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(octets))

    assert (expected, len(octets)) == read_varint(octets, 0)
    assert (expected, len(octets)) == read_varint(octets + bytes(9), 0)


def test_what_is_kept_of_texts_and_times_is_bounded() -> None:
    """A feed over years of history, or of ever new texts, must not fill the memory; it stays right all the same."""
    schema = {
        "type": "record",
        "name": "Made",
        "fields": [{"name": "time_ns", "type": "long"}, {"name": "text", "type": "string"}],
    }
    factory = EncoderFactory(schema, "made.up.type v1", native=False)
    encoder, read = factory.encoder(b""), Decoder(schema).read
    for number in range(10_000):
        data = {"time_ns": (number << 28) + (1 << 60), "text": f"text {number}"}
        assert data == read(encoder(data), 0)

    memos = [value for name, value in encoder.__globals__.items() if name.startswith("memo")]
    assert [256] == [len(memo) for memo in memos]
    assert 0 < len(_compiled_encoder._TAILS) <= 4096
    assert 0 < len(_varints._HEADS) <= 4096


@given(st.integers(0, (1 << 64) - 1))
def test_varints_come_back(number: int) -> None:
    """With no byte too many, whichever length they have."""
    coded = varint(number)

    assert (number, len(coded)) == read_varint(coded, 0) == read_varint(coded + b"\xff" * 9, 0)
    assert len(coded) == max(1, -(-number.bit_length() // 7))


def test_names_in_a_schema_are_never_code() -> None:
    """Source is made for each schema; a field's name is only ever a string in it."""
    name = "a'] or __import__('os').abort() or data[\"b\\"
    schema = {"type": "record", "name": "Made", "fields": [{"name": name, "type": "long", "default": 1}]}

    assert {name: 5} == decode(schema, encode(schema, {name: 5}))
    assert {name: 1} == decode(schema, encode(schema, {}))
