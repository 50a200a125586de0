"""Avro data in the Confluent frame."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from hypothesis import given
from hypothesis import strategies as st
from tests.schemas.generated import DataMaker

from tradewire.core import EventInvalid, MalformedRecord, TradewireError, UnknownSchemaId
from tradewire.schemas import Catalogue, Codec, Event, FixedIds, encode_headers, read_event

CATALOGUE = Catalogue.load()
TYPE = "market.trade.reported"
TOPIC = "market.events"
TRADE: dict[str, Any] = {
    "venue": "binance.spot",
    "symbol": "BTCUSDT",
    "trade_id": "1",
    "price": Decimal("61837.63"),
    "quantity": Decimal("0.02"),
    "aggressor_side": "BUY",
    "trade_time_ns": 1_723_161_255_342_000_001,
}
DECIMALS = st.decimals(min_value=Decimal("-99999999999999999999"), max_value=Decimal("99999999999999999999"), places=18)


@pytest.fixture
def codec() -> Codec:
    return Codec(CATALOGUE, FixedIds())


@given(
    price=DECIMALS, time_ns=st.integers(-(2**63), 2**63 - 1), symbol=st.text(st.characters(exclude_categories=["Cs"]))
)
def test_data_survives_the_frame_exactly(price: Decimal, time_ns: int, symbol: str) -> None:
    """No price loses a digit, no time a nanosecond, no text a character."""
    codec = Codec(CATALOGUE, FixedIds())
    data = TRADE | {"price": price, "trade_time_ns": time_ns, "symbol": symbol}
    decoded = codec.decode(codec.encode(TYPE, data, TOPIC))

    assert TYPE == decoded.type
    assert (price, time_ns, symbol) == tuple(decoded.data[key] for key in ("price", "trade_time_ns", "symbol"))


def test_the_frame_is_the_confluent_one(codec: Codec) -> None:
    """Zero byte, big-endian id, then exactly what an Avro writer gives."""
    value = codec.encode(TYPE, TRADE, TOPIC)
    plain = io.BytesIO()
    fastavro.schemaless_writer(plain, CATALOGUE[TYPE].latest.parsed, TRADE)

    assert b"\x00\x00\x00\x00\x01" + plain.getvalue() == value


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"price": 61837.63}, "price"),
        ({"price": "61837.63"}, "price"),
        ({"price": Decimal("1E-19")}, "price"),
        ({"price": Decimal("1E+21")}, "price"),
        ({"price": Decimal("NaN")}, "price"),
        ({"price": None}, "price"),
        ({"symbol": 7}, "symbol"),
        ({"trade_time_ns": 1.5}, "trade_time_ns"),
        ({"trade_time_ns": 2**63}, "trade_time_ns"),
        ({"aggressor_side": "BOTH"}, "aggressor_side"),
        ({"prize": Decimal(1)}, "prize"),
    ],
)
def test_data_that_does_not_fit_is_refused_by_field(change: dict[str, Any], named: str, codec: Codec) -> None:
    """The publisher's author reads which field it is; a float is no price."""
    with pytest.raises(EventInvalid, match=named):
        codec.encode(TYPE, TRADE | change, TOPIC)


def test_a_refusal_reads_as_a_sentence(codec: Codec) -> None:
    """Type and version, then what is wrong, in no quotes of Python's."""
    with pytest.raises(EventInvalid) as refused:
        codec.encode(TYPE, TRADE | {"symbol": 7}, TOPIC)
    assert str(refused.value).endswith(": field 'symbol' = 7 is int, not a string")


@pytest.mark.parametrize("field", sorted(set(TRADE) - {"aggressor_side"}))
def test_a_missing_field_is_refused_by_name_unless_it_has_a_default(field: str, codec: Codec) -> None:
    """Defaults are the schema's decision, never a guess."""
    with pytest.raises(EventInvalid, match=field):
        codec.encode(TYPE, {key: value for key, value in TRADE.items() if key != field}, TOPIC)


@pytest.mark.parametrize(
    "value", [None, b"", b"\x00\x00", b'{"price": 1}', b"\x00\x00\x00\x00\x01", b"\x01" + bytes(16)]
)
def test_bytes_that_are_no_frame_are_malformed(value: bytes | None, codec: Codec) -> None:
    """Each gets the typed error that sends it to the dead letters."""
    codec.encode(TYPE, TRADE, TOPIC)

    with pytest.raises(MalformedRecord):
        codec.decode(value)


@given(cut=st.integers(5, 60), tail=st.binary(max_size=40))
def test_damaged_avro_never_gives_another_error(cut: int, tail: bytes) -> None:
    """Truncated or foreign bytes raise the typed error or, by luck, are Avro."""
    codec = Codec(CATALOGUE, FixedIds())
    value = codec.encode(TYPE, TRADE, TOPIC)
    try:
        codec.decode(value[:cut] + tail)
    except TradewireError as error:
        assert isinstance(error, MalformedRecord)


@pytest.mark.parametrize("type", ["market.trade.reported", "market.quote.updated", "market.depth.updated"])
def test_confluents_own_serializer_and_ours_read_each_other(type: str) -> None:
    """The same frame to the byte, and the same data both ways, through one registry."""
    schema = CATALOGUE[type].latest
    client = SchemaRegistryClient.new_client({"url": "mock://frames"})
    by_topic = {"subject.name.strategy": topic_subject_name_strategy}
    serializer = AvroSerializer(client, schema.text, conf=by_topic)
    deserializer = AvroDeserializer(client, conf=by_topic)
    context = SerializationContext(TOPIC, MessageField.VALUE)
    maker = DataMaker(schema.schema, 11)
    ids = FixedIds()
    codec = Codec(CATALOGUE, ids)
    for _ in range(50):
        data = maker.make()
        theirs = serializer(data, context)
        assert theirs is not None
        ours = codec.encode(type, data, TOPIC)
        own_id, their_id = ours[1:5], theirs[1:5]
        assert theirs[5:] == ours[5:]
        assert (
            deserializer(ours[:1] + their_id + ours[5:], context) == codec.decode(theirs[:1] + own_id + theirs[5:]).data
        )


def test_every_malformed_value_names_its_schema_and_field(codec: Codec) -> None:
    """The dead letter says what is wrong with it."""
    value = codec.encode(TYPE, TRADE, TOPIC)

    with pytest.raises(
        MalformedRecord, match=r"schema id 1 \(market\.trade\.reported\).* field venue: the length is"
    ) as bad:
        codec.decode(value[:5] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01")
    assert {"schema_id": 1} == bad.value.context


def test_what_a_registry_holds_and_is_no_avro_schema_makes_the_record_malformed() -> None:
    """A schema of another format under the id, or one that nests without end, is not the reader's end."""

    class Odd(FixedIds):
        def schema_of(self, schema_id: int) -> Any:
            deep: Any = "long"
            for _ in range(10_000):
                deep = {"type": "array", "items": deep}
            return {"syntax": "proto3"} if schema_id == 1 else deep

    codec = Codec(CATALOGUE, Odd())
    for schema_id in (1, 2):
        with pytest.raises(MalformedRecord, match="not an Avro schema"):
            codec.decode(b"\0\0\0\0" + bytes((schema_id,)) + b"\0")


def test_a_schema_that_is_no_record_is_read_too() -> None:
    """Other producers put bare values into topics that we may read."""

    class Bare(FixedIds):
        def schema_of(self, schema_id: int) -> Any:
            return ["null", "string"]

    assert (7, None, "a", None) == Codec(CATALOGUE, Bare()).decode(b"\0\0\0\0\7\2\2a")


def test_bytes_after_the_data_are_malformed(codec: Codec) -> None:
    """What is not understood is not thrown away silently."""
    with pytest.raises(MalformedRecord, match="follow the data"):
        codec.decode(codec.encode(TYPE, TRADE, TOPIC) + b"x")


def test_an_unknown_schema_id_can_be_tried_again(codec: Codec) -> None:
    """It is never a reason to give up a record."""
    with pytest.raises(UnknownSchemaId) as unknown:
        codec.decode(b"\x00\x00\x00\x00\x63abc")
    assert unknown.value.retriable


def test_a_record_at_fault_is_named_by_its_position(codec: Codec) -> None:
    """Topic, partition and offset are in the message and in the context."""
    with pytest.raises(MalformedRecord, match=r"market\.events\[3\]@17") as malformed:
        read_event(codec, topic=TOPIC, partition=3, offset=17, timestamp_ms=0, value=b"", headers=[])
    assert {"topic": TOPIC, "partition": 3, "offset": 17}.items() <= malformed.value.context.items()


def test_the_type_of_headers_and_schema_must_agree(codec: Codec) -> None:
    """A reader that trusts the header would file the data under the wrong type."""
    event = Event(id="1", type="market.quote.updated", data={}, source="s", subject="a", time_ns=0, correlation_id="1")

    with pytest.raises(MalformedRecord, match=r"market\.quote\.updated"):
        read_event(
            codec,
            topic=TOPIC,
            partition=0,
            offset=0,
            timestamp_ms=0,
            value=codec.encode(TYPE, TRADE, TOPIC),
            headers=encode_headers(event),
        )
