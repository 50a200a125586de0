"""`tradewire dlq`: what is parked and why; corrected, discarded, re-driven. Shown first, done with --yes.

Exit codes: 0 done, or nothing to do; 3 a dry run that would have changed something; 1 an error of ours; 2 bad usage.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from tradewire.core import load_settings
from tradewire.core.clock import NS_PER_MS, SystemClock
from tradewire.core.errors import EventInvalid, ProcessingError
from tradewire.core.settings import Settings
from tradewire.operations.consoles import stdout_console
from tradewire.operations.dead_letter_events import discarded, edited, key_text, operator_name, requested, tell
from tradewire.operations.letter_views import (
    keys_table,
    letter_json,
    letter_view,
    letters_table,
    nothing_parked,
    other_groups,
    position_text,
    seen_json,
)
from tradewire.processors.parking.facts import ParkedKey
from tradewire.processors.parking.groups import groups_with_letters
from tradewire.processors.parking.operating import KeySeen, Operator, Seen
from tradewire.processors.parking.reading import DeadLetter
from tradewire.processors.parking.topics import parking_topics
from tradewire.schemas import Contract

dlq_app = typer.Typer(no_args_is_help=True)

EXIT_WOULD_CHANGE: Final = 3
_LOOK_AGAIN_S: Final = 0.5
_LETTERS_SHOWN: Final = 20

GroupOption = Annotated[str | None, typer.Option("--group", "-g", help="consumer group; the worker's if none")]
JsonOption = Annotated[bool, typer.Option("--json", help="for programs, on stdout")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="do it; without, only what would be done is shown")]
ByOption = Annotated[str | None, typer.Option("--by", help="who asks, for the audit; user and host if none")]
ReasonOption = Annotated[str, typer.Option("--reason", help="why, for the audit")]
TopicOption = Annotated[str | None, typer.Option("--topic", help="only keys of this source topic")]
KeyOption = Annotated[str | None, typer.Option("--key", help="only this key")]
TypeOption = Annotated[str | None, typer.Option("--type", help="only keys that failed on this event type")]
AllOption = Annotated[bool, typer.Option("--all", help="all that is parked")]
PositionsArgument = Annotated[list[str] | None, typer.Argument(help="letters, TOPIC:PARTITION:OFFSET")]
PositionArgument = Annotated[str, typer.Argument(help="a letter, TOPIC:PARTITION:OFFSET of its source")]


@dlq_app.callback()
def _root() -> None:
    """Dead letters of a group: while a key is parked, its events wait in order and all others flow."""


@dlq_app.command("list")
def list_keys(
    group: GroupOption = None,
    topic: TopicOption = None,
    key: KeyOption = None,
    type: TypeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Parked keys: since when, how many letters, why, and what is wished of them."""
    settings, operator = _operator(group, None)
    seen = operator.look()
    keys = _chosen(seen, topic=topic, key=key, type=type)
    if as_json:
        print(json.dumps(seen_json(Seen(seen.group, {one.key: one for one in keys}, seen.settled)), indent=2))
        return
    console = stdout_console()
    if not keys:
        console.print(_nothing(settings, seen, key=key, type=type, topic=topic), markup=False, soft_wrap=True)
        return
    topics = parking_topics(operator.group, Contract.load(settings).topics)
    retention_ms = max(known.retention_ms for known in topics.values() if known.cleanup == "delete")
    console.print(keys_table(keys, retention_ms, SystemClock().now_ns() // NS_PER_MS))
    if len(keys) == 1:
        console.print(letters_table(keys[0]))


@dlq_app.command()
def show(position: PositionArgument, group: GroupOption = None, as_json: JsonOption = False) -> None:
    """One letter in full: error, position, trace id, its event decoded with the schemas of today, its edit if any."""
    settings, operator = _operator(group, None)
    contract = Contract.load(settings)
    seen, letter = _found(settings, operator.look(), position)
    if as_json:
        print(json.dumps(letter_json(contract.codec, letter, seen), indent=2, default=str))
    else:
        stdout_console().print(letter_view(contract.codec, letter, seen))


@dlq_app.command()
def edit(
    position: PositionArgument,
    group: GroupOption = None,
    field: Annotated[list[str] | None, typer.Option("--set", help="field=value; dots lead into records")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="file with all data as JSON; - for stdin")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", help="name=value")] = None,
    remove_header: Annotated[list[str] | None, typer.Option("--remove-header", help="name")] = None,
    reason: ReasonOption = "",
    by: ByOption = None,
    yes: YesOption = False,
) -> None:
    """Has a letter re-driven with other data (checked against the schema) or headers. The original stays readable.

    Edits begin with the original, not with an edit before. Told to everybody by system.dead_letter.edited.
    """
    from tradewire.operations.letter_edits import edit_of  # the checks are the gateway's

    settings, operator = _operator(group, by)
    contract = Contract.load(settings)
    seen, letter = _found(settings, operator.look(), position)
    if seen is None:
        raise ProcessingError(f"{position} does not wait any more: an edit would change nothing")
    if field and data is not None:
        raise typer.BadParameter("give --set or --data, not both")
    whole = None if data is None else _read_json(data)
    headers = [*map(_pair, header or ()), *((name, None) for name in remove_header or ())]
    made = edit_of(contract, letter, fields=[*map(_pair, field or ())], whole=whole, headers=headers)
    console = Console(stderr=True)
    if not made.changed:
        console.print("The letter would be the same.")
        return
    for name in made.changed:
        part = name.removeprefix("data.")
        if name.startswith("data.") and made.after is not None:
            before = None if made.before is None else made.before.get(part)
            console.print(f"{name}: {before!s} -> {made.after.get(part)!s}", markup=False)
        else:
            console.print(name, markup=False)
    if not yes:
        _dry_run(console)
    wish = operator.new_edit(made.value, made.headers)
    told = edited(
        operator.group, letter, wish, changed=made.changed, before=made.before, after=made.after, reason=reason
    )
    tell(settings, contract, [told])
    operator.edit(letter, wish)
    console.print(f"edited: `tradewire dlq redrive` hands {position} over like this")


@dlq_app.command()
def discard(
    positions: PositionsArgument = None,
    group: GroupOption = None,
    topic: TopicOption = None,
    key: KeyOption = None,
    type: TypeOption = None,
    everything: AllOption = False,
    reason: ReasonOption = "",
    by: ByOption = None,
    yes: YesOption = False,
) -> None:
    """Letters that no re-drive shall hand over: one, or all of a key. They stay readable until retention.

    A key of which nothing is left is re-driven too, so that it is free again; what was parked since this look is then
    handled. Told to everybody by system.dead_letter.discarded.
    """
    settings, operator = _operator(group, by)
    seen = operator.look()
    letters: list[tuple[KeySeen, DeadLetter]] = []
    gone: list[ParkedKey] = []
    for position in positions or ():
        owner, letter = _found(settings, seen, position)
        if owner is not None:
            letters.append((owner, letter))
    if not positions:
        for one in _chosen(seen, topic=topic, key=key, type=type, everything=everything, must=True):
            letters += [(one, letter) for letter in one.letters]
            if one.missing is not None:
                gone.append(ParkedKey(one.key.topic, one.key.partition, None, one.missing))
    new = [(one, letter) for one, letter in letters if letter.offset not in one.discards]
    marked = {letter.position for _, letter in letters} | set(gone)
    emptied = [
        one
        for one in {one.key: one for one, _ in letters}.values()
        if all(letter.position in marked or letter.offset in one.discards for letter in one.letters)
    ]
    console = Console(stderr=True)
    for one, letter in new:
        console.print(f"discard {position_text(letter)} of {key_text(one.key)}", markup=False)
    requests = operator.requests(emptied)
    for one, _ in requests:
        console.print(f"free {key_text(one.key)}: all its letters are discarded", markup=False)
    if not new and not requests and not gone:
        nothing = "" if letters or positions else f" {_nothing(settings, seen, key=key, type=type, topic=topic)}"
        console.print(f"Nothing to discard.{nothing}", markup=False, soft_wrap=True)
        return
    if not yes:
        _dry_run(console)
    contract = Contract.load(settings)
    told = [discarded(operator.group, letter, operator.by, reason) for _, letter in new]
    tell(settings, contract, [*told, *(requested(operator.group, *one) for one in requests)])
    operator.discard([*(letter.position for _, letter in new), *gone], reason)
    operator.redrive(requests)
    console.print(f"{len(new)} discarded, {len(requests)} keys to be freed")


@dlq_app.command()
def redrive(
    positions: PositionsArgument = None,
    group: GroupOption = None,
    topic: TopicOption = None,
    key: KeyOption = None,
    type: TypeOption = None,
    everything: AllOption = False,
    wait_s: Annotated[float, typer.Option("--wait", help="seconds to wait for what comes of it")] = 0.0,
    by: ByOption = None,
    yes: YesOption = False,
) -> None:
    """Has the events of keys handled again, in order, by the failing group alone; then the keys are free.

    The consumer that owns the key does it, so it must be running. A position stands for the whole key: nothing may
    overtake. If an event fails again its key stays parked from there. Told by system.redrive.requested.
    """
    settings, operator = _operator(group, by)
    operator.prune()
    seen = operator.look()
    if positions:
        owners = [
            owner for owner, _ in (_found(settings, seen, position) for position in positions) if owner is not None
        ]
        keys = list({owner.key: owner for owner in owners}.values())
    else:
        keys = _chosen(seen, topic=topic, key=key, type=type, everything=everything, must=True)
    console = Console(stderr=True)
    requests = operator.requests(keys)
    for one, _ in requests:
        _say_plan(console, one)
    if len(keys) > len(requests):
        console.print(f"{len(keys) - len(requests)} keys are asked for already")
    if not keys:
        nothing = "" if positions else f" {_nothing(settings, seen, key=key, type=type, topic=topic)}"
        console.print(f"Nothing to re-drive.{nothing}", markup=False, soft_wrap=True)
        return
    if requests and not yes:
        _dry_run(console)
    tell(settings, Contract.load(settings), [requested(operator.group, *one) for one in requests])
    operator.redrive(requests)
    console.print(f"{len(requests)} re-drives asked for")
    if wait_s > 0:
        raise typer.Exit(_await(operator, keys, wait_s, console))


def _await(operator: Operator, keys: Sequence[KeySeen], wait_s: float, console: Console) -> int:
    until = time.monotonic() + wait_s
    wanted = {one.key: one for one in keys}
    while True:
        now = operator.look().keys
        open_keys = [key for key, one in now.items() if key in wanted and one.request is not None]
        if not open_keys or time.monotonic() > until:
            break
        time.sleep(_LOOK_AGAIN_S)
    failed = [
        now[key]
        for key, one in wanted.items()
        if key in now and now[key].request is None and now[key].state.parked_from == one.state.parked_from
    ]
    for one in failed:
        console.print(f"[bold red]failed again:[/] {one.key}: {one.state.error}", highlight=False)
    console.print(f"{len(wanted) - len(failed) - len(open_keys)} free, {len(failed)} failed, {len(open_keys)} open")
    if open_keys:
        console.print(f"no answer within {wait_s:g} s: is a consumer of group {operator.group} running?")
    return 1 if failed or open_keys else 0


def _say_plan(console: Console, one: KeySeen) -> None:
    skipped = sum(letter.offset in one.discards for letter in one.letters)
    edits = sum(letter.offset in one.edits for letter in one.letters)
    places = ", ".join(str(letter.offset) for letter in one.letters[:_LETTERS_SHOWN])
    more = f" and {len(one.letters) - _LETTERS_SHOWN} more" if len(one.letters) > _LETTERS_SHOWN else ""
    console.print(
        f"re-drive {key_text(one.key)}: {len(one.letters)} letters ({places}{more}), {skipped} discarded, "
        f"{edits} edited",
        markup=False,
    )
    if one.missing is not None:
        console.print(f"  the letter of offset {one.missing} is gone (retention): it will be refused", markup=False)


def _operator(group: str | None, by: str | None) -> tuple[Settings, Operator]:
    settings = load_settings()
    name = group or settings.worker.group
    try:
        return settings, Operator(settings.kafka, name, operator_name(by))
    except ProcessingError as error:  # it has no topics of dead letters: perhaps its name is misspelt
        raise ProcessingError(f"{error}.{other_groups(name, groups_with_letters(settings.kafka))}") from error


def _chosen(
    seen: Seen,
    *,
    topic: str | None,
    key: str | None,
    type: str | None,
    everything: bool = False,
    must: bool = False,
) -> list[KeySeen]:
    if must and not (everything or topic or key or type):
        raise typer.BadParameter("say which: positions, --key, --type, --topic or --all")
    return [
        one
        for one in seen.keys.values()
        if (topic is None or one.key.topic == topic)
        and (key is None or one.key.key == key.encode())
        and (type is None or one.state.event_type == type)
    ]


def _nothing(settings: Settings, seen: Seen, **wishes: str | None) -> str:
    elsewhere = "" if seen.keys else other_groups(seen.group, groups_with_letters(settings.kafka))
    return nothing_parked(seen, wishes) + elsewhere


def _found(settings: Settings, seen: Seen, position: str) -> tuple[KeySeen | None, DeadLetter]:
    topic, partition, offset = (*position.rsplit(":", 2), "", "")[:3]
    if not (topic and partition.isdecimal() and offset.isdecimal()):
        raise typer.BadParameter(f"{position!r} is not TOPIC:PARTITION:OFFSET")
    found = seen.find(topic, int(partition), int(offset))
    if found is None:
        elsewhere = other_groups(seen.group, groups_with_letters(settings.kafka))
        raise ProcessingError(
            f"group {seen.group} has no dead letter of {position}: see `tradewire dlq list`.{elsewhere}"
        )
    return found


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not name=value")
    return name, value


def _read_json(file: Path) -> Any:
    try:
        return json.loads(sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EventInvalid(f"{file} is not JSON: {error}", file=str(file)) from error


def _dry_run(console: Console) -> None:
    console.print("Nothing was changed. Add --yes to do it.")
    raise typer.Exit(EXIT_WOULD_CHANGE)
