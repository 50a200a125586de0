"""Avro data in the Confluent frame: ``0x00``, four bytes of schema id (big-endian), Avro binary."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from tradewire.core.errors import MalformedRecord
from tradewire.schemas.catalogue import Catalogue
from tradewire.schemas.cloudevents import contents_of, refuse_json_of_catalogue
from tradewire.schemas.event import Event, Position
from tradewire.schemas.headers import Header, decode_headers, extensions_of
from tradewire.schemas.reading import Reading, encoder_factory, newer_version, reading_of
from tradewire.schemas.registry import SchemaIds
from tradewire.schemas.schema_keys import SchemaKey, read_schema_key

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
    """Data as the newest version of its type, and what wrote it; ``type`` is None outside the catalogue.

    ``schema_id`` is None where a header named the schema by its GUID. ``version`` is the one that the record was
    written with; None outside the catalogue and where the schema is none of its versions and does not say.
    """

    schema_id: int | None
    type: str | None
    data: Mapping[str, Any]
    version: int | None = None


class _Reader(NamedTuple):
    schema_id: int | None
    type: str | None
    version: int | None
    read: Callable[[bytes, int], Any]
    reading: Reading


Encoder = Callable[[Mapping[str, Any]], bytes]


class Codec:
    """Encodes and decodes event data. Thread-safe; blocks only on first sight of a schema, to ask for its id."""

    def __init__(self, catalogue: Catalogue, schema_ids: SchemaIds) -> None:
        self.catalogue = catalogue
        self._schema_ids = schema_ids
        self._encoders: dict[tuple[str, str], Encoder] = {}
        self._readers: dict[bytes, _Reader] = {}

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
            factory = encoder_factory(schema.text, f"{type} v{schema.version}")
            prefix = FRAME.pack(MAGIC, self._schema_ids.id_of(schema, topic))
            known = self._encoders[key] = factory.encoder(prefix)
        return known

    def encode(self, type: str, data: Mapping[str, Any], topic: str) -> bytes:
        """``encoder(type, topic)(data)``."""
        return self.encoder(type, topic)(data)

    def decode(self, value: bytes | None, schema_key: bytes | None = None) -> Decoded:
        """Reads a framed value as the newest version of its type, whichever version wrote it.

        An older version is resolved by Avro's rules, across a breaking step by the upcaster. A later version than this
        catalogue has is resolved as well, if it keeps its record name: what is unknown here is left out, an unknown
        symbol becomes the enum's default; ``version`` tells. A schema is recognised by what it means, whatever a
        registry did to its text.

        A record of Confluent's header mode names its schema in a header and has no frame: ``schema_key`` is that
        header, as ``decode_headers`` gives it. It wins over whatever the value begins with.

        Bytes are not believed: memory is bounded by the size of the value, nesting by 128 levels, and a decimal beyond
        its precision is refused instead of rounded.

        Raises:
            MalformedRecord: no frame and no key, or the bytes do not fit the schema or are too many; names the field.
            NewerVersion (a MalformedRecord): only a later release of this reader can read it.
            UpcastFailed (a MalformedRecord): an upcaster is at fault; names type, versions and field.
            UnknownSchemaId, RegistryUnavailable: the record may be fine; keep it and try again.
        """
        if type(value) is not bytes:
            if value is None and schema_key is not None:
                raise MalformedRecord("the record has no value: a tombstone on a topic of events?")
            value = b"" if value is None else bytes(value)
        if schema_key is None:
            reader = self._readers.get(value[:5]) or self._reader(value)
        else:
            reader = self._readers.get(schema_key) or self._reader_of_key(schema_key)
        try:
            data = reader.read(value, 5 if schema_key is None else 0)
        except Exception as error:  # bad bytes show as whatever the reading of them ran into
            raise reader.reading.refusal(error) from error
        return _new(Decoded, (reader.schema_id, reader.type, data, reader.version))

    def _reader(self, value: bytes) -> _Reader:
        schema_id, _ = read_frame(value)
        return self._add_reader(value[:5], SchemaKey(schema_id, None), self._schema_ids.schema_of(schema_id))

    def _reader_of_key(self, header: bytes) -> _Reader:
        key = read_schema_key(header)
        short = header[:5] if key.guid is None else header[:17]  # bytes behind it must not fill the memory with readers
        known = self._readers.get(short)
        if known is not None:
            return known
        if key.guid is not None:
            return self._add_reader(short, key, self._schema_ids.schema_of_guid(key.guid))
        assert key.schema_id is not None
        return self._add_reader(short, key, self._schema_ids.schema_of(key.schema_id))

    def _add_reader(self, prefix: bytes, key: SchemaKey, schema: Mapping[str, Any]) -> _Reader:
        written = self.catalogue.identify(schema)
        try:
            reading = reading_of(written, schema, str(key), key.schema_id)
        except MalformedRecord:
            raise
        except Exception as error:  # fastavro raises several unrelated kinds for what is no schema
            raise MalformedRecord(
                f"{key}: what the registry holds is not an Avro schema: {error!r}"[:1000], schema_id=key.schema_id
            ) from error
        known = self._readers[prefix] = _Reader(key.schema_id, reading.type, written.version, reading.read, reading)
        return known


_new: Final = tuple.__new__


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
    """Makes an event of a Kafka record: framed Avro, Confluent's header mode, or a CloudEvent of another producer.

    The structured mode is read in its JSON format. Types of the catalogue are Avro in every mode; JSON data of other
    types is given as it stands, its fractions as Decimals.

    Raises:
        MalformedRecord: the record is at fault; its context names topic, partition and offset.
        UnknownSchemaId, RegistryUnavailable: the record may be fine; keep it and try again.
    """
    recorded_ns = timestamp_ms * 1_000_000
    try:
        given = headers if isinstance(headers, list) else list(headers or ())
        contents = contents_of(value, given)
        envelope = decode_headers(contents.headers, fallback_time_ns=recorded_ns)
        if contents.value is None and value is not None:
            refuse_json_of_catalogue(envelope.type, codec.catalogue)
            decoded = Decoded(None, None, contents.data)
        else:
            decoded = codec.decode(contents.value, envelope.schema_key)
        if decoded.type is not None and decoded.type != envelope.type:
            raise MalformedRecord(f"header ce_type says {envelope.type}, the schema is of {decoded.type}")
        if decoded.type is None and envelope.type in codec.catalogue and decoded.schema_id is not None:
            said = f"schema id {decoded.schema_id} has a record name that none of them has"
            raise newer_version(codec.catalogue[envelope.type], None, said, decoded.schema_id)
        extensions = extensions_of(contents.headers)
    except MalformedRecord as error:
        raise type(error)(
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
        extensions=extensions,
        schema_id=decoded.schema_id,
        version=decoded.version,
        position=Position(topic=topic, partition=partition, offset=offset, recorded_ns=recorded_ns),
    )
