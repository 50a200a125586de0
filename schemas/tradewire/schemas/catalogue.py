"""Event types, read from ``avro/<domain>/<entity>.<fact>/v<N>.avsc``. Adding a type is adding a file."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import fastavro

from tradewire.core.errors import SchemaFileError, UnknownEventType

BUILT_IN_FOLDER = Path(str(files("tradewire.schemas").joinpath("avro")))
_FILE = re.compile(r"^v([1-9][0-9]*)\.avsc$")
_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


@dataclass(frozen=True)
class EventSchema:
    """One version of one event type: the parsed Avro file."""

    type: str
    version: int
    schema: Mapping[str, Any]
    file: Path

    @property
    def name(self) -> str:
        """The Avro full name, part of the registry subject."""
        namespace = self.schema.get("namespace")
        return f"{namespace}.{self.schema['name']}" if namespace else str(self.schema["name"])

    @cached_property
    def text(self) -> str:
        """The compact JSON that is registered; the same text is used to look the id up."""
        return json.dumps(self.schema, separators=(",", ":"))

    @cached_property
    def parsed(self) -> Any:
        """The form fastavro works with; parsed once."""
        return fastavro.parse_schema(json.loads(self.text))

    @cached_property
    def field_names(self) -> frozenset[str]:
        return frozenset(field["name"] for field in self.schema["fields"])


@dataclass(frozen=True)
class EventType:
    """An event type with its versions, oldest first. ``topic`` is set where the schema names its own topic."""

    name: str
    versions: tuple[EventSchema, ...]

    @property
    def domain(self) -> str:
        return self.name.split(".", 1)[0]

    @property
    def latest(self) -> EventSchema:
        return self.versions[-1]

    @property
    def topic(self) -> str | None:
        """The topic of a derived type (flows, read models); None for domain events, whose topic is the domain's."""
        topic = self.latest.schema.get("tradewire", {}).get("topic")
        return str(topic) if topic else None


class Catalogue(Mapping[str, EventType]):
    """Event types by name, immutable once loaded."""

    def __init__(self, types: Mapping[str, EventType]) -> None:
        self._types = dict(sorted(types.items()))
        self._by_record_name = {
            (schema.name, schema.version): schema for type in types.values() for schema in type.versions
        }

    @classmethod
    def load(cls, *folders: Path) -> Catalogue:
        """Reads the built-in files, then each of ``folders``; a user's folder has the same shape.

        Raises:
            SchemaFileError: a file or folder name, or the Avro in it, cannot be used, or a type is defined twice; names
                the file and the field. Nothing is half loaded.
        """
        found: dict[str, dict[int, EventSchema]] = {}
        for folder in (BUILT_IN_FOLDER, *folders):
            if not folder.is_dir():
                raise SchemaFileError(f"{folder} is not a folder: does schemas.folder name the right place?")
            for schema in _read_folder(folder):
                versions = found.setdefault(schema.type, {})
                if schema.version in versions:
                    raise SchemaFileError(
                        f"{schema.file}: {schema.type} v{schema.version} is already defined by "
                        f"{versions[schema.version].file}",
                        file=str(schema.file),
                    )
                versions[schema.version] = schema
        types: dict[str, EventType] = {}
        for name, versions in found.items():
            numbers = sorted(versions)
            if numbers != list(range(1, len(numbers) + 1)):
                file = versions[numbers[-1]].file
                raise SchemaFileError(f"{file.parent}: versions are {numbers}, a number is missing", file=str(file))
            types[name] = EventType(name, tuple(versions[number] for number in numbers))
        return cls(types)

    def __getitem__(self, name: str) -> EventType:
        try:
            return self._types[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._types, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "`tradewire schemas list` shows the types."
            raise UnknownEventType(f"{name!r} is not an event type of the catalogue; {hint}", type=name) from None

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def of_domain(self, domain: str) -> Sequence[EventType]:
        """The types of a domain by name; empty for an unknown domain."""
        return [type for type in self._types.values() if type.domain == domain]

    @property
    def domains(self) -> Sequence[str]:
        return sorted({type.domain for type in self._types.values()})


def _read_folder(folder: Path) -> Iterator[EventSchema]:
    for file in sorted(folder.rglob("*.avsc")):
        parts = file.relative_to(folder).parts
        match = _FILE.match(parts[-1])
        if len(parts) != 3 or match is None:
            raise SchemaFileError(f"{file}: expected <domain>/<entity>.<fact>/v<N>.avsc below {folder}", file=str(file))
        domain, entity_fact = parts[0], parts[1]
        if not all(_NAME.match(part) for part in (domain, *entity_fact.split("."))) or entity_fact.count(".") != 1:
            raise SchemaFileError(
                f"{file}: {domain}/{entity_fact} must be lower-case <domain>/<entity>.<fact>", file=str(file)
            )
        yield _read_file(file, f"{domain}.{entity_fact}", int(match.group(1)))


def _read_file(file: Path, type: str, version: int) -> EventSchema:
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise SchemaFileError(f"{file}: cannot be read as JSON: {error}", file=str(file)) from error
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise SchemaFileError(f"{file}: the schema of an event must be an Avro record", file=str(file))
    try:
        fastavro.parse_schema(json.loads(json.dumps(schema)))
    except Exception as error:  # fastavro raises several unrelated kinds; each means the file is at fault
        raise SchemaFileError(f"{file}: not a valid Avro schema: {error}", file=str(file)) from error
    named = schema.get("tradewire", {}).get("type", type)
    if named != type:
        raise SchemaFileError(f"{file}: the schema says type {named!r}, the folder says {type!r}", file=str(file))
    return EventSchema(type, version, schema, file)
