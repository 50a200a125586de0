"""Which events are asked for, and a page of them: conditions, order and cursors as SQL with parameters. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from tradewire.core.errors import QueryError
from tradewire.sinks.flow import StoredEvent
from tradewire.sinks.payload import field_condition

PAGE_ROWS_MAX: Final = 10_000
# Of what is asked by its id one thread reads a granule or a few; making more of them costs more than they do.
FEW_SETTINGS: Final[Mapping[str, Any]] = {"max_threads": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events; None means any. ``subject`` is the aggregate. Times are of occurrence, ``until_ns`` is exclusive.

    ``payload`` compares fields by their text: ``{"symbol": "BTCUSDT", "candle.open": "61000.5"}``.
    """

    type: str | None = None
    topic: str | None = None
    partition: int | None = None
    source: str | None = None
    subject: str | None = None
    correlation_id: str | None = None
    id: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    payload: Mapping[str, str] = field(default_factory=dict)


def encode_cursor(event: StoredEvent) -> str:
    """Where a page that ends with this event is continued; opaque to callers."""
    return make_cursor(event.time_ns, event.topic, event.partition, event.offset)


def make_cursor(*position: int | str | None) -> str:
    """A position in the order of a listing, as text."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def read_cursor(cursor: str, types: Sequence[type]) -> tuple[Any, ...]:
    """Raises QueryError for a text that is no cursor of such a listing."""
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if list(map(type, position)) != list(types):
            raise ValueError(f"{position} is of another listing")
        return tuple(position)
    except (ValueError, TypeError) as error:
        raise QueryError(f"cursor {cursor!r} was not given out by a page; begin without one", field="cursor") from error


def decode_cursor(cursor: str) -> tuple[int, str, int, int]:
    """Raises QueryError for a text that is no cursor of a page of events."""
    time_ns, topic, partition, offset = read_cursor(cursor, (int, str, int, int))
    return time_ns, topic, partition, offset


def conditions(wanted: EventFilter) -> tuple[str, dict[str, Any]]:
    """The WHERE of a filter with its parameters. Pure."""
    plain = {
        "type": "String",
        "topic": "String",
        "partition": "Int32",
        "source": "String",
        "subject": "String",
        "correlation_id": "String",
        "id": "String",
    }
    parts: list[str] = []
    parameters: dict[str, Any] = {}
    for name, type in plain.items():
        value = getattr(wanted, name)
        if value is not None:
            parts.append(f"{name} = {{{name}:{type}}}")
            parameters[name] = value
    if wanted.since_ns is not None:
        parts.append("time_ns >= {since_ns:Int64}")
        parameters["since_ns"] = wanted.since_ns
    if wanted.until_ns is not None:
        parts.append("time_ns < {until_ns:Int64}")
        parameters["until_ns"] = wanted.until_ns
    for number, (path, value) in enumerate(wanted.payload.items()):
        condition, named = field_condition(number, path, value)
        parts.append(condition)
        parameters |= named
    return " AND ".join(parts) or "1", parameters


def page_query(
    table: str, wanted: EventFilter | None, limit: int, cursor: str | None, order: Literal["oldest", "newest"]
) -> tuple[str, str, dict[str, Any]]:
    """WHERE, ORDER BY with LIMIT of one row more than the page, and parameters, of ``table``.

    Raises:
        QueryError: ``limit`` or ``cursor`` is bad; names it.
    """
    _check_limit(limit)
    wanted = wanted or EventFilter()
    where, parameters = conditions(wanted)
    sign, direction = (">", "ASC") if order == "oldest" else ("<", "DESC")
    if _is_of_aggregate(wanted):
        where += f" AND {_reach(table, where, sign, direction, after=cursor is not None)}"
    if cursor is not None:
        after = "({c0:Int64}, {c1:String}, {c2:Int32}, {c3:Int64})"
        where += f" AND (time_ns, topic, partition, offset) {sign} {after}"
        parameters |= {f"c{at}": value for at, value in enumerate(decode_cursor(cursor))}
    by = ", ".join(f"{name} {direction}" for name in ("time_ns", "topic", "partition", "offset"))
    return where, f"ORDER BY {by} LIMIT {{limit:UInt32}}", {**parameters, "limit": limit + 1}


def few_query(
    wanted: EventFilter | None, limit: int, cursor: str | None, order: Literal["oldest", "newest"]
) -> tuple[str, str, dict[str, Any]] | None:
    """WHERE, LIMIT and parameters of a question that less than a page is likely to answer; None for all others.

    It has no order. With at most ``limit`` rows the answer is whole, and is sorted by who asked (``position``); with
    more it is good for nothing, and ``page_query`` is to be asked. So an event, a flow, and an aggregate from its
    oldest event on, which is how it is rebuilt, are spared what ordering costs the engine.

    Raises:
        QueryError: ``limit`` is bad.
    """
    _check_limit(limit)
    if wanted is None or cursor is not None:
        return None
    by_id = wanted.id is not None or wanted.correlation_id is not None
    if not by_id and not (order == "oldest" and _is_of_aggregate(wanted)):
        return None
    where, parameters = conditions(wanted)
    return where, "LIMIT {limit:UInt32}", {**parameters, "limit": limit + 1}


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= PAGE_ROWS_MAX:
        raise QueryError(f"limit is {limit}; one page has 1 to {PAGE_ROWS_MAX} events", field="limit")


def position(event: StoredEvent) -> tuple[int, str, int, int]:
    """Where an event stands in a page that begins with the oldest."""
    return event.time_ns, event.topic, event.partition, event.offset


def _is_of_aggregate(wanted: EventFilter) -> bool:
    """Whether only the aggregate is asked for, at any time or in a span of it."""
    others = {**asdict(wanted), "subject": None, "since_ns": None, "until_ns": None, "payload": None}
    return wanted.subject is not None and not wanted.payload and not any(at is not None for at in others.values())


def _reach(table: str, where: str, sign: str, direction: str, *, after: bool) -> str:
    """The time that the page cannot reach behind, found at one end of the projection ``by_subject``.

    Without it the times of all events of the aggregate would be read and sorted. Events of the cursor's own time are
    not counted: some of them were given already, and all the others lie before that time's neighbour.
    """
    beyond = f" AND time_ns {sign} {{c0:Int64}}" if after else ""
    ends = (
        f"SELECT time_ns FROM {table} WHERE {where}{beyond} "
        f"ORDER BY subject {direction}, time_ns {direction} LIMIT {{limit:UInt32}}"
    )
    if direction == "DESC":
        return f"time_ns >= (SELECT ifNull(minOrNull(time_ns), toInt64({-(2**63)})) FROM ({ends}))"
    return f"time_ns <= (SELECT ifNull(maxOrNull(time_ns), toInt64({2**63 - 1})) FROM ({ends}))"
