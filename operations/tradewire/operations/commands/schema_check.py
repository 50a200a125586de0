"""`tradewire schemas check`: may this catalogue follow what is released, in a git revision or in a registry?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from tradewire.core import SchemaFileError, Settings, TradewireError, load_settings
from tradewire.operations.consoles import stdout_console
from tradewire.operations.schema_releases import RevisionUnreadable, released_at, repository_of
from tradewire.schemas import Catalogue, EventSchema, Topics
from tradewire.schemas.catalogue import BUILT_IN_FOLDER
from tradewire.schemas.catalogue_check import (
    CatalogueFinding,
    check_against_registry,
    check_against_released,
    unknown_here,
)
from tradewire.schemas.compatibility import CompatibilityLevel, Severity, check_compatibility
from tradewire.schemas.registry import subject_of
from tradewire.schemas.registry_admin import RegistryAdmin
from tradewire.schemas.schema_files import read_schema_files

COMPATIBLE, INCOMPATIBLE, NOT_CHECKED = 0, 1, 2


def check(
    types: Annotated[list[str] | None, typer.Argument(metavar="[TYPE]...", help="only these event types")] = None,
    against_git: Annotated[str | None, typer.Option(metavar="REV", help="a git revision, e.g. origin/main")] = None,
    against_registry: Annotated[
        bool, typer.Option("--against-registry", help="every version that the registry holds")
    ] = False,
    level: Annotated[
        CompatibilityLevel | None, typer.Option(help="instead of registry.compatibility and of a subject's own")
    ] = None,
    avro_only: Annotated[
        bool, typer.Option("--avro-only", help="without the house's rules, as a registry does")
    ] = False,
    new: Annotated[Path | None, typer.Option(metavar="FILE", help="judge this file, not the catalogue")] = None,
    old: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="what --new follows; repeat it, oldest first")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the answer as one JSON object on stdout")] = False,
) -> None:
    """Exit code 0: compatible. 1: incompatible; names file, field, rule and fix. 2: could not be checked."""
    try:
        settings = load_settings()
        wanted = level or CompatibilityLevel(settings.registry.compatibility)
        if new is not None or old:
            compared, findings = [str(file) for file in old or ()], _check_files(new, old or [], wanted, not avro_only)
        else:
            only = frozenset(types or ())
            compared, findings = _check_catalogue(
                settings, only, against_git, against_registry, level, strict=not avro_only
            )
    except TradewireError as error:
        if as_json:
            typer.echo(json.dumps({"compatible": None, "error": str(error)}, indent=2))
        Console(stderr=True, soft_wrap=True).print(f"[bold red]could not be checked:[/] {escape(str(error))}")
        raise typer.Exit(NOT_CHECKED) from None
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if as_json:
        answer: dict[str, Any] = {"compatible": not errors, "level": wanted.value, "compared_with": compared}
        typer.echo(json.dumps(answer | {"findings": [finding.as_json() for finding in findings]}, indent=2))
    else:
        show_findings(findings)
        stdout_console(soft_wrap=True).print(_summary(compared, errors, findings, wanted))
    raise typer.Exit(INCOMPATIBLE if errors else COMPATIBLE)


def _summary(
    compared: Sequence[str], errors: Sequence[CatalogueFinding], findings: Sequence[CatalogueFinding], level: str
) -> str:
    with_what = escape(", ".join(compared)) or "the versions before them"
    if errors:
        return f"[bold red]incompatible[/] at {level} with {with_what}: {len(errors)} finding(s)"
    warnings = f", {len(findings)} warning(s)" if findings else ""
    return f"[bold green]compatible[/] at {level} with {with_what}{warnings}"


def show_findings(findings: Sequence[CatalogueFinding]) -> None:
    """File, field, rule, why and fix of each, on stdout."""
    console = stdout_console(soft_wrap=True, highlight=False)
    for item in findings:
        colour = "red" if item.severity is Severity.ERROR else "yellow"
        field = f" field [bold]{escape(item.field)}[/]" if item.field else ""
        against = f" ({item.direction or 'compared'} with {escape(item.against)})" if item.against else ""
        console.print(f"[{colour}]{item.severity}[/] {escape(item.file)}: {item.rule}{field}{against}")
        console.print(f"  {escape(item.message)}")
        console.print(f"  fix: {escape(item.fix)}")


def _check_files(
    new: Path | None, old: Sequence[Path], level: CompatibilityLevel, strict: bool
) -> list[CatalogueFinding]:
    if new is None or not old:
        raise typer.BadParameter("--new and --old go together", param_hint="--new")
    texts = []
    for file in (new, *old):
        try:
            texts.append(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise SchemaFileError(f"{file}: cannot be read: {error}", file=str(file)) from error
    names = [str(file) for file in old]
    found = check_compatibility(texts[0], texts[1:], level, strict=strict, new_name=str(new), names=names)
    return [
        CatalogueFinding(
            str(new), "", 0, item.rule.value, item.message, item.fix, item.severity, item.field, item.path,
            finding.direction, names[finding.against],
        )
        for finding in found
        for item in [finding.incompatibility]
    ]  # fmt: skip


def _check_catalogue(
    settings: Settings,
    only: frozenset[str],
    revision: str | None,
    against_registry: bool,
    level: CompatibilityLevel | None,
    *,
    strict: bool,
) -> tuple[list[str], list[CatalogueFinding]]:
    folders = [BUILT_IN_FOLDER, *([settings.schemas.folder] if settings.schemas.folder else [])]
    # Not the catalogue, which refuses a bad version: here each of them is to be told.
    current = [EventSchema(*file) for folder in folders for file in read_schema_files(folder)]
    default = level or CompatibilityLevel(settings.registry.compatibility)
    compared: list[str] = []
    findings: list[CatalogueFinding] = []
    if revision is not None:
        released = [item for folder in _versioned(folders) for item in released_at(revision, folder)]
        findings += check_against_released(current, released, default, revision=revision, strict=strict, only=only)
        compared.append(revision)
    else:
        findings += check_against_released(current, [], default, revision="", strict=strict, only=only)
    try:
        catalogue = Catalogue.load(*folders[1:])
        for type in only:
            if type not in {item.type for item in findings}:
                catalogue[type]
        if against_registry:
            findings += _check_registry(settings, catalogue, only, level, strict)
            compared.append(settings.registry.url)
    except SchemaFileError as error:
        if not any(finding.severity is Severity.ERROR for finding in findings):
            context = {key: str(value) for key, value in error.context.items()}
            file, fix = context.get("file", ""), context.get("fix", "correct the file")
            findings.append(
                CatalogueFinding(file, "", 0, "SCHEMA_FILE", str(error), fix, field=context.get("field", ""))
            )
    return compared, [replace(finding, file=_relative(finding.file)) for finding in dict.fromkeys(findings)]


def _versioned(folders: Sequence[Path]) -> list[Path]:
    """The folders to compare with git: those in the repository of the user's folder, if there is one."""
    if len(folders) == 1:
        return list(folders)
    repository = repository_of(folders[-1])
    try:
        return [folder for folder in folders if repository_of(folder) == repository]
    except RevisionUnreadable:  # Tradewire is installed, its own files are under nobody's git
        return list(folders[1:])


def _check_registry(
    settings: Settings, catalogue: Catalogue, only: frozenset[str], level: CompatibilityLevel | None, strict: bool
) -> list[CatalogueFinding]:
    topics = Topics.load(settings.schemas.topics_file)
    chosen = [type for type in catalogue.values() if not only or type.name in only]
    findings: list[CatalogueFinding] = []
    with RegistryAdmin(settings.registry) as admin:
        there = set(admin.subjects())
        names = {
            subject_of(topics.of_type(type).name, schema.name): type for type in chosen for schema in type.versions
        }
        histories = admin.histories(sorted(there & set(names)))
        for subject, history in histories.items():
            type = names[subject]
            schemas = [schema for schema in type.versions if subject.endswith(f"-{schema.name}")]
            own = level or admin.level_of(subject) or CompatibilityLevel(settings.registry.compatibility)
            for at, schema in enumerate(schemas):
                findings += check_against_registry(schema, history, own, strict=strict, earlier=schemas[:at])
            findings += unknown_here(schemas, history, type.name)
    return findings


def _relative(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else file
