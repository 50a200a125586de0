"""Dead letters for people and for programs: as tables, as one letter in full, and as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Column, Table

from tradewire.core.clock import NS_PER_MS
from tradewire.core.errors import TradewireError
from tradewire.processors.parking.operating import KeySeen, Seen
from tradewire.processors.parking.reading import DeadLetter
from tradewire.schemas import Codec, Header, read_event
from tradewire.schemas.headers import format_time_ns

_DAY_MS: Final = 86_400_000
_NAMES_SHOWN: Final = 10


def position_text(letter: DeadLetter) -> str:
    """``topic:partition:offset`` of the source."""
    return f"{letter.topic}:{letter.partition}:{letter.offset}"


def header_text(headers: Sequence[Header], name: str) -> str:
    """A header as text; empty if it is not there. Of a repeated one the last counts."""
    value = dict(headers).get(name)
    return (value or b"").decode(errors="replace")


def plain(value: Any) -> Any:
    """Avro data as JSON values: a decimal is a string, bytes are base64."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def decoded(codec: Codec, letter: DeadLetter) -> tuple[Mapping[str, Any] | None, str | None]:
    """The event's data as its newest version, or why they cannot be read now."""
    try:
        event = read_event(
            codec,
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            timestamp_ms=letter.timestamp,
            value=letter.value,
            headers=letter.headers,
        )
    except TradewireError as error:
        return None, str(error)
    return event.data, None


def keys_table(keys: Iterable[KeySeen], retention_ms: int, now_ms: int) -> Table:
    """Parked keys, one a line. A letter in the last quarter of its topic's retention is marked."""
    table = Table(
        Column("key", overflow="fold"),
        Column("event", overflow="fold"),
        *(Column(name, justify="right") for name in ("partition", "from", "letters", "attempts")),
        "since",
        "what",
        Column("error", overflow="fold"),
    )
    for seen in keys:
        state = seen.state
        table.add_row(
            escape(f"{seen.key.topic} {'(no key)' if seen.key.key is None else seen.key.key.decode(errors='replace')}"),
            escape(state.event_type),
            str(seen.key.partition),
            f"{state.parked_from:,}",
            f"{len(seen.letters):,}",
            str(state.attempts),
            time_text(state.since_ms),
            what_of(seen, retention_ms, now_ms),
            escape(state.error),
        )
    return table


def what_of(seen: KeySeen, retention_ms: int, now_ms: int) -> str:
    """What is wished of a key, and what is wrong with it beyond its error."""
    said = []
    if seen.request is not None:
        said.append("re-drive asked for")
    waiting = {letter.offset for letter in seen.letters}
    for name, marks in (("discarded", seen.discards), ("edited", seen.edits)):
        count = len(waiting & set(marks))
        if count:
            said.append(f"{count} {name}")
    if seen.missing is not None:
        said.append(f"letter {seen.missing} is gone: retention")
    elif retention_ms > 0 and now_ms - seen.state.since_ms > retention_ms * 3 // 4:
        said.append("retention takes its letters soon")
    return ", ".join(said)


def letters_table(seen: KeySeen) -> Table:
    """The letters of one key that wait, in order."""
    table = Table(Column("offset", justify="right"), "kind", "event", Column("event id", overflow="fold"), "what")
    for letter in seen.letters:
        what = [
            name for name, marks in (("discarded", seen.discards), ("edited", seen.edits)) if letter.offset in marks
        ]
        table.add_row(
            f"{letter.offset:,}",
            letter.failure.kind or letter.failure.dialect,
            escape(header_text(letter.headers, "ce_type")),
            escape(header_text(letter.headers, "ce_id")),
            ", ".join(what),
        )
    return table


def letter_view(codec: Codec, letter: DeadLetter, seen: KeySeen | None) -> RenderableType:
    """One letter in full: why it is here, where it lies, its event as it was, and as a re-drive would hand it over."""
    head = Table(show_header=False, box=None)
    for name, value in _facts(letter, seen):
        head.add_row(f"[bold]{name}", escape(value))
    parts: list[RenderableType] = [head, _data(codec, letter, "data")]
    if seen is not None and letter.offset in seen.edits:
        edit = seen.edits[letter.offset]
        parts.append(f"\nedited by {escape(edit.by)} at {time_text(edit.at_ms)}; the above is the original")
        parts.append(_data(codec, seen.current(letter), "data of a re-drive"))
    headers = Table("header", Column("value", overflow="fold"))
    for header, octets in (letter if seen is None else seen.current(letter)).headers:
        headers.add_row(escape(header), escape("" if octets is None else octets.decode(errors="backslashreplace")))
    return Group(*parts, headers)


def _facts(letter: DeadLetter, seen: KeySeen | None) -> Iterable[tuple[str, str]]:
    failure = letter.failure
    yield "position", position_text(letter)
    yield "key", "(none)" if letter.key is None else letter.key.decode(errors="backslashreplace")
    yield "error", failure.message or ""
    if failure.error_class:
        yield "class", failure.error_class
    yield "kind", f"{failure.kind or '?'}, deliveries {failure.delivery_count}, dialect {failure.dialect}"
    yield "recorded", time_text(letter.timestamp)
    if failure.at_ms is not None:
        yield "parked", time_text(failure.at_ms)
    for name, header in (("event", "ce_type"), ("event id", "ce_id"), ("flow", "ce_correlationid")):
        yield name, header_text(letter.headers, header)
    yield "trace id", trace_id(letter.headers)
    if seen is None:
        yield "now", "nobody waits for it any more: it was re-driven, discarded, or its process read it again"
    elif letter.offset in seen.discards:
        mark = seen.discards[letter.offset]
        yield "now", f"discarded by {mark.by}: {mark.reason}"
    else:
        asked = "a re-drive is asked for" if seen.request is not None else "no re-drive is asked for"
        yield "now", f"waits, {len(seen.letters)} of its key; {asked}"
    if failure.stacktrace:
        yield "stacktrace", failure.stacktrace[:2_000]


def _data(codec: Codec, letter: DeadLetter, title: str) -> RenderableType:
    data, unreadable = decoded(codec, letter)
    if data is None:
        size = 0 if letter.value is None else len(letter.value)
        return f"\n[bold]{title}[/] cannot be read ({size} bytes): {escape(unreadable or '')}"
    table = Table("field", Column("value", overflow="fold"), title=title, title_justify="left")
    for name, value in data.items():
        table.add_row(escape(name), escape(json.dumps(plain(value), ensure_ascii=False)))
    return table


def other_groups(group: str, groups: Sequence[str]) -> str:
    """A sentence that names the groups that do have dead letters; empty if there are none."""
    others = [name for name in groups if name != group]
    if not others:
        return ""
    more = f" and {len(others) - _NAMES_SHOWN} more" if len(others) > _NAMES_SHOWN else ""
    return f" Groups that have dead letters: {', '.join(others[:_NAMES_SHOWN])}{more}; name one with --group."


def nothing_parked(seen: Seen, wishes: Mapping[str, str | None]) -> str:
    """Why nothing was found: what was wished for is not parked in this group, and which keys are."""
    wished = ", ".join(f"{name} {value!r}" for name, value in wishes.items() if value is not None)
    if not seen.keys or not wished:
        what = f"{wished}: nothing" if wished else "Nothing"
        return f"{what} is parked of group {seen.group}. {len(seen.settled)} letters are settled."
    names = sorted({"(no key)" if one.key is None else one.key.decode(errors="replace") for one in seen.keys})
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{wished} is not parked in group {seen.group}. Parked keys: {', '.join(names[:_NAMES_SHOWN])}{more}."


def trace_id(headers: Sequence[Header]) -> str:
    """The trace of W3C's ``traceparent``; empty if there is none."""
    parts = header_text(headers, "traceparent").split("-")
    return parts[1] if len(parts) == 4 else ""


def time_text(time_ms: int) -> str:
    """RFC 3339, to the second."""
    return format_time_ns(time_ms * NS_PER_MS)[:19] + "Z"


def key_json(seen: KeySeen) -> dict[str, Any]:
    """A parked key and the places of its letters."""
    key, state = seen.key, seen.state
    return {
        "topic": key.topic,
        "partition": key.partition,
        "key": None if key.key is None else key.key.decode(errors="replace"),
        "key_base64": None if key.key is None else base64.b64encode(key.key).decode(),
        "parked_from": state.parked_from,
        "since": time_text(state.since_ms),
        "attempts": state.attempts,
        "error": state.error,
        "event_type": state.event_type,
        "letters": [letter.offset for letter in seen.letters],
        "discarded": sorted(letter.offset for letter in seen.letters if letter.offset in seen.discards),
        "edited": sorted(letter.offset for letter in seen.letters if letter.offset in seen.edits),
        "missing": seen.missing,
        "redrive_requested": seen.request is not None,
    }


def letter_json(codec: Codec, letter: DeadLetter, seen: KeySeen | None) -> dict[str, Any]:
    """One letter in full; bytes as base64."""
    data, unreadable = decoded(codec, letter)
    made: dict[str, Any] = {
        "position": position_text(letter),
        "key_base64": None if letter.key is None else base64.b64encode(letter.key).decode(),
        "value_base64": None if letter.value is None else base64.b64encode(letter.value).decode(),
        "headers": [
            [name, None if value is None else value.decode(errors="replace")] for name, value in letter.headers
        ],
        "failure": {name: getattr(letter.failure, name) for name in letter.failure.__slots__},
        "recorded": time_text(letter.timestamp),
        "trace_id": trace_id(letter.headers),
        "waits": seen is not None,
        "data": plain(data),
        "unreadable": unreadable,
    }
    if seen is not None and letter.offset in seen.edits:
        made["edited"] = letter_json(codec, seen.current(letter), None)["data"]
    return made


def seen_json(seen: Seen) -> dict[str, Any]:
    """All parked keys of a group."""
    return {"group": seen.group, "keys": [key_json(key) for key in seen.keys.values()], "settled": len(seen.settled)}
