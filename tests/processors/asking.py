"""Questions to a broker that may have just started, or that the machine's load keeps from its controller."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from tests.waiting import wait_until

T = TypeVar("T")
_NOT_YET = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    # A broker that the machine's load keeps from its controller for a moment.
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    # A broker that has just started, seen through connections of the one before.
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._WAIT_COORD,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
)
# Of one question: librdkafka may miss that the coordinator is known again, and would wait to the end of it.
ASKED_S = 5.0


def passes(error: KafkaError) -> bool:
    """Whether it is over by itself: a broker, or who leads in it, that only needs a moment."""
    return bool(error.retriable()) or error.code() in _NOT_YET


def answered(question: Callable[[], T], within_s: float = 120.0) -> T:
    """The broker's answer, once it can tell."""
    answers: list[T] = []

    def is_told() -> bool:
        try:
            answers.append(question())
        except KafkaException as error:
            if not passes(error.args[0]):
                raise
            return False
        return True

    wait_until(is_told, within_s=within_s, every_s=0.1)
    return answers[0]


def committed_by(consumer: Consumer, places: list[TopicPartition]) -> list[int]:
    """Offsets that the consumer's group has committed; negative where it has none. Raises what a partition says."""
    found = consumer.committed(places, timeout=ASKED_S)
    for place in found:
        if place.error is not None:
            raise KafkaException(place.error)
    return [int(place.offset) for place in found]
