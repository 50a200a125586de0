"""Avro data in the Confluent frame: ``0x00``, four bytes of schema id (big-endian), Avro binary."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from tradewire.core.errors import MalformedRecord
from tradewire.schemas._compiled_decoder import Decoder
from tradewire.schemas._compiled_encoder import EncoderFactory
from tradewire.schemas.catalogue import Catalogue
from tradewire.schemas.event import Event, Position
from tradewire.schemas.headers import Header, decode_headers
from tradewire.schemas.registry import SchemaIds

FRAME: Final = struct.Struct(">bI")
MAGIC: Final = 0


class Frame(NamedTuple):
    """A value taken apart: which schema wrote it, and the Avro bytes."""

    schema_id: int
    body: memoryview


def read_frame(value: bytes | None) -> Frame:
    """Splits a framed value without copying.

    Raises:
        MalformedRecord: there is no value, it is shorter than a frame, or another format begins with another byte.
    """
    if value is None:
        raise MalformedRecord("the record has no value: a tombstone on a topic of events?")
    if len(value) < FRAME.size:
        raise MalformedRecord(f"the value has {len(value)} bytes; a frame has at least {FRAME.size}")
    magic, schema_id = FRAME.unpack_from(value)
    if magic != MAGIC:
        raise MalformedRecord(f"the value begins with 0x{magic & 0xFF:02x}, not 0x00: is it JSON or plain Avro?")
    return Frame(schema_id, memoryview(value)[FRAME.size :])


class Decoded(NamedTuple):
    """Data as the newest version of its type, and what wrote it; ``type`` is None outside the catalogue."""

    schema_id: int
    type: str | None
    data: Mapping[str, Any]


class _Reader(NamedTuple):
    schema_id: int
    type: str | None
    decoder: Decoder
    read: Callable[[bytes, int], Any]


Encoder = Callable[[Mapping[str, Any]], bytes]


@lru_cache(maxsize=1024)
def _encoder_factory(schema_text: str, title: str) -> EncoderFactory:
    return EncoderFactory(json.loads(schema_text), title)


@lru_cache(maxsize=1024)
def _decoder(writer_text: str, reader_text: str | None, title: str) -> Decoder:
    return Decoder(json.loads(writer_text), None if reader_text is None else json.loads(reader_text), title=title)


class Codec:
    """Encodes and decodes event data. Thread-safe; blocks only on first sight of a schema, to ask for its id."""

    def __init__(self, catalogue: Catalogue, schema_ids: SchemaIds) -> None:
        self.catalogue = catalogue
        self._schema_ids = schema_ids
        self._encoders: dict[tuple[str, str], Encoder] = {}
        self._readers: dict[bytes, _Reader] = {}
        self._by_name = {schema.name: type.name for type in catalogue.values() for schema in type.versions}

    def encoder(self, type: str, topic: str) -> Encoder:
        """The function that frames data of ``type`` for ``topic`` with the newest version; keep it on a hot path.

        It raises EventInvalid, naming the field, for data that does not fit: a missing or unknown field, a float where
        a Decimal belongs, more than 18 decimal places. Fields with a default may be left out.

        Raises:
            UnknownEventType, ContractError (not registered), RegistryUnavailable.
        """
        key = (type, topic)
        known = self._encoders.get(key)
        if known is None:
            schema = self.catalogue[type].latest
            factory = _encoder_factory(schema.text, f"{type} v{schema.version}")
            prefix = FRAME.pack(MAGIC, self._schema_ids.id_of(schema, topic))
            known = self._encoders[key] = factory.encoder(prefix)
        return known

    def encode(self, type: str, data: Mapping[str, Any], topic: str) -> bytes:
        """``encoder(type, topic)(data)``."""
        return self.encoder(type, topic)(data)

    def decode(self, value: bytes | None) -> Decoded:
        """Reads a framed value; an older version is resolved to the newest of its type.

        Bytes are not believed: memory is bounded by the size of the value, nesting by 128 levels, and a decimal beyond
        its precision is refused instead of rounded.

        Raises:
            MalformedRecord: not a frame, or its bytes do not fit its schema or are too many; names the field.
            UnknownSchemaId, RegistryUnavailable: the record may be fine; keep it and try again.
        """
        if type(value) is not bytes:
            value = b"" if value is None else bytes(value)
        reader = self._readers.get(value[:5]) or self._reader(value)
        try:
            data = reader.read(value, 5)
        except Exception as error:  # bad bytes show as whatever the reading of them ran into
            raise MalformedRecord(
                f"schema id {reader.schema_id} ({reader.type}): the bytes do not fit the schema: "
                f"{reader.decoder.reason(error)}",
                schema_id=reader.schema_id,
            ) from error
        return _new(Decoded, (reader.schema_id, reader.type, data))

    def _reader(self, value: bytes) -> _Reader:
        schema_id, _ = read_frame(value)
        schema = self._schema_ids.schema_of(schema_id)
        type = self._by_name.get(_full_name(schema))
        reader_text = None
        if type is not None:
            latest = self.catalogue[type].latest
            reader_text = None if dict(latest.schema) == dict(schema) else latest.text
        try:
            decoder = _decoder(json.dumps(schema), reader_text, f"{type or _full_name(schema)} id {schema_id}")
        except Exception as error:  # fastavro raises several unrelated kinds for what is no schema
            raise MalformedRecord(
                f"schema id {schema_id}: what the registry holds is not an Avro schema: {error!r}", schema_id=schema_id
            ) from error
        known = self._readers[value[:5]] = _Reader(schema_id, type, decoder, decoder.read)
        return known


_new: Final = tuple.__new__


def _full_name(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return ""
    name, namespace = str(schema.get("name", "")), schema.get("namespace")
    return f"{namespace}.{name}" if namespace and "." not in name else name


def read_event(
    codec: Codec,
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    value: bytes | None,
    headers: Iterable[Header] | None,
) -> Event:
    """Makes an event of a Kafka record.

    Raises:
        MalformedRecord: the record is at fault; its context names topic, partition and offset.
        UnknownSchemaId, RegistryUnavailable: the record may be fine; keep it and try again.
    """
    recorded_ns = timestamp_ms * 1_000_000
    try:
        envelope = decode_headers(headers, fallback_time_ns=recorded_ns)
        decoded = codec.decode(value)
        if decoded.type is not None and decoded.type != envelope.type:
            raise MalformedRecord(f"header ce_type says {envelope.type}, the schema is of {decoded.type}")
    except MalformedRecord as error:
        raise MalformedRecord(
            f"{topic}[{partition}]@{offset}: {error}", topic=topic, partition=partition, offset=offset, **error.context
        ) from error
    return Event(
        id=envelope.id,
        type=envelope.type,
        data=decoded.data,
        source=envelope.source,
        subject=envelope.subject,
        time_ns=envelope.time_ns,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.causation_id,
        sequence=envelope.sequence,
        tags=envelope.tags,
        schema_id=decoded.schema_id,
        position=Position(topic=topic, partition=partition, offset=offset, recorded_ns=recorded_ns),
    )
