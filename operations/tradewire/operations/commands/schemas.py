"""`tradewire schemas`: the event contract."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.table import Table

from tradewire.core import load_settings
from tradewire.operations.commands.contract_files import docs, generate_types
from tradewire.schemas import Catalogue, Contract

schemas_app = typer.Typer(no_args_is_help=True)
schemas_app.command("generate-types")(generate_types)
schemas_app.command("docs")(docs)


def _catalogue() -> Catalogue:
    folder = load_settings().schemas.folder
    return Catalogue.load(*([folder] if folder else []))


@schemas_app.command("list")
def list_types(domain: str = typer.Argument(None, help="only this domain")) -> None:
    """The event types of the catalogue."""
    table = Table("event type", "versions", "record", "what it says")
    for type in _catalogue().values():
        if domain is None or type.domain == domain:
            doc = str(type.latest.schema.get("doc", "")).split(". ")[0]
            table.add_row(type.name, ", ".join(f"v{item.version}" for item in type.versions), type.latest.name, doc)
    Console().print(table)


@schemas_app.command()
def show(
    type: str = typer.Argument(help="for instance market.trade.reported"),
    version: int = typer.Option(None, min=1, help="the newest when not given"),
) -> None:
    """The Avro schema of an event type, as JSON on stdout."""
    versions = _catalogue()[type].versions
    if version is not None and version > len(versions):
        raise typer.BadParameter(f"{type} has versions 1 to {len(versions)}", param_hint="--version")
    typer.echo(json.dumps(versions[(version or len(versions)) - 1].schema, indent=2))


@schemas_app.command()
def register() -> None:
    """Registers every version of every type; repeating it changes nothing."""
    registered = Contract.load(load_settings()).register_all()
    table = Table("schema", "id")
    for name, schema_id in registered.items():
        table.add_row(name, str(schema_id))
    Console().print(table)
