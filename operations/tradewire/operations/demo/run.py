"""The demo's course: start, feed, wait, ask, compare. Everything it starts it stops."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

from tradewire.core import Settings, StackError, load_settings
from tradewire.operations.demo.counting import PublishedCounts
from tradewire.operations.demo.drain import wait_until_drained
from tradewire.operations.local_stack import local_parts, refuse_wrong_declarations
from tradewire.operations.stack import Supervisor, free_ports, live_table, reset_data_folder
from tradewire.processors.declared_work import source_topics
from tradewire.producers import Publisher
from tradewire.producers.feeds import FeedProgress, FeedResult, LineFile, binance_trades, run_feed, simulate
from tradewire.schemas import Contract
from tradewire.sinks import sink_topics

# Who is killed with --kill, and at which share of the feed.
KILLS = (("worker", 0.2), ("sink", 0.45), ("clickhouse", 0.7))
_READY_TIMEOUT_S = 180
_DRAIN_TIMEOUT_S = 300


@dataclass
class Fed:
    """What went in: the feed's own account, and our count of it by partition."""

    result: FeedResult
    counts: PublishedCounts
    killed: list[str] = field(default_factory=list)


def demo_settings(settings: Settings) -> Settings:
    """The same settings on free ports and with a data folder of its own, so that a running stack is left alone."""
    kafka, controller, registry, clickhouse, gateway, worker, sink = free_ports(7)
    folder = settings.local.data_folder.absolute() / "demo"
    return load_settings(
        kafka=settings.kafka.model_dump() | {"bootstrap_servers": f"127.0.0.1:{kafka}"},
        registry=settings.registry.model_dump()
        | {"url": f"http://127.0.0.1:{registry}/apis/ccompat/v7", "archive_folder": folder / "schema-archive"},
        clickhouse=settings.clickhouse.model_dump() | {"host": "127.0.0.1", "port": clickhouse},
        gateway=settings.gateway.model_dump() | {"port": gateway},
        worker=settings.worker.model_dump() | {"metrics_port": worker, "data_folder": folder / "worker"},
        sink=settings.sink.model_dump() | {"metrics_port": sink},
        local=settings.local.model_dump()
        | {
            "data_folder": folder,
            "kafka_port": kafka,
            "kafka_controller_port": controller,
            "registry_port": registry,
        },
    )


@contextmanager
def running_stack(settings: Settings, console: Console) -> Iterator[Supervisor]:
    """The whole stack on fresh data, stopped when the block ends.

    Raises:
        StackError: a part cannot start; quotes its log.
    """
    refuse_wrong_declarations(settings)
    reset_data_folder(settings.local.data_folder)
    parts = local_parts(settings, on_progress=lambda said: console.print(said, style="dim"))
    with Supervisor(parts, data_folder=settings.local.data_folder) as supervisor:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        with live_table(console) as show:
            while (status := supervisor.status()).state == "starting" and time.monotonic() < deadline:
                show(status)
                time.sleep(0.1)
            show(status)
        supervisor.wait_ready(1)
        yield supervisor


def feed(
    settings: Settings, contract: Contract, console: Console, *, input: Path | None, events: int, seed: int,
    on_share: Callable[[float], None],
) -> Fed:  # fmt: skip
    """Publishes the file or the simulation as fast as possible and waits for every delivery."""
    counts = PublishedCounts(contract)
    columns = (SpinnerColumn(), TextColumn("feeding"), BarColumn(), TextColumn("{task.fields[rate]}"))
    with Publisher(settings, contract, source="demo") as publisher, _progress(console, *columns) as progress:
        publisher.wait_for_broker(30)
        task = progress.add_task("feed", total=1.0, rate="")
        began = time.monotonic()

        def show(now: FeedProgress, share: float) -> None:
            rate = now.published / max(time.monotonic() - began, 1e-9)
            progress.update(task, completed=share, rate=f"{now.published:,} events, {rate:,.0f}/s")
            on_share(share)

        if input is None:
            items = counts.counted(simulate(seed, events))
            result = run_feed(publisher, items, on_progress=lambda now: show(now, now.published / events))
        else:
            with LineFile(input) as lines:
                items = counts.counted(binance_trades(lines))
                size = max(lines.size_bytes, 1)
                result = run_feed(publisher, items, on_progress=lambda now: show(now, lines.read_bytes / size))
    return Fed(result, counts)


class Killer:
    """Kills parts with SIGKILL, each once, when the feed has come so far; the supervisor starts them again."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.killed: list[str] = []
        self._left = list(KILLS)
        self._supervisor = supervisor
        self._lock = threading.Lock()

    def __call__(self, share: float) -> None:
        """Kills whoever is due at this share of the feed; a part that does not run right now is tried again later."""
        with self._lock:
            for name, due in list(self._left):
                pid = next(part.pid for part in self._supervisor.status().parts if part.name == name)
                if share >= due and pid is not None:
                    os.kill(pid, signal.SIGKILL)
                    self._left.remove((name, due))
                    self.killed.append(f"{name} (process {pid}) at {share:.0%}")

    def finish(self, timeout_s: float = 30) -> None:
        """Kills who is left, for a feed that was over too soon.

        Raises:
            StackError: a part did not run within ``timeout_s``, so it could not be killed.
        """
        deadline = time.monotonic() + timeout_s
        while self._left:
            self(1.0)
            if time.monotonic() > deadline:
                raise StackError(f"{self._left[0][0]} did not run, so it could not be killed")
            time.sleep(0.1)


def wait_for_all(settings: Settings, contract: Contract, console: Console) -> None:
    """Waits until the worker has seen every event and the sink has stored every event and read model.

    Raises:
        StackError: they are still behind after five minutes; says who and how far.
    """
    topics = contract.topics
    fills = [topic.name for topic in topics.values() if topic.domain == "positions"]
    reads = {
        settings.worker.group: [*source_topics(topics), "flows.steps", *fills],
        settings.sink.group: sink_topics(list(topics.values())),
    }
    groups = {group: {name: topics[name].partitions for name in names} for group, names in reads.items()}
    with _progress(console, SpinnerColumn(), TextColumn("{task.description}")) as progress:
        task = progress.add_task("waiting for worker and sink")

        def show(lags: Mapping[str, int]) -> None:
            shown = ", ".join(f"{group} {lag:,} behind" for group, lag in lags.items())
            progress.update(task, description=shown)

        wait_until_drained(settings.kafka, groups, timeout_s=_DRAIN_TIMEOUT_S, on_lag=show)


def _progress(console: Console, *columns: ProgressColumn) -> Progress:
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
