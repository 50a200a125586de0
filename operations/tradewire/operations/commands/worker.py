"""`tradewire worker`: one worker in the foreground, for those who run workers themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tradewire.core import load_settings
from tradewire.processors.worker import run_worker


def worker(
    handlers: Annotated[
        list[str] | None,
        typer.Option("--handlers", help="module or module:attribute; again for more. In place of worker.handlers"),
    ] = None,
    group: Annotated[str | None, typer.Option(help="the consumer group; worker.group if none")] = None,
    folder: Annotated[Path | None, typer.Option(help="the data folder; worker.data_folder if none")] = None,
    handlers_only: Annotated[
        bool, typer.Option("--handlers-only", help="the handlers alone: no read models, no flows, no patterns")
    ] = False,
) -> None:
    """Runs a worker until SIGTERM or SIGINT. Modules are also looked for in the working folder.

    Exit codes: 0 it was told to stop, 2 a setting, handler or topic is wrong, 70 anything else: start it again.

        tradewire worker --group risk-desk --folder /var/lib/risk-desk --handlers-only --handlers risk_desk.handlers
    """
    told: dict[str, Any] = {}
    if handlers:
        told["handlers"] = handlers
    if group is not None:
        told["group"] = group
    if folder is not None:
        told["data_folder"] = folder
    if handlers_only:
        # The files would be refused for a mistake in what is not run.
        told |= {"projections": (), "correlation": False, "flows_file": None, "patterns_file": None}
    settings = load_settings(worker=told) if told else load_settings()
    sys.path.insert(0, str(Path.cwd()))
    raise typer.Exit(run_worker(settings))
