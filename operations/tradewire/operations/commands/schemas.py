"""`tradewire schemas`: the event contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tradewire.core import SettingsError, TradewireError, load_settings
from tradewire.core.settings import RegistrySettings
from tradewire.operations.commands.contract_files import docs, generate_types
from tradewire.operations.commands.schema_check import check, show_findings
from tradewire.operations.consoles import stdout_console
from tradewire.operations.schema_releases import released_at
from tradewire.schemas import Catalogue, EventType, Topics, full_name
from tradewire.schemas.archive_sync import fill_archive, read_registry, restore, verify_archive
from tradewire.schemas.catalogue import BUILT_IN_FOLDER
from tradewire.schemas.compatibility import CompatibilityLevel, Severity, check_compatibility
from tradewire.schemas.registration import IncompatibleSchemas, Registrar
from tradewire.schemas.registry import subject_of
from tradewire.schemas.registry_admin import RegistryAdmin
from tradewire.schemas.schema_diff import differences

schemas_app = typer.Typer(no_args_is_help=True)
schemas_app.command("generate-types")(generate_types)
schemas_app.command("docs")(docs)
schemas_app.command("check")(check)
_LIST_TIMEOUT_MS = 1_000


def _catalogue() -> Catalogue:
    folder = load_settings().schemas.folder
    return Catalogue.load(*([folder] if folder else []))


@schemas_app.command("list")
def list_types(
    domain: str = typer.Argument(None, help="only this domain"),
    ids: bool = typer.Option(True, help="ask the registry for ids"),
    as_json: bool = typer.Option(False, "--json", help="as JSON on stdout"),
) -> None:
    """The event types of the catalogue, and their ids if a registry answers."""
    settings, catalogue = load_settings(), _catalogue()
    topics = Topics.load(settings.schemas.topics_file)
    known, problem = _known_ids(settings.registry, catalogue, topics) if ids else ({}, None)
    rows: list[dict[str, Any]] = []
    for type in catalogue.values():
        if domain is None or type.domain == domain:
            numbers = {f"v{item.version}": known.get(f"{type.name} v{item.version}") for item in type.versions}
            doc = str(type.latest.schema.get("doc", "")).split(". ")[0]
            topic = topics.of_type(type).name
            rows.append(
                {"type": type.name, "versions": numbers, "topic": topic, "record": type.latest.name, "doc": doc}
            )
    if not rows:
        raise typer.BadParameter(f"no domain {domain!r}; there are {', '.join(catalogue.domains)}", param_hint="DOMAIN")
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("event type", "versions (id)", "topic", "record", "what it says")
    for row in rows:
        versions = ", ".join(name if at is None else f"{name} ({at})" for name, at in row["versions"].items())
        table.add_row(row["type"], versions, row["topic"], row["record"], escape(row["doc"]))
    stdout_console().print(table)
    if problem:
        Console(stderr=True, soft_wrap=True).print(f"without ids: {escape(problem)}")


def _known_ids(settings: RegistrySettings, catalogue: Catalogue, topics: Topics) -> tuple[dict[str, int], str | None]:
    quick = settings.model_copy(
        update={"timeout_ms": min(settings.timeout_ms, _LIST_TIMEOUT_MS), "archive_folder": None}
    )
    try:
        with RegistryAdmin(quick) as admin:
            admin.subjects()
        found = Registrar(quick, catalogue, topics).look_up()
    except TradewireError as error:
        return {}, str(error)
    return {item.title: item.id for item in found if item.id is not None}, None


@schemas_app.command()
def show(
    type: str = typer.Argument(help="for instance market.trade.reported"),
    version: int = typer.Option(None, min=1, help="the newest when not given"),
    as_json: bool = typer.Option(False, "--json", help="the Avro schema as JSON; the same as without, for scripts"),
) -> None:
    """The Avro schema of an event type, as JSON on stdout."""
    typer.echo(json.dumps(_version(_catalogue()[type], version).schema, indent=2))


def _version(type: EventType, version: int | None, hint: str = "--version") -> Any:
    if version is not None and version > len(type.versions):
        raise typer.BadParameter(f"{type.name} has versions 1 to {len(type.versions)}", param_hint=hint)
    return type.versions[(version or len(type.versions)) - 1]


@schemas_app.command()
def diff(
    type: str = typer.Argument(help="for instance trading.order.created"),
    from_version: int = typer.Option(None, "--from", min=1, help="the one before --to when not given"),
    to_version: int = typer.Option(None, "--to", min=1, help="the newest when not given"),
    git: str = typer.Option(None, metavar="REV", help="from the newest version that this git revision holds"),
    registry: bool = typer.Option(False, help="from the newest version that the registry holds"),
    as_json: bool = typer.Option(False, "--json", help="as JSON on stdout"),
) -> None:
    """What changed between two versions, field by field, and what each compatibility level says to it."""
    found = _catalogue()[type]
    new = _version(found, to_version, "--to")
    if git is not None:
        old_name, old = _in_git(found, git, from_version)
    elif registry:
        old_name, old = _in_registry(found, new)
    else:
        if from_version is None and new.version == 1:
            raise typer.BadParameter(f"{type} v1 is the first version; compare it with --git or --registry")
        before = _version(found, from_version or new.version - 1, "--from")
        old_name, old = f"v{before.version}", before.schema
    changes = differences(old, new.schema)
    verdicts = {
        level: check_compatibility(new.schema, [old], level, strict=True, new_name=f"v{new.version}", names=[old_name])
        for level in (CompatibilityLevel.BACKWARD, CompatibilityLevel.FORWARD, CompatibilityLevel.FULL)
    }
    if as_json:
        answer = {
            "type": type,
            "from": old_name,
            "to": f"v{new.version}",
            "differences": [{name: getattr(item, name) for name in item.__slots__} for item in changes],
            "levels": {
                level.value: [finding.incompatibility.as_json() for finding in items]
                for level, items in verdicts.items()
            },
        }
        typer.echo(json.dumps(answer, indent=2))
        return
    console = stdout_console()
    console.print(f"[bold]{type}[/] {escape(old_name)} → v{new.version}")
    if not changes:
        console.print("no difference")
        return
    table = Table("field", "change", "from", "to")
    for item in changes:
        table.add_row(escape(item.field) or "(record)", item.what, escape(item.old), escape(item.new))
    console.print(table)
    is_breaking = new.is_breaking and full_name(old) != new.name
    if is_breaking:
        console.print(f"a breaking version of its own record name: v{new.version}'s upcaster makes it of older data")
    for level, items in verdicts.items():
        if is_breaking:
            break
        errors = [item.incompatibility for item in items if item.is_error]
        console.print(f"{level}: " + ("[red]no[/]" if errors else "[green]yes[/]"))
        for error in dict.fromkeys(errors) if level is not CompatibilityLevel.FULL else ():
            console.print(f"  {error.rule}: {escape(error.message)}\n  fix: {escape(error.fix)}", soft_wrap=True)


def _in_git(type: EventType, revision: str, version: int | None) -> tuple[str, Any]:
    folder = load_settings().schemas.folder
    is_own = folder is not None and type.latest.file.is_relative_to(folder)
    released = [
        item
        for item in released_at(revision, folder if is_own and folder else BUILT_IN_FOLDER)
        if item.type == type.name
    ]
    chosen = [item for item in released if version in (None, item.version)]
    if not chosen:
        named = type.name if version is None else f"{type.name} v{version}"
        raise typer.BadParameter(f"{revision} does not hold {named}", param_hint="--git")
    newest = max(chosen, key=lambda item: item.version)
    return f"v{newest.version} at {revision}", newest.schema


def _in_registry(type: EventType, new: Any) -> tuple[str, Any]:
    settings = load_settings()
    subject = subject_of(Topics.load(settings.schemas.topics_file).of_type(type).name, new.name)
    with RegistryAdmin(settings.registry) as admin:
        history = admin.history(subject) if subject in admin.subjects() else []
    if not history:
        raise typer.BadParameter(f"{settings.registry.url} does not hold {subject}", param_hint="--registry")
    newest = history[-1]
    return f"version {newest.version} of {subject} (id {newest.id})", json.loads(newest.schema)


@schemas_app.command()
def register(
    dry_run: bool = typer.Option(False, help="show what would be registered, and whether it may be; change nothing"),
) -> None:
    """Registers what the registry lacks of the catalogue; repeating it changes nothing. Exit code 1 when refused."""
    settings = load_settings()
    registrar = Registrar(settings.registry, _catalogue(), Topics.load(settings.schemas.topics_file))
    if dry_run:
        items = registrar.look_up()
        findings = registrar.check(items)
        missing = [item.title for item in items if item.id is None]
        show_findings(findings)
        typer.echo(f"would register {len(missing)} of {len(items)}: {', '.join(missing) or 'nothing is missing'}")
        raise typer.Exit(1 if any(finding.severity is Severity.ERROR for finding in findings) else 0)
    try:
        items = registrar.register()
    except IncompatibleSchemas as refused:
        show_findings(refused.findings)
        raise
    table = Table("schema", "id", "")
    for item in items:
        table.add_row(item.title, str(item.id), "new" if item.is_new else "")
    stdout_console().print(table)
    new = sum(item.is_new for item in items)
    typer.echo(f"{new} registered, {len(items) - new} were there", err=True)


@schemas_app.command()
def archive(
    folder: Annotated[Path | None, typer.Option(help="instead of registry.archive_folder")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="only compare it with registry and catalogue")] = False,
    restore_to: Annotated[
        str | None, typer.Option(metavar="URL", help="register the archive with its old ids in this empty registry")
    ] = None,
) -> None:
    """Keeps every schema of the registry on disk, by id, so that events stay readable without it.

    Exit code 1 when --verify finds a difference.
    """
    settings = load_settings()
    place = folder or settings.registry.archive_folder
    if place is None:
        raise SettingsError(
            "no archive: give --folder, or set registry.archive_folder (TRADEWIRE_REGISTRY__ARCHIVE_FOLDER)"
        )
    if restore_to is not None:
        with RegistryAdmin(settings.registry.model_copy(update={"url": restore_to})) as admin:
            restored = restore(place, admin)
        typer.echo(f"{len(restored)} versions restored with their ids in {restore_to}")
        return
    with RegistryAdmin(settings.registry) as admin:
        versions = read_registry(admin)
    if verify:
        schemas = [schema for type in _catalogue().values() for schema in type.versions]
        problems = verify_archive(place, versions, schemas)
        for problem in problems:
            stdout_console(soft_wrap=True).print(f"[red]{escape(problem.what)}[/]\n  fix: {escape(problem.fix)}")
        typer.echo(f"{place}: {len(problems)} difference(s) with {settings.registry.url} and the catalogue")
        raise typer.Exit(1 if problems else 0)
    report = fill_archive(place, versions)
    typer.echo(f"{place}: {report.versions} versions, {report.ids} ids, {report.new_ids} of them new")
    for item in report.left_out:
        typer.echo(f"left out, no Avro schema: {item.subject} version {item.version} ({item.kind})", err=True)
