"""`tradewire demo`: the main job on this machine, with proof."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Annotated

import clickhouse_connect
import typer
from rich.console import Console

from tradewire.core import Settings, StackError, load_settings
from tradewire.operations.consoles import stdout_console
from tradewire.operations.demo import checks, questions, show
from tradewire.operations.demo.replaying import replay_check
from tradewire.operations.demo.run import Fed, Killer, demo_settings, feed, running_stack, wait_for_all
from tradewire.operations.stack import Supervisor
from tradewire.schemas import Contract

Input = Annotated[Path | None, typer.Option("--input", exists=True, dir_okay=False, help="a file of Binance trades")]


def demo(
    input: Input = None,
    events: Annotated[int, typer.Option(min=1, help="how many simulated events")] = 100_000,
    seed: Annotated[int, typer.Option(help="the same seed gives the same events")] = 1,
    kill: Annotated[
        bool, typer.Option("--kill", help="kill -9 worker, sink and ClickHouse once each meanwhile")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="leave the stack running until Ctrl-C, to look around")] = False,
) -> None:
    """Starts the stack, feeds it, waits until everything is stored, shows what came out and compares it.

    Exit code 1 when any two counts do not agree. Runs on free ports and data of its own beside a running stack.
    """
    began = time.monotonic()
    console = stdout_console()
    settings = demo_settings(load_settings())
    with running_stack(settings, console) as supervisor:
        ready = time.monotonic()
        contract = Contract.load(settings)
        killer = Killer(supervisor)
        fed = feed(
            settings,
            contract,
            console,
            input=input,
            events=events,
            seed=seed,
            on_share=killer if kill else lambda _share: None,
        )
        if kill:
            killer.finish()
        done = time.monotonic()
        wait_for_all(settings, contract, console)
        stored = time.monotonic()
        agreed = _show(settings, contract, fed, console)
        for line in killer.killed:
            console.print(f"killed with SIGKILL: {line}")
        console.print(
            f"start {ready - began:.1f} s, feed {done - ready:.1f} s ({fed.result.rate_per_s:,.0f} events/s), "
            f"until all was stored {stored - done:.1f} s, all in all {time.monotonic() - began:.1f} s"
        )
        if keep:
            _linger(settings, supervisor, console)
    if not agreed:
        raise StackError("the counts do not agree: see DIFFERS above")


def _show(settings: Settings, contract: Contract, fed: Fed, console: Console) -> bool:
    """Prints everything; whether all that must be equal is."""
    clickhouse = settings.clickhouse
    client = clickhouse_connect.get_client(
        host=clickhouse.host,
        port=clickhouse.port,
        username=clickhouse.username,
        password=clickhouse.password.get_secret_value(),
        database=clickhouse.database,
    )
    per_type = questions.events_per_type(client)
    console.print(show.types_table(per_type))
    candles = questions.busiest_candles(client)
    if candles is not None:
        console.print(show.candles_chart(*candles, columns_max=min(60, (console.width - 16) // 2)))
    positions = questions.top_positions(client)
    if positions:
        console.print(show.positions_table(positions))
    flow = questions.longest_flow(client)
    if flow is not None:
        console.print(show.flow_tree(*flow))
    in_kafka = checks.kafka_counts(
        settings.kafka, {topic: contract.topics[topic].partitions for topic, _ in fed.counts.per_partition}
    )
    rows = checks.partition_rows(fed.counts.per_partition, in_kafka, checks.clickhouse_counts(client))
    found = [
        checks.Check("published, and confirmed by the broker", sum(fed.counts.per_type.values()), fed.result.total),
        checks.Check("deliveries not confirmed", 0, fed.result.unknown),
        checks.Check("events per type", sorted(fed.counts.per_type.items()), sorted(per_type)),
        *checks.read_model_checks(client),
        *replay_check(settings, contract, rows, console),
    ]
    console.print(show.partitions_table(rows))
    console.print(show.checks_table(found))
    if fed.result.skipped:
        console.print(f"{fed.result.skipped:,} malformed lines were skipped")
    return all(row.holds for row in rows) and all(check.holds for check in found)


def _linger(settings: Settings, supervisor: Supervisor, console: Console) -> None:
    """Shows where everything listens and waits for Ctrl-C."""
    console.print(f"Kafka      {settings.kafka.bootstrap_servers}")
    console.print(f"registry   {settings.registry.url}")
    console.print(f"ClickHouse http://{settings.clickhouse.host}:{settings.clickhouse.port}")
    console.print(f"gateway    http://{settings.gateway.host}:{settings.gateway.port}/docs")
    console.print("Ctrl-C stops the stack.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while supervisor.error is None:
            time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("stopping")
