"""Events as objects: what type, data and subject they are."""

from __future__ import annotations

from functools import cache
from typing import Any

from tradewire.core import EventInvalid
from tradewire.schemas import Catalogue, TypedData


@cache
def _key_fields(aggregate: str) -> tuple[str, ...]:
    return tuple(aggregate.split(":"))


def subject_of_data(data: TypedData) -> str:
    """The key that the object's own fields make, as its class says in ``aggregate``.

    Raises:
        EventInvalid: a field of the key is not there or empty; then the caller must name the subject.
    """
    parts: list[str] = []
    for name in _key_fields(data.aggregate):
        value = getattr(data, name, None)
        if value is None or value == "":
            raise EventInvalid(
                f"{data.event_type}: the key is {data.aggregate}, and this one has no {name}: give it, or a subject",
                type=data.event_type,
                field=name,
            )
        parts.append(str(value))
    return ":".join(parts)


def taken_apart(event: Any, data: Any, subject: str | None, catalogue: Catalogue) -> tuple[str, Any, str]:
    """Type, data and subject of what was given to ``publish``.

    Raises:
        TypeError: neither an object with data nor a type with data and subject; says which field the subject is.
        EventInvalid: see ``subject_of_data``.
        UnknownEventType: without a subject, of a type that is not in the catalogue.
    """
    if data is None and hasattr(event, "to_data"):
        return event.event_type, event.to_data(), subject or subject_of_data(event)
    if not isinstance(event, str) or data is None:
        raise TypeError(
            "publish takes an object of tradewire.schemas.types, or a type with data and subject; it was given "
            f"{event!r:.80} with{'out' if data is None else ''} data"
        )
    if subject is None:
        aggregate = catalogue[event].latest.schema.get("tradewire", {}).get("aggregate")
        what = f"the data's {aggregate.replace(':', ' and ')}" if aggregate else "what the event is about"
        shape = "{" + "}:{".join(_key_fields(aggregate)) + "}" if aggregate and ":" in aggregate else None
        joined = f", as {shape}" if shape else ""
        raise TypeError(f"publish of {event}: subject is missing; it is the aggregate id, {what}{joined}")
    return event, data, subject
