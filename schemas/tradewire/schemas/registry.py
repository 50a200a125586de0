"""Schema ids: looked up in a Confluent-compatible registry, kept in a local archive that answers when it is away.

Nothing here registers as a side effect: ``RegistryIds.register`` is the one explicit act.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import UUID

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from tradewire.core.errors import ContractError, MalformedRecord, RegistryUnavailable, UnknownSchemaId
from tradewire.core.settings import RegistrySettings
from tradewire.schemas.catalogue import EventSchema
from tradewire.schemas.schema_keys import GuidArchive

_T = TypeVar("_T")
_NOT_FOUND = (404, 40401, 40402, 40403)


def subject_of(topic: str, schema_name: str) -> str:
    """TopicRecordName: several event types share a topic, each evolving by itself."""
    return f"{topic}-{schema_name}"


class SchemaIds(Protocol):
    """What the codec needs of a registry. All calls may block on first use of a schema and are cached after."""

    def id_of(self, schema: EventSchema, topic: str) -> int:
        """The id of a registered schema. Raises ContractError when it is not registered, RegistryUnavailable."""
        ...

    def schema_of(self, schema_id: int) -> Mapping[str, Any]:
        """The writer's schema. Raises UnknownSchemaId, RegistryUnavailable, MalformedRecord if it is not JSON."""
        ...

    def schema_of_guid(self, guid: UUID) -> Mapping[str, Any]:
        """The writer's schema, named by GUID in a header. Raises as ``schema_of`` does."""
        ...


@dataclass(frozen=True, slots=True)
class ArchivedSchema:
    """One line of the archive: enough to read a record when no registry is left."""

    id: int
    subject: str
    schema: str


class SchemaArchive:
    """A folder of ``<id>.json`` files, each written whole or not at all; an id once written never changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.guids = GuidArchive(folder / "guids")

    def put(self, entry: ArchivedSchema) -> None:
        """Keeps an entry; the same id with another schema is refused with ContractError, the old one stays."""
        file = self._folder / f"{entry.id}.json"
        known = self.get(entry.id)
        if known is not None:
            if json.loads(known.schema) != json.loads(entry.schema):
                raise ContractError(
                    f"{file}: schema id {entry.id} already stands for another schema: was the registry reset?",
                    schema_id=entry.id,
                )
            if known.subject or not entry.subject:
                return
        self._folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.{threading.get_ident()}.part")
        part.write_text(
            json.dumps({"id": entry.id, "subject": entry.subject, "schema": json.loads(entry.schema)}, indent=1)
        )
        part.replace(file)

    def get(self, schema_id: int) -> ArchivedSchema | None:
        try:
            stored = json.loads((self._folder / f"{schema_id}.json").read_text())
        except FileNotFoundError:
            return None
        return ArchivedSchema(stored["id"], stored["subject"], json.dumps(stored["schema"], separators=(",", ":")))

    def find(self, subject: str, schema: str) -> int | None:
        """The id under which a schema of a subject was archived."""
        wanted = json.loads(schema)
        ids = frozenset(self.index().get(subject, {}).values())
        for entry in self:
            if (entry.subject == subject or entry.id in ids) and json.loads(entry.schema) == wanted:
                return entry.id
        return None

    def index(self) -> dict[str, dict[int, int]]:
        """Id by version by subject, as ``tradewire schemas archive`` wrote it; empty where it has not been.

        Raises:
            ContractError: the file is broken.
        """
        file = self._folder / "subjects" / "index.json"
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            return {subject: {int(at): int(id) for at, id in numbers.items()} for subject, numbers in found.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError, TypeError) as error:
            raise ContractError(
                f"{file} cannot be read: {error}; delete it and archive again", file=str(file)
            ) from error

    def write_index(self, index: Mapping[str, Mapping[int, int]]) -> None:
        """Replaces the index whole."""
        file = self._folder / "subjects" / "index.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(index, indent=1, sort_keys=True), encoding="utf-8")
        part.replace(file)

    def __iter__(self) -> Iterator[ArchivedSchema]:
        for file in sorted(self._folder.glob("*.json")):
            entry = self.get(int(file.stem))
            if entry is not None:
                yield entry


class RegistryIds:
    """``SchemaIds`` over a registry. Thread-safe; each schema is asked for once per process."""

    def __init__(self, settings: RegistrySettings, archive: SchemaArchive | None = None) -> None:
        config: dict[str, Any] = {"url": settings.url, "timeout": settings.timeout_ms / 1000, "max.retries": 1}
        if settings.username is not None and settings.password is not None:
            config["basic.auth.user.info"] = f"{settings.username}:{settings.password.get_secret_value()}"
        self._url = settings.url
        self._client = SchemaRegistryClient(config)
        if archive is None and settings.archive_folder is not None:
            archive = SchemaArchive(settings.archive_folder)
        self._archive = archive
        self._ids: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, Mapping[str, Any]] = {}
        self._schemas_of_guids: dict[UUID, Mapping[str, Any]] = {}

    def id_of(self, schema: EventSchema, topic: str) -> int:
        key = (subject_of(topic, schema.name), schema.text)
        known = self._ids.get(key)
        if known is None:
            known = self._ids[key] = self._look_up(schema, key[0])
            self._schemas[known] = schema.schema
        return known

    def _look_up(self, schema: EventSchema, subject: str) -> int:
        try:
            found = self._ask(lambda: self._client.lookup_schema(subject, Schema(schema.text, "AVRO")))
        except RegistryUnavailable:
            archived = self._archive.find(subject, schema.text) if self._archive else None
            if archived is None:
                raise
            return archived
        if found is None:
            raise ContractError(
                f"{schema.type} v{schema.version} is not registered under {subject} at {self._url}: "
                "run `tradewire schemas register`",
                subject=subject,
            )
        if found.schema_id is None:
            raise ContractError(f"{self._url} answers {subject} without an id", subject=subject)
        self._keep(ArchivedSchema(found.schema_id, subject, schema.text))
        return found.schema_id

    def schema_of(self, schema_id: int) -> Mapping[str, Any]:
        known = self._schemas.get(schema_id)
        if known is not None:
            return known
        archived = self._archive.get(schema_id) if self._archive else None
        if archived is not None:
            text = archived.schema
        else:
            found = self._ask(lambda: self._client.get_schema(schema_id))
            if found is None:
                raise UnknownSchemaId(
                    f"schema id {schema_id} is unknown at {self._url} and in the archive: was the record written "
                    "against another registry?",
                    schema_id=schema_id,
                )
            text = str(found.schema_str)
            _parsed(text, f"schema id {schema_id}")
            self._keep(ArchivedSchema(schema_id, "", text))
        schema = self._schemas[schema_id] = _parsed(text, f"schema id {schema_id}")
        return schema

    def schema_of_guid(self, guid: UUID) -> Mapping[str, Any]:
        """The schema of a GUID: Confluent Platform 8 serves them, Apicurio 3.0 does not (it answers 404 for all)."""
        known = self._schemas_of_guids.get(guid)
        if known is not None:
            return known
        text = self._archive.guids.get(guid) if self._archive else None
        if text is None:
            found = self._ask(lambda: self._client.get_schema_by_guid(str(guid)))
            if found is None:
                raise UnknownSchemaId(
                    f"schema guid {guid} is unknown at {self._url} and in the archive: does that registry serve "
                    "/schemas/guids, and did the writer use it? The default serializer writes ids, which any serves",
                    schema_guid=str(guid),
                )
            text = str(found.schema_str)
            _parsed(text, f"schema guid {guid}")
            if self._archive is not None:
                self._archive.guids.put(guid, text)
        schema = self._schemas_of_guids[guid] = _parsed(text, f"schema guid {guid}")
        return schema

    def register(self, schema: EventSchema, topic: str) -> int:
        """Registers a schema under its subject and returns its id; the same schema again gives the same id.

        Raises:
            ContractError: the registry refuses it, as incompatible for instance; quotes the registry.
            RegistryUnavailable: no answer; whether it was registered is unknown, and asking again is safe.
        """
        subject = subject_of(topic, schema.name)
        try:
            schema_id = self._ask(lambda: self._client.register_schema(subject, Schema(schema.text, "AVRO")))
        except SchemaRegistryError as error:
            raise ContractError(
                f"{schema.file}: {self._url} refuses {schema.type} v{schema.version} for {subject}: "
                f"{error.error_message}",
                subject=subject,
            ) from error
        if schema_id is None:
            raise ContractError(f"{self._url} has no route to register {subject}: is the URL a ccompat base?")
        self._keep(ArchivedSchema(int(schema_id), subject, schema.text))
        self._ids[(subject, schema.text)] = int(schema_id)
        return int(schema_id)

    def remember(self, schema: EventSchema, topic: str, schema_id: int) -> None:
        """Takes an id that somebody else has from the registry into cache and archive; asks nobody."""
        subject = subject_of(topic, schema.name)
        self._keep(ArchivedSchema(schema_id, subject, schema.text))
        self._ids[(subject, schema.text)] = schema_id

    def _keep(self, entry: ArchivedSchema) -> None:
        if self._archive is not None:
            self._archive.put(entry)

    def _ask(self, call: Callable[[], _T]) -> _T | None:
        try:
            return call()
        except SchemaRegistryError as error:
            if error.http_status_code == 404 or error.error_code in _NOT_FOUND:
                return None
            if error.http_status_code >= 500:
                raise RegistryUnavailable(f"{self._url} answers {error.http_status_code}: {error}") from error
            raise
        except Exception as error:  # the client lets its HTTP library's errors through, and that library has changed
            raise RegistryUnavailable(f"{self._url} does not answer ({error}): is the registry up?") from error


def _parsed(text: str, named: str) -> Mapping[str, Any]:
    try:
        schema: Mapping[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedRecord(f"{named}: what the registry holds is not an Avro schema: {error}") from error
    return schema


class FixedIds:
    """``SchemaIds`` numbered in order of first use, in memory: for tests of the codec that need no registry."""

    def __init__(self) -> None:
        self._schemas: list[EventSchema] = []

    def id_of(self, schema: EventSchema, topic: str) -> int:
        for number, known in enumerate(self._schemas, start=1):
            if known.text == schema.text:
                return number
        self._schemas.append(schema)
        return len(self._schemas)

    def schema_of(self, schema_id: int) -> Mapping[str, Any]:
        if not 1 <= schema_id <= len(self._schemas):
            raise UnknownSchemaId(f"schema id {schema_id} was never given out", schema_id=schema_id)
        return self._schemas[schema_id - 1].schema

    def schema_of_guid(self, guid: UUID) -> Mapping[str, Any]:
        raise UnknownSchemaId(f"schema guid {guid} was never given out", schema_guid=str(guid))
