"""`tradewire recover`: what a group has passed over, found and handed to it."""

from __future__ import annotations

import json
import time
import uuid
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from tradewire.core import load_settings
from tradewire.core.errors import SettingsError
from tradewire.core.settings import Settings
from tradewire.operations.commands.dlq import EXIT_WOULD_CHANGE, ByOption, GroupOption, JsonOption, YesOption
from tradewire.operations.consoles import stdout_console
from tradewire.operations.dead_letter_events import operator_name, orphan_requested, tell
from tradewire.operations.letter_views import header_text, time_text
from tradewire.processors.declared_work import source_topics
from tradewire.processors.orphans import Orphan, Search, of_subscriber, of_worker, recover
from tradewire.processors.parking.facts import Request
from tradewire.processors.parking.operating import Operator
from tradewire.schemas import Contract

recover_app = typer.Typer(no_args_is_help=True)
_SHOWN_MAX = 50
_HOUR_MS = 3_600_000


@recover_app.callback()
def _root() -> None:
    """Find events that a group never processed, and have it process them."""


@recover_app.command()
def orphans(
    group: GroupOption = None,
    topic: Annotated[list[str] | None, typer.Option("--topic", help="only these source topics (worker)")] = None,
    hours: Annotated[float, typer.Option(min=0.01, help="how far back to look (worker)")] = 24.0,
    only_sure: Annotated[bool, typer.Option("--only-sure", help="leave out what may have been processed")] = False,
    by: ByOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Events below a group's committed offsets that it never processed; with --yes it is given them, it alone.

    The worker's group is compared with its flows, event by event. Of a subscriber's group it is known where its offsets
    jumped, as its members write down where they are. Each orphan becomes a dead letter and is re-driven by the owner of
    its partition, behind later events of its key: it comes late. Repeating it gives nothing twice.
    Exit codes: 0 none, or done; 3 some were found and --yes was not given; 1 an error of ours.
    """
    settings = load_settings()
    operator = Operator(settings.kafka, group or settings.worker.group, operator_name(by))
    search = _search(settings, operator, topic, hours)
    found = [orphan for orphan in search.orphans if orphan.sure or not only_sure]
    if as_json:
        print(json.dumps(_json(search, found), indent=2))
    console = stdout_console(stderr=as_json)
    if not as_json:
        _say(console, search, found)
    if not found:
        return
    if not yes:
        console.print("Nothing was changed. Add --yes to have them processed.")
        raise typer.Exit(EXIT_WOULD_CHANGE)
    now_ms = time.time_ns() // 1_000_000
    requests = [
        (orphan, Request(uuid.uuid4().hex, orphan.offset, operator.by, now_ms, orphan=True)) for orphan in found
    ]
    told = [orphan_requested(operator.group, orphan, request) for orphan, request in requests]
    tell(settings, Contract.load(settings), told)
    recover(settings.kafka, operator, requests)
    console.print(f"{len(found)} handed to group {operator.group}; `tradewire dlq list` shows those that fail")


def _search(settings: Settings, operator: Operator, topics: list[str] | None, hours: float) -> Search:
    if operator.group != settings.worker.group:
        return of_subscriber(settings.kafka, operator.group, operator)
    if not settings.worker.correlation:
        raise SettingsError(
            "worker.correlation is off: what this group has processed is in no flow, so orphans cannot be told",
            key="worker.correlation",
        )
    contract = Contract.load(settings)
    since_ms = time.time_ns() // 1_000_000 - int(hours * _HOUR_MS)
    wanted = topics or source_topics(contract.topics)
    return of_worker(settings.kafka, contract, operator.group, wanted, since_ms, operator)


def _say(console: Console, search: Search, found: list[Orphan]) -> None:
    table = Table(
        Column("topic", overflow="fold"),
        *(Column(name, justify="right") for name in ("partition", "offset")),
        Column("event", overflow="fold"),
        Column("event id", overflow="fold"),
        "recorded",
        "sure",
    )
    for orphan in found[:_SHOWN_MAX]:
        table.add_row(
            escape(orphan.topic),
            str(orphan.partition),
            f"{orphan.offset:,}",
            escape(header_text(orphan.headers, "ce_type")),
            escape(header_text(orphan.headers, "ce_id")),
            time_text(orphan.timestamp),
            "yes" if orphan.sure else "may have been processed",
        )
    if found:
        console.print(table)
    more = f", of which the first {_SHOWN_MAX} are shown" if len(found) > _SHOWN_MAX else ""
    console.print(f"{search.looked_at:,} records looked at, {len(found):,} orphans{more}")
    if search.unknown:
        console.print(f"{search.unknown:,} are of flows that do not keep all their steps: it cannot be known of them")
    for gone in search.gone:
        console.print(
            f"{gone.topic}[{gone.partition}] {gone.first} to {gone.end - 1} were passed over and are gone from Kafka: "
            "see `tradewire replay range`",
            markup=False,
        )


def _json(search: Search, found: list[Orphan]) -> dict[str, Any]:
    return {
        "looked_at": search.looked_at,
        "unknown": search.unknown,
        "orphans": [
            {
                "topic": orphan.topic,
                "partition": orphan.partition,
                "offset": orphan.offset,
                "type": header_text(orphan.headers, "ce_type"),
                "id": header_text(orphan.headers, "ce_id"),
                "sure": orphan.sure,
            }
            for orphan in found
        ],
        "gone": [
            {"topic": gone.topic, "partition": gone.partition, "from": gone.first, "to": gone.end - 1}
            for gone in search.gone
        ],
    }
