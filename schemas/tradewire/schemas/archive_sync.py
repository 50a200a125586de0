"""The local schema archive against a registry: filled with all of it, compared with it, restored from.

``SchemaArchive`` keeps a schema per id. Which subjects and versions an id belongs to stands beside in
``subjects/index.json``, written by ``fill_archive`` alone: an id may serve several subjects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tradewire.core.errors import ContractError
from tradewire.schemas.catalogue import EventSchema
from tradewire.schemas.catalogue_check import same_meaning
from tradewire.schemas.compatibility import CompatibilityLevel
from tradewire.schemas.registry import ArchivedSchema, SchemaArchive
from tradewire.schemas.registry_admin import RegisteredVersion, RegistryAdmin, RegistryRefused, in_order

_FILLER_SUBJECT = "tradewire.restore.filler"


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What ``fill_archive`` found. ``left_out`` are versions of other kinds than Avro: no archive holds them."""

    versions: int
    ids: int
    new_ids: int
    left_out: tuple[RegisteredVersion, ...]


@dataclass(frozen=True, slots=True)
class ArchiveProblem:
    """One difference between archive and registry, or catalogue; ``fix`` says what to do."""

    what: str
    fix: str


def read_registry(admin: RegistryAdmin) -> list[RegisteredVersion]:
    """Every version of every subject, in the order of ids. Raises RegistryUnavailable, RegistryRefused."""
    histories = admin.histories(admin.subjects())
    return list(in_order(version for versions in histories.values() for version in versions))


def fill_archive(folder: Path, versions: Sequence[RegisteredVersion]) -> ArchiveReport:
    """Archives every Avro version; what is archived already stays, and nothing is ever removed.

    Raises:
        ContractError: an id stands for another schema in the archive: the registry was reset, or this is another one.
            Those before it are archived.
    """
    archive = SchemaArchive(folder)
    known = {entry.id for entry in archive}
    kept = [version for version in versions if version.kind == "AVRO"]
    for version in kept:
        archive.put(ArchivedSchema(version.id, version.subject, version.schema))
    index = archive.index()
    for version in kept:
        index.setdefault(version.subject, {})[version.version] = version.id
    archive.write_index(index)
    ids = {version.id for version in kept}
    left_out = tuple(version for version in versions if version.kind != "AVRO")
    return ArchiveReport(len(kept), len(ids), len(ids - known), left_out)


def verify_archive(
    folder: Path, versions: Sequence[RegisteredVersion], catalogue: Iterable[EventSchema]
) -> list[ArchiveProblem]:
    """What an archive lacks of a registry or of a catalogue, and where they contradict each other."""
    archive = SchemaArchive(folder)
    entries = {entry.id: entry for entry in archive}
    problems: list[ArchiveProblem] = []
    fill = "run `tradewire schemas archive` while the registry is well"
    for version in versions:
        entry = entries.get(version.id)
        named = f"id {version.id} ({version.subject} version {version.version})"
        if version.kind != "AVRO":
            continue
        if entry is None:
            problems.append(ArchiveProblem(f"{named} is in the registry and not in the archive", fill))
        elif not _same(entry.schema, version.schema):
            problems.append(
                ArchiveProblem(
                    f"{named} is another schema in the archive",
                    "stop the writers: the registry was reset or restored from an older copy, and gives old ids anew",
                )
            )
    there = {version.id for version in versions}
    for schema_id in sorted(set(entries) - there):
        subject = entries[schema_id].subject or "subject unknown"
        problems.append(
            ArchiveProblem(
                f"id {schema_id} ({subject}) is archived and not in the registry",
                "events written with it are read from the archive alone: restore the registry, or keep the archive",
            )
        )
    archived = [entry.schema for entry in entries.values()]
    for schema in catalogue:
        if not any(same_meaning(schema.schema, text) for text in archived):
            problems.append(
                ArchiveProblem(
                    f"{schema.type} v{schema.version} is in no archived schema",
                    "run `tradewire schemas register`, then `tradewire schemas archive`",
                )
            )
    return problems


def restore(folder: Path, admin: RegistryAdmin) -> list[RegisteredVersion]:
    """Registers every archived schema in an empty registry under its old id, and returns them.

    With mode IMPORT the ids are told to the registry. A registry without modes (Apicurio) gives ids in sequence: there
    the schemas go in the order of ids, a gap is filled by a schema of the subject ``tradewire.restore.filler``, and
    each id is compared with the archive's.

    Raises:
        ContractError: the archive has no index, the registry is not empty, or it gave another id (it must then be
            emptied; nothing should be published against it).
        RegistryUnavailable: asked half-way; empty the registry before repeating.
    """
    versions = _archived_versions(folder)
    there = admin.subjects()
    if there:
        raise ContractError(
            f"{admin.url} holds {len(there)} subjects: only an empty registry can be restored into, else ids would mix"
        )
    imports = admin.set_mode("IMPORT")
    level = admin.level()
    if not imports:
        # Old versions were registered under the rules of their time, which may have been none.
        admin.set_level(CompatibilityLevel.NONE)
    try:
        if imports:
            for version in versions:
                given = admin.register(version.subject, version.schema, version=version.version, id=version.id)
                _expect(version, given, admin.url)
        else:
            _restore_in_sequence(versions, admin)
    finally:
        if imports:
            admin.set_mode("READWRITE")
        elif level is not None:
            admin.set_level(level)
    return versions


def _restore_in_sequence(versions: Sequence[RegisteredVersion], admin: RegistryAdmin) -> None:
    last = 0
    for version in versions:
        while last + 1 < version.id:
            filler = json.dumps({"type": "enum", "name": f"Filler{last + 1}", "symbols": ["NONE"]})
            given = admin.register(_FILLER_SUBJECT, filler)
            _expect(RegisteredVersion(_FILLER_SUBJECT, 0, last + 1, filler), given, admin.url)
            last += 1
        given = admin.register(version.subject, version.schema)
        _expect(version, given, admin.url)
        last = version.id


def _expect(version: RegisteredVersion, given: int, url: str) -> None:
    if given != version.id:
        raise RegistryRefused(
            f"{url} gave {version.subject} version {version.version} the id {given} and not {version.id}: it neither "
            "takes ids (mode IMPORT) nor counts them from 1. Empty it, restore a backup of its own storage, and until "
            "then let readers and publishers work from the archive (registry.archive_folder)",
            schema_id=version.id,
        )


def _archived_versions(folder: Path) -> list[RegisteredVersion]:
    archive = SchemaArchive(folder)
    index = archive.index()
    if not index:
        raise ContractError(f"{folder} has no index of subjects: `tradewire schemas archive` writes it from a registry")
    versions = []
    for subject, numbers in index.items():
        for number, schema_id in numbers.items():
            entry = archive.get(schema_id)
            if entry is None:
                raise ContractError(f"{folder}: id {schema_id} of {subject} version {number} has no file", id=schema_id)
            versions.append(RegisteredVersion(subject, number, schema_id, entry.schema))
    return list(in_order(versions))


def _same(one: str, other: str) -> bool:
    return bool(json.loads(one) == json.loads(other))
