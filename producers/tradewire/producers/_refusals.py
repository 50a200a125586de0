"""What ``produce`` refuses, as typed errors. Nothing of a refused event has been queued."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError

from tradewire.core import NS_PER_SECOND, EventInvalid, PublishError
from tradewire.producers._route import Route
from tradewire.producers.delivery import not_authorised
from tradewire.producers.errors import EventTooLarge, PublisherFailed, PublisherFenced, TopicMissing

# The end of year 9999, the last one that the envelope can say.
TIME_NS_MAX: Final = 253_402_300_800 * NS_PER_SECOND


def bad_attribute(type: str, attributes: Mapping[str, Any], error: Exception) -> EventInvalid:
    """The error of the first attribute of the envelope that no header can carry, after ``error`` has come of one.

    Asked when something went wrong, so that events in order do not pay for it. Raises ``error`` if it is not theirs.
    """
    for name, value in attributes.items():
        fault = _fault(name, value)
        if fault is not None and (value is not None or name in ("subject", "id", "time_ns")):
            return EventInvalid(f"{type}: {name} = {value!r:.80} {fault}", field=name)
    raise error


def _fault(name: str, value: Any) -> str | None:
    if name == "time_ns":
        fits = isinstance(value, int) and 0 <= value < TIME_NS_MAX
        return None if fits else "is not nanoseconds since 1970 (up to year 9999)"
    if name == "sequence":
        return None if isinstance(value, int) and value >= 0 else "is not a whole number from 0 on"
    if name == "tags":
        if not isinstance(value, Mapping):
            return f"is {value.__class__.__name__}, not a mapping of texts to texts"
        faults = (_fault_of_text(text) for pair in value.items() for text in pair)
        return next((f"has a key or value that {fault}" for fault in faults if fault is not None), None)
    if value == "":
        return "is empty"
    return _fault_of_text(value)


def _fault_of_text(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"is {value.__class__.__name__}, not a text"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "has half a surrogate pair, which UTF-8 cannot carry"
    return None


def too_large(route: Route, subject: str, size: int, bytes_max: int) -> EventTooLarge:
    """The error of an event whose encoded data alone pass the limit."""
    return EventTooLarge(
        f"{route.type} of {subject}: {size} bytes encoded, publisher.event_bytes_max is {bytes_max}: publish a "
        "reference to the data instead",
        type=route.type,
        subject=subject,
    )


def refusal(error: KafkaError, route: Route, subject: str, bytes_max: int, principal: str) -> PublishError:
    """The error of an event that the producer itself refuses."""
    facts: dict[str, object] = {"type": route.type, "subject": subject, "topic": route.topic, "code": error.name()}
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return EventTooLarge(
            f"{route.type} of {subject}: larger than publisher.event_bytes_max ({bytes_max}) with headers", **facts
        )
    if error.code() in (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART):
        return TopicMissing(f"topic {route.topic} does not exist: run `tradewire topics apply`", **facts)
    if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return not_authorised(route.topic, principal, error.str(), facts)
    if error.code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
        return PublisherFenced("another publisher has taken over this one's transactional id", **facts)
    return PublisherFailed(f"{route.type} of {subject}: the producer refuses it: {error.str()}", **facts)
