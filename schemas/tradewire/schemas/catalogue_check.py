"""Whether a catalogue may follow what has been released: in a git revision, or in a registry. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tradewire.core.errors import ContractError
from tradewire.schemas.catalogue import EventSchema
from tradewire.schemas.compatibility import (
    CompatibilityLevel,
    Direction,
    Finding,
    Severity,
    check_compatibility,
)
from tradewire.schemas.registry_admin import RegisteredVersion

TYPE_DELETED = "TYPE_DELETED"
VERSION_DELETED = "RELEASED_VERSION_DELETED"
VERSION_CHANGED = "RELEASED_VERSION_CHANGED"
DOC_CHANGED = "DOC_CHANGED"
VERSION_MISSING = "VERSION_MISSING"
UNKNOWN_HERE = "UNKNOWN_IN_CATALOGUE"
NOT_A_SCHEMA = "NOT_A_SCHEMA"


@dataclass(frozen=True, slots=True)
class ReleasedSchema:
    """One version of an event type as a git revision holds it."""

    type: str
    version: int
    schema: Any
    file: str


@dataclass(frozen=True, slots=True)
class CatalogueFinding:
    """One thing that forbids a catalogue to be released, or that is to be known (a warning).

    ``rule`` is one of ``Rule`` or of this module's own; ``against`` names what it was compared with.
    """

    file: str
    type: str
    version: int
    rule: str
    message: str
    fix: str
    severity: Severity = Severity.ERROR
    field: str = ""
    path: str = ""
    direction: Direction | None = None
    against: str = ""

    def as_json(self) -> dict[str, Any]:
        """For machines; ``direction`` is null where the rule has none."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "severity": self.severity.value,
            "direction": None if self.direction is None else self.direction.value,
        }


def check_against_released(
    current: Iterable[EventSchema],
    released: Iterable[ReleasedSchema],
    level: CompatibilityLevel,
    *,
    revision: str,
    strict: bool = True,
    only: frozenset[str] = frozenset(),
) -> list[CatalogueFinding]:
    """Released versions are there and unchanged but for docs, and each new one may follow those of its record name.

    ``only`` narrows it to some types; empty means all.
    """
    here: dict[str, dict[int, EventSchema]] = {}
    for schema in current:
        here.setdefault(schema.type, {})[schema.version] = schema
    old: dict[str, dict[int, ReleasedSchema]] = {}
    for item in released:
        old.setdefault(item.type, {})[item.version] = item
    findings: list[CatalogueFinding] = []
    for type in sorted({*here, *old}):
        if not only or type in only:
            findings += _kept(type, here.get(type, {}), old.get(type, {}), revision)
            findings += _new_versions(here.get(type, {}), old.get(type, {}), level, strict)
    return findings


def check_history(
    versions: Sequence[EventSchema], level: CompatibilityLevel, *, strict: bool = True
) -> list[CatalogueFinding]:
    """What forbids the versions of one type to follow one another, each compared as if it were new."""
    return _new_versions({schema.version: schema for schema in versions}, {}, level, strict)


def check_against_registry(
    schema: EventSchema,
    history: Sequence[RegisteredVersion],
    level: CompatibilityLevel,
    *,
    strict: bool = True,
    earlier: Sequence[EventSchema] = (),
) -> list[CatalogueFinding]:
    """Whether a version may be registered after ``history``; ``earlier`` are versions that will be before it."""
    if any(same_meaning(schema.schema, item.schema) for item in history):
        return []
    unregistered = [item for item in earlier if not any(same_meaning(item.schema, old.schema) for old in history)]
    names = [f"version {item.version} of {item.subject} (id {item.id})" for item in history]
    names += [f"v{item.version}" for item in unregistered]
    texts = [*(item.schema for item in history), *(item.schema for item in unregistered)]
    return _compared(schema, texts, names, level, strict)


def unknown_here(
    versions: Iterable[EventSchema], history: Iterable[RegisteredVersion], type: str
) -> list[CatalogueFinding]:
    """Warnings for versions that a registry holds and the catalogue does not: an older work tree, or a lost file."""
    known = list(versions)
    return [
        CatalogueFinding(
            str(known[-1].file.parent) if known else "",
            type,
            item.version,
            UNKNOWN_HERE,
            f"version {item.version} of {item.subject} (id {item.id}) is in the registry and in no file here",
            "is this work tree older than what is in production? Bring the file back, or leave it to history",
            Severity.WARNING,
        )
        for item in history
        if not any(same_meaning(schema.schema, item.schema) for schema in known)
    ]


def same_meaning(one: Any, other: Any) -> bool:
    """Whether two schemas, as JSON or text, differ in nothing but docs and the property ``tradewire``."""
    return bool(_meaning(one) == _meaning(other))


def _meaning(schema: Any) -> Any:
    if isinstance(schema, str) and schema[:1] in "{[":
        schema = json.loads(schema)
    if isinstance(schema, Mapping):
        # A default may hold any keys: only those of schemas and fields are left out.
        return {
            key: value if key == "default" else _meaning(value)
            for key, value in schema.items()
            if key not in ("doc", "tradewire")
        }
    return [_meaning(item) for item in schema] if isinstance(schema, list | tuple) else schema


def _kept(
    type: str, here: Mapping[int, EventSchema], old: Mapping[int, ReleasedSchema], revision: str
) -> list[CatalogueFinding]:
    findings = []
    for number, item in sorted(old.items()):
        current = here.get(number)
        if current is None:
            rule, what = (VERSION_DELETED, f"{type} v{number}") if here else (TYPE_DELETED, f"the event type {type}")
            findings.append(
                CatalogueFinding(
                    item.file,
                    type,
                    number,
                    rule,
                    f"{what} was released ({revision}) and its file is gone",
                    f"bring it back (`git checkout {revision} -- {item.file}`): its events must stay readable",
                    against=revision,
                )
            )
        elif not same_meaning(current.schema, item.schema):
            difference = _first_difference(current, item)
            findings.append(
                CatalogueFinding(
                    str(current.file),
                    type,
                    number,
                    VERSION_CHANGED,
                    f"{type} v{number} was released ({revision}) and is another now: {difference}",
                    f"released versions never change: undo it, and put the change into v{max(*here, *old) + 1}.avsc",
                    field=difference.partition(" ")[0],
                    against=revision,
                )
            )
        elif current.schema != item.schema:
            findings.append(
                CatalogueFinding(
                    str(current.file),
                    type,
                    number,
                    DOC_CHANGED,
                    f"{type} v{number} was released ({revision}) and its docs, or its property tradewire, differ",
                    "run `tradewire schemas register` before services with this text start: it gets an id of its own",
                    Severity.WARNING,
                    against=revision,
                )
            )
    return findings


def _first_difference(current: EventSchema, old: ReleasedSchema) -> str:
    new_fields = {field["name"]: field for field in current.schema["fields"]}
    old_fields = {field["name"]: field for field in old.schema.get("fields", ())}
    for name in [*old_fields, *new_fields]:
        if name not in new_fields:
            return f"{name} is gone"
        if name not in old_fields:
            return f"{name} is new"
        if _meaning(new_fields[name]) != _meaning(old_fields[name]):
            return f"{name} differs"
    if list(new_fields) != list(old_fields):
        return "the order of the fields differs"
    return "the record's name, namespace or aliases differ"


def _new_versions(
    here: Mapping[int, EventSchema], old: Mapping[int, ReleasedSchema], level: CompatibilityLevel, strict: bool
) -> list[CatalogueFinding]:
    findings: list[CatalogueFinding] = []
    for number, schema in sorted(here.items()):
        for missing in range(max([0, *(known for known in here if known < number)]) + 1, number):
            if missing not in old:  # a released one that is gone is said as such
                text = f"{schema.type} has v{number} and no v{missing}"
                fix = f"call it v{missing}.avsc: versions follow one another"
                findings.append(CatalogueFinding(str(schema.file), schema.type, number, VERSION_MISSING, text, fix))
        if number not in old:
            before = [item for at, item in sorted(here.items()) if at < number and item.name == schema.name]
            names = [f"v{item.version}" for item in before]
            findings += _compared(schema, [item.schema for item in before], names, level, strict)
    return findings


def _compared(
    schema: EventSchema, history: Sequence[Any], names: Sequence[str], level: CompatibilityLevel, strict: bool
) -> list[CatalogueFinding]:
    file, version = str(schema.file), schema.version
    try:
        found = check_compatibility(schema.schema, history, level, strict=strict, new_name=f"v{version}", names=names)
    except ContractError as error:
        text = f"it cannot be compared: {error}"
        return [CatalogueFinding(file, schema.type, version, NOT_A_SCHEMA, text, "correct the schema")]
    return [_told(schema, finding, names) for finding in found]


def _told(schema: EventSchema, finding: Finding, names: Sequence[str]) -> CatalogueFinding:
    item = finding.incompatibility
    return CatalogueFinding(
        str(schema.file),
        schema.type,
        schema.version,
        item.rule.value,
        item.message,
        item.fix,
        item.severity,
        item.field,
        item.path,
        finding.direction,
        names[finding.against],
    )
