"""From the bytes of any version to data of the newest: Avro resolution between versions that are alike, upcasters
across breaking steps.

Versions of one record name are alike: one compiled step resolves from the writer's schema to the newest of them. At a
breaking step the upcaster takes over; what it returns is encoded with the version it belongs to and decoded as the
newest alike to that one, which checks every field, fills in defaults and makes values what they would be on the wire.
Records of the newest version pay for none of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from tradewire.core.errors import EventInvalid, MalformedRecord
from tradewire.schemas._compiled_decoder import Decoder
from tradewire.schemas._compiled_encoder import EncoderFactory
from tradewire.schemas._resolution import Unresolvable
from tradewire.schemas.catalogue import EventSchema, EventType, Written

Read = Callable[[bytes, int], Any]
# A made-up version must not fill a message.
_REASON_CHARACTERS_MAX: Final = 500


class NewerVersion(MalformedRecord):
    """Raised when a record cannot be read because its version is later than those of this catalogue.

    Operator: upgrade the reader; the record is intact, where the reader put its dead letters.
    """


class UpcastFailed(MalformedRecord):
    """Raised when an upcaster raises or returns data that do not fit its version; names type, versions and field.

    Author: correct the upcaster; the record is intact, where the reader put its dead letters.
    """


@lru_cache(maxsize=1024)
def encoder_factory(schema_text: str, title: str) -> EncoderFactory:
    return EncoderFactory(json.loads(schema_text), title)


@lru_cache(maxsize=1024)
def decoder(writer_text: str, reader_text: str | None, title: str) -> Decoder:
    return Decoder(json.loads(writer_text), None if reader_text is None else json.loads(reader_text), title=title)


@dataclass(frozen=True, slots=True)
class Reading:
    """How records of one schema are read. ``read(bytes, at)`` raises anything; ``refusal`` says what it means."""

    named: str
    schema_id: int | None
    written: Written
    first: Decoder
    read: Read

    @property
    def type(self) -> str | None:
        return None if self.written.type is None else self.written.type.name

    def refusal(self, error: Exception) -> MalformedRecord:
        """The typed error for what ``read`` raised."""
        if isinstance(error, UpcastFailed):
            return error
        reason = self.first.reason(error)
        type = self.written.type
        if type is not None and self.written.known is None and isinstance(error, Unresolvable | KeyError):
            return newer_version(type, self.written.version, f"{self.named}: {reason}", self.schema_id)
        return MalformedRecord(
            f"{self.named} ({self.type}): the bytes do not fit the schema: {reason}", schema_id=self.schema_id
        )


def reading_of(written: Written, schema: Any, named: str, schema_id: int | None) -> Reading:
    """Compiles what records of a writer's schema go through; ``named`` is how messages name that schema.

    Raises:
        NewerVersion: the schema is of a type that is known and a record name that is not.
        Exception: whatever fastavro raises for a schema that it cannot parse.
    """
    type, newest = written.type, written.newest_alike
    if type is None or newest is None:
        if type is not None:
            said = f"its schema ({named}) has a record name that none of them has"
            raise newer_version(type, written.version, said, schema_id)
        alone = decoder(json.dumps(schema), None, named)
        return Reading(named, schema_id, written, alone, alone.read)
    is_newest = written.known is not None and written.known.fingerprint == newest.fingerprint
    first = decoder(json.dumps(schema), None if is_newest else newest.text, f"{type.name} {named}")
    steps = [
        _Step(type, type.versions[at - 1], version, _newest_alike(type, version))
        for at, version in enumerate(type.versions)
        if version.is_breaking and version.version > newest.version
    ]
    return Reading(named, schema_id, written, first, _chained(first.read, steps) if steps else first.read)


def newer_version(type: EventType, version: int | None, why: str, schema_id: int | None) -> NewerVersion:
    """The error for a record of a version that is not known here."""
    record = "of another version" if version is None else f"v{version}"
    known = "v1" if len(type.versions) == 1 else f"v1..v{type.latest.version}"
    return NewerVersion(
        f"{type.name}: this reader knows {known}, the record is {record}: upgrade the reader "
        f"({why[:_REASON_CHARACTERS_MAX]})",
        event_type=type.name,
        version=version,
        schema_id=schema_id,
    )


def _newest_alike(type: EventType, version: EventSchema) -> EventSchema:
    return [other for other in type.versions if other.name == version.name][-1]


def _chained(first: Read, steps: list[_Step]) -> Read:
    def read(value: bytes, at: int) -> Any:
        data = first(value, at)
        for step in steps:
            data = step(data)
        return data

    return read


class _Step:
    """One breaking step: upcast, check, resolve on to the newest version that is alike."""

    def __init__(self, type: EventType, before: EventSchema, after: EventSchema, newest: EventSchema) -> None:
        assert after.upcaster is not None
        self._upcast = after.upcaster
        self._versions = (before.version, after.version)
        self._type = type.name
        title = f"{type.name} v{after.version}"
        self._encode = encoder_factory(after.text, title).encoder(b"")
        self._decoder = decoder(after.text, None if newest is after else newest.text, title)

    def __call__(self, data: Mapping[str, Any]) -> Any:
        try:
            upcast = self._upcast(data)
        except Exception as error:  # of a user's own code: all of it means that this record cannot be read
            raise self._failed(f"raised {error!r}"[:_REASON_CHARACTERS_MAX]) from error
        if not isinstance(upcast, Mapping):
            raise self._failed(f"returned {upcast!r}"[:_REASON_CHARACTERS_MAX] + ", which is no mapping of fields")
        try:
            octets = self._encode(upcast)
        except EventInvalid as error:
            raise self._failed(f"returned data that do not fit: {error}") from error
        try:
            return self._decoder.read(octets, 0)
        except Exception as error:
            raise self._failed(f"returned data that cannot be resolved: {self._decoder.reason(error)}") from error

    def _failed(self, what: str) -> UpcastFailed:
        before, after = self._versions
        return UpcastFailed(
            f"{self._type}: the upcaster from v{before} to v{after} {what}",
            event_type=self._type,
            from_version=before,
            to_version=after,
        )
