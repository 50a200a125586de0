"""What ``produce`` refuses, as typed errors. Nothing of a refused event has been queued."""

from __future__ import annotations

from confluent_kafka import KafkaError

from tradewire.core import PublishError
from tradewire.producers._route import Route
from tradewire.producers.delivery import not_authorised
from tradewire.producers.errors import EventTooLarge, PublisherFailed, PublisherFenced, TopicMissing


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
