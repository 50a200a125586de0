"""Our bytes and those of confluent-kafka's own serializers, over a real registry: framed, or the schema in a header."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    dual_schema_id_deserializer,
    header_schema_id_serializer,
    topic_record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from tests.processors.pure import PureWorker, Record
from tests.schemas.generated import DataMaker
from tests.schemas.guid_registry import guid_of, guid_registry

from tradewire.core import MalformedRecord, RegistryUnavailable, Settings, UnknownSchemaId
from tradewire.core.settings import RegistrySettings
from tradewire.schemas import (
    Catalogue,
    Codec,
    Contract,
    Event,
    EventSchema,
    FixedIds,
    Header,
    RegistryIds,
    SchemaArchive,
    decode_headers,
    encode_headers,
    read_event,
)

CATALOGUE = Catalogue.load()
TYPES = list(CATALOGUE)
VERSIONS = [schema for type in CATALOGUE.values() for schema in type.versions]
BY_RECORD: dict[str, Any] = {"subject.name.strategy": topic_record_subject_name_strategy}
TRADE = "market.trade.reported"
KEY = "__value_schema_id"


@pytest.fixture(scope="module")
def client(settings: Settings, contract: Contract) -> SchemaRegistryClient:
    """Confluent's own client of the registry in which the contract is registered."""
    return SchemaRegistryClient({"url": settings.registry.url})


@pytest.fixture(scope="module")
def guids(settings: Settings, contract: Contract) -> Iterator[str]:
    """The address of the same registry, with GUIDs (see ``guid_registry``: a stand-in for that one endpoint)."""
    with guid_registry(settings.registry.url) as url:
        yield url


def samples(schema: EventSchema, count: int = 20) -> list[dict[str, Any]]:
    """Data with every field: fastavro, which is below Confluent's serializer, writes some defaults wrongly."""
    bare = json.loads(schema.text, object_hook=lambda part: {key: part[key] for key in part if key != "default"})
    maker = DataMaker(bare, 7)
    return [maker.make() for _ in range(count)]


def shown(data: Any) -> str:
    """A text that is equal for equal data, NaN included, in any order of fields."""
    if isinstance(data, dict):
        return "{" + ", ".join(f"{key!r}: {shown(data[key])}" for key in sorted(data)) + "}"
    return "[" + ", ".join(map(shown, data)) + "]" if isinstance(data, list) else repr(data)


@pytest.mark.parametrize("type", TYPES)
def test_each_type_is_the_same_bytes_and_is_read_both_ways(
    type: str, contract: Contract, client: SchemaRegistryClient
) -> None:
    """The id is the registry's own, so whole records are compared, frame and all."""
    schema, topic = contract.catalogue[type].latest, contract.topic_of(type)
    context = SerializationContext(topic, MessageField.VALUE)
    serializer = AvroSerializer(client, schema.text, conf=BY_RECORD | {"auto.register.schemas": False})
    deserializer = AvroDeserializer(client)
    for data in samples(schema):
        ours, theirs = contract.codec.encode(type, data, topic), serializer(data, context)

        assert ours == theirs
        decoded = contract.codec.decode(theirs)
        assert type == decoded.type
        assert shown(deserializer(ours, context)) == shown(decoded.data)


@pytest.mark.parametrize("schema", VERSIONS, ids=lambda schema: f"{schema.type}-v{schema.version}")
def test_each_version_that_another_service_still_writes_is_read(
    schema: EventSchema, contract: Contract, client: SchemaRegistryClient
) -> None:
    """Confluent's serializer with the schema of an older version; we give the newest of the type."""
    topic = contract.topic_of(schema.type)
    serializer = AvroSerializer(client, schema.text, conf=BY_RECORD | {"auto.register.schemas": False})
    for data in samples(schema, 3):
        value = serializer(data, SerializationContext(topic, MessageField.VALUE))

        decoded = contract.codec.decode(value)

        assert schema.type == decoded.type
        assert contract.catalogue[schema.type].latest.field_names == decoded.data.keys()


def in_header(url: str, schema: EventSchema, data: Any, topic: str) -> tuple[bytes, list[Header]]:
    """A value and its headers as confluent-kafka's serializer makes them in header mode."""
    conf = BY_RECORD | {"auto.register.schemas": False, "schema.id.serializer": header_schema_id_serializer}
    serializer = AvroSerializer(SchemaRegistryClient({"url": url}), schema.text, conf=conf)
    headers: list[Header] = encode_headers(
        Event(id="1", type=schema.type, data={}, source="s", subject="a", time_ns=5, correlation_id="c")
    )
    value = serializer(data, SerializationContext(topic, MessageField.VALUE, headers))
    assert value is not None
    assert [KEY] == [name for name, _ in headers if not name.startswith("ce_") and name != "content-type"]
    return value, headers


@pytest.mark.parametrize("type", [TRADE, "market.depth.updated", "trading.order.created"])
def test_a_schema_named_by_guid_in_a_header_is_read(type: str, contract: Contract, guids: str, tmp_path: Path) -> None:
    """The value has no frame; afterwards the archive answers for the GUID, and the registry may be gone.

    The registry is the real one, with a stand-in for the GUID endpoint in front.
    """
    schema, topic = contract.catalogue[type].latest, contract.topic_of(type)
    archive = SchemaArchive(tmp_path)
    codec = Codec(contract.catalogue, RegistryIds(RegistrySettings(url=guids), archive))
    away = Codec(contract.catalogue, RegistryIds(RegistrySettings(url="http://127.0.0.1:1", timeout_ms=500), archive))
    for data in samples(schema, 3):
        value, headers = in_header(guids, schema, data, topic)
        plain = contract.codec.encode(type, data, topic)
        envelope = decode_headers(headers)

        assert plain[5:] == value
        assert contract.codec.decode(plain)[1:3] == codec.decode(value, envelope.schema_key)[1:3]
        for reader in (codec, away):
            event = read_event(reader, topic=topic, partition=0, offset=1, timestamp_ms=0, value=value, headers=headers)
            assert (type, None) == (event.type, event.schema_id)
            assert contract.codec.decode(plain).data == event.data


def test_confluents_deserializer_reads_our_frames_and_theirs_alike(contract: Contract, guids: str) -> None:
    """One consumer with the dual deserializer for a topic on which both kinds lie."""
    client = SchemaRegistryClient({"url": guids})
    deserializer = AvroDeserializer(client, conf={"schema.id.deserializer": dual_schema_id_deserializer})
    schema, topic = contract.catalogue[TRADE].latest, contract.topic_of(TRADE)
    (data,) = samples(schema, 1)
    value, headers = in_header(guids, schema, data, topic)
    ours = contract.codec.encode(TRADE, data, topic)

    assert deserializer(ours, SerializationContext(topic, MessageField.VALUE, encode_headers_of(schema))) == (
        deserializer(value, SerializationContext(topic, MessageField.VALUE, headers))
    )


def encode_headers_of(schema: EventSchema) -> list[Header]:
    return encode_headers(
        Event(id="1", type=schema.type, data={}, source="s", subject="a", time_ns=5, correlation_id="c")
    )


def test_a_guid_that_the_registry_does_not_serve_can_be_tried_again(contract: Contract, settings: Settings) -> None:
    """Apicurio 3.0 answers 404 for every GUID. The message names the GUID; the record is kept, never thrown away."""
    guid = guid_of("nobody registered this")
    ids = RegistryIds(settings.registry.model_copy(update={"archive_folder": None}))

    with pytest.raises(UnknownSchemaId, match=str(guid)) as unknown:
        Codec(contract.catalogue, ids).decode(b"\0", b"\1" + guid.bytes)
    assert unknown.value.retriable
    away = RegistryIds(RegistrySettings(url="http://127.0.0.1:1", timeout_ms=500))
    with pytest.raises(RegistryUnavailable):
        Codec(contract.catalogue, away).decode(b"\0", b"\1" + guid.bytes)


def test_an_id_in_the_header_is_read_without_a_guid(contract: Contract) -> None:
    """Other clients write 0x00 and the id there: any registry can serve it."""
    schema, topic = contract.catalogue[TRADE].latest, contract.topic_of(TRADE)
    (data,) = samples(schema, 1)
    plain = contract.codec.encode(TRADE, data, topic)

    assert contract.codec.decode(plain) == contract.codec.decode(plain[5:], plain[:5])
    assert contract.codec.decode(plain) == contract.codec.decode(plain[5:], plain[:5] + b"\2\0")


class Guids(FixedIds):
    """One GUID, in memory: for what is no question to a registry."""

    def schema_of_guid(self, guid: uuid.UUID) -> Any:
        return CATALOGUE[TRADE].latest.schema if guid == uuid.UUID(int=7) else super().schema_of_guid(guid)


def test_the_header_wins_over_what_the_value_seems_to_begin_with() -> None:
    """An empty first text makes the first byte 0x00, which looks like a frame."""
    ids = Guids()
    codec = Codec(CATALOGUE, ids)
    data = samples(CATALOGUE[TRADE].latest, 1)[0] | {"venue": "", "symbol": ""}
    value = codec.encode(TRADE, data, "market.events")[5:]
    assert b"\0\0" == value[:2]

    assert "" == codec.decode(value, b"\1" + uuid.UUID(int=7).bytes).data["venue"]


def test_bytes_behind_a_guid_do_not_fill_the_memory() -> None:
    """A reader is kept per schema, not per header that somebody makes up."""
    codec = Codec(CATALOGUE, Guids())
    value = codec.encode(TRADE, samples(CATALOGUE[TRADE].latest, 1)[0], "market.events")[5:]
    before = len(codec._readers)
    for number in range(50):
        codec.decode(value, b"\1" + uuid.UUID(int=7).bytes + number.to_bytes(4, "big"))

    assert 1 >= len(codec._readers) - before


@pytest.mark.parametrize("header", [b"", b"\0", b"\0\0\0\1", b"\1", b"\1" + bytes(15), b"\2" + bytes(16), b"7"])
def test_a_header_that_names_no_schema_is_malformed(header: bytes) -> None:
    """Shorter than an id or a GUID, or of another kind; an empty header is not an absent one."""
    codec = Codec(CATALOGUE, Guids())

    with pytest.raises(MalformedRecord, match=KEY):
        codec.decode(b"\0\0\0\0\1x", header)
    with pytest.raises(MalformedRecord, match="no value"):
        codec.decode(None, b"\1" + uuid.UUID(int=7).bytes)


def test_a_worker_folds_a_record_whose_schema_is_in_a_header() -> None:
    """The same last price, whether the trade came framed or not."""
    states = []
    for framed in (True, False):
        worker = PureWorker()
        codec = worker.contract.codec
        data = samples(CATALOGUE[TRADE].latest, 1)[0]
        value = codec.encode(TRADE, data, "market.events")
        headers = encode_headers_of(CATALOGUE[TRADE].latest)
        if not framed:
            value, headers = value[5:], [*headers, (KEY, value[:5])]
        worker.take([Record("market.events", 0, 0, 1_700_000_000_000, b"a", value, tuple(headers))])
        states.append(worker.states["last_price"])

    assert states[0]
    assert states[0] == states[1]
