"""`tradewire up`, `down` and `status`: the local stack from this and other terminals."""

from __future__ import annotations

import typer

from tradewire.core import load_settings
from tradewire.operations.consoles import stdout_console
from tradewire.operations.local_stack import local_parts, refuse_wrong_declarations
from tradewire.operations.stack import (
    Supervisor,
    live_table,
    read_status,
    reset_data_folder,
    status_table,
    stop_running,
)

EXIT_NOT_RUNNING = 3


def up(
    reset: bool = typer.Option(False, "--reset", help="Delete all data of the stack first."),
) -> None:
    """Starts Kafka, the schema registry, ClickHouse, the worker, the sink and the gateway, and keeps them running.

    Flows, patterns and handlers of the worker are checked first: with a wrong one nothing is started.

    Ctrl-C stops them in order; a second one kills them. Data stay in local.data_folder for the next start.
    """
    settings = load_settings()
    console = stdout_console()
    refuse_wrong_declarations(settings)
    if reset:
        reset_data_folder(settings.local.data_folder)
    parts = local_parts(settings, on_progress=lambda said: console.print(said, style="dim"))
    with live_table(console) as show:
        Supervisor(parts, data_folder=settings.local.data_folder).run(on_tick=show)


def down(
    kill: bool = typer.Option(False, "--kill", help="Do not wait for an orderly end."),
    reset: bool = typer.Option(False, "--reset", help="Delete all data of the stack afterwards."),
) -> None:
    """Stops the stack that runs in another terminal."""
    folder = load_settings().local.data_folder
    console = stdout_console()
    stopped = stop_running(folder, kill=kill)
    console.print("The stack is stopped." if stopped else f"No stack was running in {folder}.")
    if reset:
        reset_data_folder(folder)
        console.print(f"The data in {folder} are deleted.")


def status() -> None:
    """Shows the parts of the stack once. Exit code 0 when all are ready, 3 when not or when none runs."""
    folder = load_settings().local.data_folder
    found = read_status(folder)
    console = stdout_console()
    if found is None:
        console.print(f"No stack has run in {folder}; `tradewire up` starts one.")
        raise typer.Exit(EXIT_NOT_RUNNING)
    console.print(status_table(found))
    if found.state != "ready":
        raise typer.Exit(EXIT_NOT_RUNNING)
