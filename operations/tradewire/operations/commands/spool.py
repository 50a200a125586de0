"""`tradewire spool`: what lies in a publisher's spool, and what becomes of the events that Kafka refused."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from tradewire.core import Settings, SettingsError, TradewireError, load_settings
from tradewire.operations.consoles import stdout_console
from tradewire.producers import Publisher, SpooledEvent, SpoolFolder
from tradewire.schemas import Contract

spool_app = typer.Typer(no_args_is_help=True)
Folder = Annotated[Path | None, typer.Option("--folder", help="the service's publisher.spool_folder, if not the own")]
Which = Annotated[list[str] | None, typer.Argument(help="events by number or id, as `list` shows them")]
OfTopic = Annotated[str | None, typer.Option("--topic", help="all refused events of this topic")]
All = Annotated[bool, typer.Option("--all", help="all refused events")]
Yes = Annotated[bool, typer.Option("--yes", help="do it; without it only shows what would be done")]


@spool_app.command("list")
def list_events(
    folder: Folder = None,
    waiting: Annotated[bool, typer.Option(help="also events that wait for a broker, not only refused ones")] = False,
    limit: Annotated[int, typer.Option(min=1, help="rows shown")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per line, all of them")] = False,
) -> None:
    """What Kafka refused, and why; the service that owns the spool must not run. Exit code 3 when there is some."""
    with SpoolFolder(_folder(folder)) as spool:
        events = [*spool.refused(), *(spool.waiting() if waiting else ())]
        waits, refused, size = spool.counts
    if as_json:
        for event in events:
            typer.echo(json.dumps(_as_json(event)))
    else:
        console = stdout_console()
        if events:
            console.print(_table(events[:limit]))
        if len(events) > limit:
            console.print(f"… and {len(events) - limit:,} more: --limit")
        console.print(f"{refused:,} refused, {waits:,} waiting for a broker, {size:,} bytes")
    raise typer.Exit(3 if refused or (waiting and waits) else 0)


@spool_app.command()
def show(event: Annotated[str, typer.Argument(help="number or id")], folder: Folder = None) -> None:
    """One event, refused or waiting: headers, reason and data, as JSON on stdout."""
    with SpoolFolder(_folder(folder)) as spool:
        found = _chosen([*spool.refused(), *spool.waiting()], [event], None, False)[0]
    contract = Contract.load(load_settings())
    typer.echo(json.dumps(_as_json(found, contract), indent=2, default=str))


@spool_app.command()
def redrive(
    which: Which = None,
    topic: OfTopic = None,
    all_refused: All = False,
    folder: Folder = None,
    later: Annotated[bool, typer.Option(help="leave the delivery to the service's next start")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="seconds to wait for the brokers")] = 60.0,
    yes: Yes = False,
) -> None:
    """Tries refused events again, once their cause is gone (right granted, topic made, limit raised).

    They keep their ids and were never written, so none is doubled; events of the same subject that came after them are
    perhaps in Kafka already. What else waits in the spool is delivered too, in order. Exit code 3 when some are left.
    """
    settings, place = load_settings(), _folder(folder)
    contract = Contract.load(settings)
    with SpoolFolder(place) as spool:
        events = _chosen(spool.refused(), which, topic, all_refused)
        if not _confirmed(events, "would be tried again", yes):
            return
        spool.put_back(events, lambda event: _lane(contract, event))
    if later:
        typer.echo(f"{len(events):,} events are tried again by the next publisher with {place}")
        return
    _deliver(settings, contract, place, timeout)
    with SpoolFolder(place) as spool:
        left = {event.id for event in spool.waiting()}
        again = [event for event in spool.refused() if event.id in {one.id for one in events}]
    waits = sum(event.id in left for event in events)
    typer.echo(f"{len(events) - len(again) - waits:,} delivered, {len(again):,} refused again, {waits:,} not confirmed")
    for event in again:
        typer.echo(f"  {event.number} {event.id}: {event.reason}")
    raise typer.Exit(3 if again or waits else 0)


@spool_app.command()
def discard(
    which: Which = None, topic: OfTopic = None, all_refused: All = False, folder: Folder = None, yes: Yes = False
) -> None:
    """Deletes refused events for good; `export` first keeps them. Events that wait for a broker are never deleted."""
    with SpoolFolder(_folder(folder)) as spool:
        events = _chosen(spool.refused(), which, topic, all_refused)
        if _confirmed(events, "would be deleted for good", yes):
            spool.discard(events)
            typer.echo(f"{len(events):,} events deleted")


@spool_app.command()
def export(
    file: Annotated[Path, typer.Argument(help="a new file")],
    folder: Folder = None,
    waiting: Annotated[bool, typer.Option(help="also events that wait for a broker")] = False,
) -> None:
    """Writes refused events into a file, one JSON object per line with key, headers, value and reason."""
    contract = Contract.load(load_settings())
    with SpoolFolder(_folder(folder)) as spool:
        events = [*spool.refused(), *(spool.waiting() if waiting else ())]
        try:
            with file.open("x", encoding="utf-8") as out:
                out.writelines(json.dumps(_as_json(event, contract), default=str) + "\n" for event in events)
        except OSError as error:
            raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error
    typer.echo(f"{len(events):,} events in {file}")


def _folder(given: Path | None) -> Path:
    found = given or load_settings().publisher.spool_folder
    if found is None:
        raise SettingsError("publisher.spool_folder is not set: give it, or --folder")
    return found


def _chosen(
    events: Sequence[SpooledEvent], which: Sequence[str] | None, topic: str | None, all_of_them: bool
) -> list[SpooledEvent]:
    if not which and topic is None and not all_of_them:
        raise typer.BadParameter("say which events: numbers or ids, --topic, or --all")
    wanted = set(which or ())
    found = [
        event
        for event in events
        if all_of_them or event.topic == topic or event.id in wanted or str(event.number) in wanted
    ]
    missing = wanted - {event.id for event in found} - {str(event.number) for event in found}
    if missing:
        raise typer.BadParameter(f"the spool has no such event: {', '.join(sorted(missing))}", param_hint="EVENTS")
    return found


def _confirmed(events: Sequence[SpooledEvent], what: str, yes: bool) -> bool:
    if not yes and events:
        stdout_console().print(_table(events))
    if not yes or not events:
        typer.echo(f"{len(events):,} events {what}" + ("; --yes does it" if events else ""))
    return yes and bool(events)


def _lane(contract: Contract, event: SpooledEvent) -> str:
    try:
        urgent = contract.topics.of_type(contract.catalogue[event.type]).is_urgent(event.type)
    except TradewireError:  # a type of another catalogue
        urgent = False
    return "urgent" if urgent else "bulk"


def _deliver(settings: Settings, contract: Contract, folder: Path, timeout: float) -> None:
    limits = settings.publisher.model_copy(update={"spool_folder": folder})
    own = settings.model_copy(update={"publisher": limits})
    publisher = Publisher(own, contract, source="tradewire-spool")
    try:
        publisher.flush(timeout)
    finally:
        publisher.close(0)


def _as_json(event: SpooledEvent, contract: Contract | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {
        "number": event.number,
        "state": "waiting" if event.reason is None else "refused",
        "reason": event.reason,
        "id": event.id,
        "type": event.type,
        "topic": event.topic,
        "key": event.key,
        "bytes": len(event.value),
    }
    if contract is None:
        return said | {"time": event.time}
    try:
        said["data"] = dict(contract.codec.decode(event.value).data)
    except TradewireError as error:
        said["data"] = None
        said["not_decoded"] = str(error)
    headers = {name: value.decode(errors="replace") for name, value in event.headers}
    return said | {"headers": headers, "value_base64": b64encode(event.value).decode()}


def _table(events: Sequence[SpooledEvent]) -> Table:
    table = Table(
        Column("number", justify="right"), "occurred", "type", "key", Column("id", no_wrap=True),
        Column("bytes", justify="right"), Column("why", overflow="fold"),
    )  # fmt: skip
    for event in events:
        why = "waits for a broker" if event.reason is None else event.reason
        table.add_row(
            str(event.number), event.time[:19], escape(event.type), escape(event.key), event.id,
            f"{len(event.value):,}", escape(why),
        )  # fmt: skip
    return table
