"""Event types, read from ``avro/<domain>/<entity>.<fact>/v<N>.avsc``. Adding a type is adding a file."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import fastavro

from tradewire.core.errors import ContractError, SchemaFileError, UnknownEventType
from tradewire.schemas._fingerprint import fingerprint, full_name
from tradewire.schemas.compatibility import Severity, can_read
from tradewire.schemas.schema_files import read_schema_files
from tradewire.schemas.upcasters import Upcaster

BUILT_IN_FOLDER = Path(str(files("tradewire.schemas").joinpath("avro")))


@dataclass(frozen=True)
class EventSchema:
    """One version of one event type: the parsed Avro file.

    ``upcaster`` is set on a breaking version, which is one whose record has another name than that of the version
    before: it makes data of this version of data of the version before.
    """

    type: str
    version: int
    schema: Mapping[str, Any]
    file: Path
    upcaster: Upcaster | None = None

    @property
    def name(self) -> str:
        """The Avro full name, part of the registry subject."""
        return full_name(self.schema)

    @property
    def is_breaking(self) -> bool:
        """Whether Avro alone cannot read the version before as this one."""
        return self.upcaster is not None

    @cached_property
    def fingerprint(self) -> str:
        """Equal to that of another schema if the two differ in docs, defaults and properties alone."""
        return fingerprint(self.schema)

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


@dataclass(frozen=True, slots=True)
class Written:
    """What a catalogue makes of a writer's schema.

    ``version`` is that of ``known``; of a schema that the catalogue does not hold, what the schema says of itself where
    that is a later version than any here; None if it says nothing of use. ``known`` is the catalogue's version with the
    same meaning. ``newest_alike`` is the newest version of the same record name: what Avro resolves to.
    """

    type: EventType | None
    version: int | None = None
    known: EventSchema | None = None
    newest_alike: EventSchema | None = None


class Catalogue(Mapping[str, EventType]):
    """Event types by name, immutable once loaded."""

    def __init__(self, types: Mapping[str, EventType]) -> None:
        self._types = dict(sorted(types.items()))
        self._by_record_name: dict[str, list[EventSchema]] = {}
        for type in types.values():
            for schema in type.versions:
                self._by_record_name.setdefault(schema.name, []).append(schema)

    @classmethod
    def load(cls, *folders: Path) -> Catalogue:
        """Reads the built-in files, then each of ``folders``; a user's folder has the same shape.

        Raises:
            SchemaFileError: a file or folder name, or the Avro in it, cannot be used, a type is defined twice, or a
                version does not follow from those before; names file, field, why and fix. Nothing is half loaded.
        """
        found: dict[str, dict[int, EventSchema]] = {}
        for folder in (BUILT_IN_FOLDER, *folders):
            for schema in (EventSchema(*file) for file in read_schema_files(folder)):
                versions = found.setdefault(schema.type, {})
                _refuse_foreign(schema, versions, folder)
                versions[schema.version] = schema
        types: dict[str, EventType] = {}
        for name, versions in found.items():
            numbers = sorted(versions)
            if numbers != list(range(1, len(numbers) + 1)):
                file = versions[numbers[-1]].file
                raise SchemaFileError(
                    f"{file}: the versions of {name} are {numbers}, a number is missing; versions begin with 1 and "
                    "follow one another",
                    file=str(file),
                )
            types[name] = EventType(name, tuple(versions[number] for number in numbers))
        for type in types.values():
            _refuse_versions(type.versions)
        _refuse_shared_names(types.values())
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

    def identify(self, schema: Any) -> Written:
        """Tells which type and version wrote with a schema, as a registry gives it. Never raises.

        A version is recognised by its text, else by what the text means: a registry may have dropped the property
        ``tradewire``, docs or the order of keys.
        """
        alike = self._by_record_name.get(full_name(schema), ())
        said = schema.get("tradewire") if isinstance(schema, Mapping) else None
        said = said if isinstance(said, Mapping) else {}
        if not alike:
            type = self._types.get(str(said.get("type")))
            return Written(type, None if type is None else _later(said, type))
        type = self._types[alike[0].type]
        known = next((version for version in alike if dict(version.schema) == dict(schema)), None)
        if known is None:
            same = [version for version in alike if version.fingerprint == _fingerprint(schema)]
            known = next((version for version in same if version.version == said.get("version")), None)
            known = known or (same[0] if same else None)
        version = _later(said, type) if known is None else known.version
        return Written(type, version, known, alike[-1])

    def of_domain(self, domain: str) -> Sequence[EventType]:
        """The types of a domain by name; empty for an unknown domain."""
        return [type for type in self._types.values() if type.domain == domain]

    @property
    def domains(self) -> Sequence[str]:
        return sorted({type.domain for type in self._types.values()})


def _fingerprint(schema: Any) -> str | None:
    try:
        return fingerprint(schema)
    except (LookupError, TypeError, RecursionError):  # no Avro: whoever reads with it says so
        return None


def _later(said: Mapping[str, Any], type: EventType) -> int | None:
    version = said.get("version")
    return version if isinstance(version, int) and version > type.latest.version else None


def _refuse_foreign(schema: EventSchema, versions: Mapping[int, EventSchema], folder: Path) -> None:
    """A user's folder adds types; it neither replaces a version nor continues a type of ours."""
    if schema.version in versions:
        raise SchemaFileError(
            f"{schema.file}: {schema.type} v{schema.version} is already defined by {versions[schema.version].file}; "
            "choose another name for the type",
            file=str(schema.file),
        )
    first = next(iter(versions.values()), None)
    if first is not None and folder != BUILT_IN_FOLDER and first.file.is_relative_to(BUILT_IN_FOLDER):
        raise SchemaFileError(
            f"{schema.file}: {schema.type} is a type of Tradewire's own, whose next version would be another; make a "
            "type of your own domain instead",
            file=str(schema.file),
        )


def _refuse_shared_names(types: Iterable[EventType]) -> None:
    """A record is told by its name, so no two types may have the same."""
    owner: dict[str, EventSchema] = {}
    for type in types:
        for schema in type.versions:
            other = owner.setdefault(schema.name, schema)
            if other.type != schema.type:
                raise SchemaFileError(
                    f"{schema.file}: the record name {schema.name} is that of {other.type} ({other.file}); choose "
                    "another name or namespace",
                    file=str(schema.file),
                )


def _refuse_versions(versions: Sequence[EventSchema]) -> None:
    """A version either can be read from all older ones of its record name, or has another name and an upcaster."""
    for at, schema in enumerate(versions):
        alike = [older for older in versions[:at] if older.name == schema.name]
        if alike and alike[-1] is not versions[at - 1]:
            raise _version_error(
                schema, f"its record is named {schema.name} again, as v{alike[-1].version}", "name it anew"
            )
        if schema.is_breaking and (alike or not at):
            why = f"keeps the record name of v{alike[-1].version}, so Avro reads the older" if alike else "is the first"
            raise _version_error(schema, f"it has an upcaster, but {why}", "remove the upcaster, or rename the record")
        if at and not alike and not schema.is_breaking:
            raise _version_error(
                schema,
                f"its record is named {schema.name}, that of v{at} {versions[at - 1].name}: another name makes a "
                "breaking version, and that needs an upcaster",
                f"keep the name, or put v{schema.version}.py beside the file, with def upcast(data) that makes data of "
                f"v{schema.version} of data of v{at}",
            )
        for older in alike:
            _refuse_incompatible(schema, older)


def _refuse_incompatible(schema: EventSchema, older: EventSchema) -> None:
    new, old = f"v{schema.version}", f"v{older.version}"
    try:
        found = can_read(schema.schema, older.schema, strict=True, reader_name=new, writer_name=old)
    except ContractError as error:
        raise _version_error(schema, f"it cannot be compared with v{older.version}: {error}", "correct it") from error
    for item in found:
        if item.severity is Severity.ERROR:
            raise _version_error(
                schema,
                f"field {item.field}: {item.message}" if item.field else item.message,
                f"{item.fix.rstrip('.')}; or make it a breaking version: give the record another name, as "
                f"{schema.name.rpartition('.')[2]}V{schema.version}, and put an upcaster v{schema.version}.py beside",
                field=item.field,
            )


def _version_error(schema: EventSchema, why: str, fix: str, **context: object) -> SchemaFileError:
    text = f"{schema.file}: {schema.type} v{schema.version} cannot follow: {why.rstrip('.')}; {fix}"
    return SchemaFileError(text, file=str(schema.file), fix=fix, **context)
