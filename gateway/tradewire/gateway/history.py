"""What history holds, as JSON and as text; query parameters as a filter. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tradewire.gateway.problems import FieldError
from tradewire.schemas import Catalogue, format_time_ns, parse_time_ns
from tradewire.sinks.event_pages import EventFilter
from tradewire.sinks.flow import Flow, FlowStep, StoredEvent

DATA_PREFIX: Final = "data."
_NS_PER_MS: Final = 1_000_000
_TEXTS: Final = ("type", "topic", "source", "subject", "correlation_id", "id")
FILTERS: Final = frozenset((*_TEXTS, "partition", "from", "to"))


def read_filter(parameters: Iterable[tuple[str, str]], catalogue: Catalogue, errors: list[FieldError]) -> EventFilter:
    """The filter of query parameters; those that are none of a filter's are skipped, misfits go to ``errors``."""
    found: dict[str, Any] = {}
    payload: dict[str, str] = {}
    for name, value in parameters:
        if name in _TEXTS:
            found[name] = value
        elif name in ("from", "to"):
            found["since_ns" if name == "from" else "until_ns"] = _time(name, value, errors)
        elif name == "partition":
            found[name] = _whole(name, value, errors)
        elif name.startswith(DATA_PREFIX):
            payload[name.removeprefix(DATA_PREFIX)] = value
    type = found.get("type")
    if type is not None and type in catalogue:
        errors += _unknown_fields(payload, type, catalogue)
    return EventFilter(**found, payload=payload)


def _unknown_fields(payload: Mapping[str, str], type: str, catalogue: Catalogue) -> Iterable[FieldError]:
    # Of all versions: an older event may have a field that the newest has not.
    fields = {name for version in catalogue[type].versions for name in version.field_names}
    for path in payload:
        name = path.removeprefix("$.").split(".")[0].split("[")[0]
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"its fields are {', '.join(sorted(fields))}"
            yield FieldError(f"?{DATA_PREFIX}{path}", f"is no field of {type}; {hint}")


def _time(name: str, value: str, errors: list[FieldError]) -> int | None:
    try:
        return int(value) if value.lstrip("-").isdecimal() else parse_time_ns(value)
    except (ValueError, OverflowError) as error:
        # A plus that was not escaped arrives as a blank.
        hint = "; write the + of an offset as %2B" if " " in value else ""
        errors.append(FieldError(f"?{name}", f"must be an RFC 3339 time or nanoseconds since 1970: {error}{hint}"))
        return None


def _whole(name: str, value: str, errors: list[FieldError]) -> int | None:
    if value.isdecimal() and len(value) <= 9:
        return int(value)
    errors.append(FieldError(f"?{name}", f"must be a whole number, not {value[:40]!r}"))
    return None


def event_json(event: StoredEvent) -> dict[str, Any]:
    """An event with its place in Kafka and its three times; ``data`` leaves out fields that are null.

    ``data_version`` is the version that ``data`` is in; ``unread`` is there where the newest was wanted and is not had.
    """
    said = {
        "id": event.id,
        "type": event.type,
        "version": event.version,
        "data_version": event.version if event.read_as is None else event.read_as,
        "source": event.source,
        "subject": event.subject,
        "time": format_time_ns(event.time_ns),
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id or None,
        "sequence": event.sequence,
        "tags": event.tags,
        "data": event.payload,
        "topic": event.topic,
        "partition": event.partition,
        "offset": event.offset,
        "recorded": format_time_ns(event.recorded_ms * _NS_PER_MS),
        "stored": format_time_ns(event.stored_ms * _NS_PER_MS),
        "schema_id": event.schema_id,
    }
    return said if event.unread is None else said | {"unread": event.unread}


def flow_json(flow: Flow) -> dict[str, Any]:
    """A flow as steps in the order of a tree walk: each event is followed by its effects, one deeper."""
    return {
        "correlation_id": flow.correlation_id,
        "event_count": len(flow.steps),
        "duration_ns": flow.duration_ns,
        "truncated": flow.truncated,
        "steps": [
            {
                "depth": step.depth,
                "hop_latency_ns": step.hop_latency_ns,
                "orphan": step.orphan,
                "event": event_json(step.event),
            }
            for step in flow.steps
        ],
    }


def flow_text(flow: Flow) -> str:
    """The same for a terminal: one indented line per event."""
    head = f"flow {flow.correlation_id}: {len(flow.steps)} events in {_ms(flow.duration_ns)}"
    lines = [head + (" (more are stored)" if flow.truncated else "")]
    lines += [_line(step) for step in flow.steps]
    return "\n".join(lines) + "\n"


def _line(step: FlowStep) -> str:
    hop = "cause not stored" if step.orphan else "" if step.hop_latency_ns is None else f"+{_ms(step.hop_latency_ns)}"
    event = step.event
    # Control characters in a subject must not steer the terminal that shows this.
    subject = "".join(letter if letter.isprintable() else "?" for letter in event.subject)
    return f"{'  ' * step.depth}{event.type}  {subject}  {format_time_ns(event.time_ns)}  {hop}".rstrip()


def _ms(ns: int) -> str:
    return f"{ns / _NS_PER_MS:,.3f} ms"
