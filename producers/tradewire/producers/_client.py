"""The librdkafka side of a publisher: its settings, and the thread that serves its delivery reports."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaException, Producer

from tradewire.core.settings import KafkaSettings, PublisherSettings

# Headers and key come on top of the value; librdkafka counts them against message.max.bytes.
_ENVELOPE_BYTES: Final = 32_768
# An idempotent librdkafka (2.16.0) sends a partition nothing more while five of its records are on their way; when more
# are due by then it asks the clock in a loop until the answer: 0.44 of a processor at 5,000 events/s beside a busy
# broker. Behind two requests the next is queued instead, and the thread sleeps. A broker does one request of a
# connection at a time anyway.
_IN_FLIGHT_MAX: Final = 2
_POLL_SECONDS: Final = 0.1
_BUSY_SECONDS: Final = 0.005
_BUSY_NS: Final = 5_000_000


def producer_config(kafka: KafkaSettings, publisher: PublisherSettings) -> dict[str, str | int | float | bool]:
    """The librdkafka keys of a publisher: idempotent, all replicas, keys to partitions as in Java and Faust."""
    return kafka.client_config() | {
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "max.in.flight.requests.per.connection": _IN_FLIGHT_MAX,
        "compression.type": publisher.compression,
        "linger.ms": publisher.linger_ms,
        "batch.size": publisher.batch_bytes_max,
        "batch.num.messages": 100_000,
        "message.max.bytes": publisher.event_bytes_max + _ENVELOPE_BYTES,
        "queue.buffering.max.messages": publisher.queue_messages_max,
        "queue.buffering.max.kbytes": publisher.queue_bytes_max // 1024,
        "message.timeout.ms": publisher.delivery_timeout_ms,
    }


@contextmanager
def patient_threads() -> Iterator[None]:
    """Threads started in the block do not push others off their processor when they wake (SCHED_BATCH, sched(7)).

    They get one of their own or their turn. A publishing thread wakes librdkafka's in every 25th call or so; on few
    cores those would run in its place first, a hundred microseconds that the call takes longer. Where the system knows
    no such policy, refuses it, or the caller has one of its own, nothing is changed.
    """
    try:
        if os.sched_getscheduler(0) != os.SCHED_OTHER:
            raise OSError
        # Of this thread, and so of those that it starts and of those that they start.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except (AttributeError, OSError):
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Turns:
    """How often publishing threads have served reports."""

    __slots__ = ("_asked_ns", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self._asked_ns = 0

    def due(self) -> bool:
        """Whether a publishing thread, which asks every so many events, is to serve reports now: if it is busy.

        One that publishes a few thousand events a second would pay for it with its longest calls: reports come by the
        batch, and a hundred of them take longer than four calls.
        """
        now_ns = time.monotonic_ns()
        busy = now_ns - self._asked_ns < _BUSY_NS
        self._asked_ns = now_ns
        self.taken += busy
        return busy


def serve(producer: Producer, turns: Turns, stop: threading.Event) -> None:
    """Serves delivery reports until ``stop`` is set.

    Two threads that pass the interpreter to and fro for every report cost a fifth of the speed. So a thread that
    publishes much serves reports itself every few events, and this one leaves it to that while it does.
    """
    while not stop.is_set():
        before = turns.taken
        try:
            producer.poll(_POLL_SECONDS)
        except KafkaException:  # it has failed for good; reports of what it gives up still come
            stop.wait(_POLL_SECONDS)
        while turns.taken != before:
            before = turns.taken
            stop.wait(_BUSY_SECONDS)
