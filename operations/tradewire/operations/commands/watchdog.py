"""`tradewire watchdog`: ends a worker that hangs, for those who run workers themselves."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client import start_http_server

from tradewire.core import load_settings
from tradewire.core.settings import Settings
from tradewire.operations.watching import RunningCommand, ToldProcess, Watched, watch_forever
from tradewire.processors.group_watch import GroupWatch, WatchMetrics
from tradewire.processors.liveness import read_membership
from tradewire.processors.watchdog import Rules

EXIT_HANGS = 3


def watchdog(
    command: Annotated[list[str] | None, typer.Argument(help="behind --: what to run, and to start again")] = None,
    group: Annotated[str | None, typer.Option(help="the consumer group; that of the settings' worker if none")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="data folder of the worker: only its own partitions count, and its own word")
    ] = None,
    topic: Annotated[
        list[str] | None, typer.Option("--topic", help="again for more; all that the group has committed if none")
    ] = None,
    pid_file: Annotated[Path | None, typer.Option(help="whom to end; whoever supervises it starts it again")] = None,
    standing_ms: Annotated[
        int | None, typer.Option(min=1_000, help="how long commits may stand; worker.standing_ms_max if none")
    ] = None,
    every_ms: Annotated[int, typer.Option(min=100, max=20_000, help="time between two looks")] = 5_000,
    stop_ms: Annotated[int, typer.Option(min=0, help="time from SIGTERM to SIGKILL")] = 10_000,
    metrics_port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Prometheus metrics on loopback")] = None,
) -> None:
    """Compares what a group has committed with the end offsets, and ends a worker whose commits stand.

    With a command behind ``--`` it runs that command, and starts it again when it has ended or hangs. Otherwise it ends
    the process of --pid-file, or of the worker of --folder (SIGTERM, then SIGKILL), and leaves the start to whoever
    supervises it. With none of them it watches, and ends with exit code 3 at the first hang.

        tradewire watchdog --folder /var/lib/worker -- python -m tradewire.processors.worker
    """
    settings = load_settings()
    metrics = WatchMetrics()
    if metrics_port is not None:
        start_http_server(metrics_port, addr="127.0.0.1")
    watch = GroupWatch(
        settings.kafka,
        group or _group_of(settings, folder),
        folder=folder,
        topics=topic,
        rules=Rules(standing_ms_max=standing_ms or settings.worker.standing_ms_max),
        metrics=metrics,
    )
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    if not watch_forever(
        watch, _watched(command or [], pid_file, folder), stopping, every_ms=every_ms, stop_ms=stop_ms
    ):
        raise typer.Exit(EXIT_HANGS)


def _group_of(settings: Settings, folder: Path | None) -> str:
    member = read_membership(folder) if folder is not None else None
    return settings.worker.group if member is None else member.group


def _watched(command: list[str], pid_file: Path | None, folder: Path | None) -> Watched | None:
    if command:
        return RunningCommand(command)
    if pid_file is not None:
        return ToldProcess.of_pid_file(pid_file)
    return ToldProcess.of_worker(folder) if folder is not None else None
