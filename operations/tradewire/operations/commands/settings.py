"""`tradewire settings`: what is in force here, and the page of all settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tradewire.core import Settings, load_settings
from tradewire.operations.commands.contract_files import write_files
from tradewire.operations.consoles import stdout_console
from tradewire.operations.settings_page import MARK, sections, settings_of, settings_page, shown


def settings(
    section: Annotated[str | None, typer.Argument(help="one section, e.g. worker; all if none")] = None,
    output: Annotated[Path | None, typer.Option(help="write the page of all settings to this file instead")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="with --output: write nothing; exit code 3 when it is not up to date")
    ] = False,
) -> None:
    """Shows each setting as this folder and environment have it; what is not the default is marked."""
    if output is not None:
        write_files(output.parent, {output.name: settings_page()}, check, mark=MARK)
        return
    known = sections()
    if section is not None and section not in known:
        raise typer.BadParameter(f"no section {section}; there are {', '.join(known)}")
    wanted = [section] if section is not None else list(known)
    stdout_console(soft_wrap=True).print(_table(load_settings(), wanted))


def _table(found: Settings, wanted: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("in force")
    table.add_column("meaning")
    models = sections()
    for section in wanted:
        values, defaults = getattr(found, section), models[section]()
        for line in settings_of(section, models[section]):
            key = line.name.partition(".")[2]
            value = getattr(values, key)
            changed = value != getattr(defaults, key)
            text = f"[bold]{escape(shown(value))}[/] (default {escape(shown(getattr(defaults, key)))})"
            table.add_row(line.name, text if changed else escape(shown(value)), escape(line.meaning))
    return table
