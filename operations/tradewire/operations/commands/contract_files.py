"""`tradewire schemas generate-types` and `tradewire schemas docs`: files that are made from the contract."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from tradewire.core import SchemaFileError, load_settings
from tradewire.schemas import Catalogue, Topics

EXIT_DIFFERS = 3
_Check = Annotated[bool, typer.Option("--check", help="write nothing; exit code 3 when a file is not up to date")]


def generate_types(
    folder: Annotated[Path | None, typer.Option(help="the Avro files; else schemas.folder, else the built-in")] = None,
    output: Annotated[Path, typer.Option(help="the package to write; its folder is its name")] = Path("event_types"),
    check: _Check = False,
) -> None:
    """Writes a Python class for every event type of a folder; a class whose type is gone is removed."""
    from tradewire.schemas.generate.python_types import MARK, python_types

    folder = folder or load_settings().schemas.folder
    catalogue = Catalogue.load(*([folder] if folder else []))
    types = [type for type in catalogue.values() if folder is None or type.latest.file.is_relative_to(folder)]
    if not types:
        raise SchemaFileError(f"{folder}: there is no event type in it: is it the folder of the domains?")
    stale = [file for file in sorted(output.rglob("*.py")) if MARK in _head(file)] if output.is_dir() else []
    write_files(output, python_types(types), check, stale=stale, mark=MARK)


def docs(
    output: Annotated[Path, typer.Option(help="the folder for events.md and asyncapi.yaml")] = Path("docs"),
    check: _Check = False,
) -> None:
    """Writes the page of events and the AsyncAPI 3.0 document, users' own event types included."""
    from tradewire.schemas.generate.asyncapi_document import Reached, asyncapi_document
    from tradewire.schemas.generate.events_page import events_page

    settings = load_settings()
    folder = settings.schemas.folder
    catalogue = Catalogue.load(*([folder] if folder else []))
    topics = Topics.load(settings.schemas.topics_file)
    files = {
        "events.md": events_page(catalogue, topics),
        "asyncapi.yaml": asyncapi_document(catalogue, topics, Reached.of(settings)),
    }
    write_files(output, files, check, mark="Made by `tradewire schemas docs`")


def _head(file: Path) -> str:
    return " ".join(file.read_text(encoding="utf-8")[:1_000].split())


def write_files(
    output: Path, files: Mapping[str, str], check: bool, *, mark: str, stale: list[Path] | None = None
) -> None:
    """Writes what differs. A file that was not made by us is never overwritten: SchemaFileError, nothing is written."""
    wanted = {output / name: text for name, text in files.items()}
    for file in wanted:
        if file.exists() and mark not in _head(file):
            raise SchemaFileError(f"{file} was not made by this command: move it away or choose another --output")
    changed = {file: text for file, text in wanted.items() if not file.exists() or file.read_text("utf-8") != text}
    gone = [file for file in stale or [] if file not in wanted]
    if not check:
        for file in gone:
            file.unlink()
        for file, text in changed.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    said = "not up to date" if check else "written"
    for file in changed:
        typer.echo(f"{said}: {file}")
    for file in gone:
        typer.echo(f"{'no longer made' if check else 'removed'}: {file}")
    if not changed and not gone:
        typer.echo(f"{output}: {len(wanted)} files are up to date")
    elif check:
        raise typer.Exit(EXIT_DIFFERS)
