"""Lanes: one librdkafka producer each, with a queue and connections of its own, so that none delays another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

# From where it is defined: an instrumentation that replaces the class in confluent_kafka would inject a second context.
from confluent_kafka.cimpl import Producer

from tradewire.core import Settings
from tradewire.producers._client import Turns, patient_threads, producer_config, serve
from tradewire.producers.errors import PublisherFailed

BULK: Final = "bulk"
URGENT: Final = "urgent"
# librdkafka's own lines, which it would otherwise write to stderr past every log setting.
_kafka_log: Final = logging.getLogger("tradewire.kafka")


class Lane:
    """A producer and the thread that serves its delivery reports."""

    __slots__ = ("_poller", "_stop", "name", "produce", "producer", "turns")

    def __init__(
        self, name: str, settings: Settings, extra: dict[str, Any], on_error: Callable[[KafkaError], None]
    ) -> None:
        config = producer_config(settings.kafka, settings.publisher) | extra | {"error_cb": on_error}
        if name == URGENT:
            config["linger.ms"] = 0
        try:
            with patient_threads():
                self.producer = Producer(config, logger=_kafka_log)
        except KafkaException as error:
            raise PublisherFailed(
                f"{settings.kafka.bootstrap_servers}: no producer with these settings: {error.args[0].str()}"
            ) from error
        self.name = name
        self.produce = self.producer.produce
        self.turns = Turns()
        self._stop = threading.Event()
        self._poller = threading.Thread(
            target=serve, args=(self.producer, self.turns, self._stop), name=f"tradewire-publisher-{name}", daemon=True
        )
        self._poller.start()

    def poll(self, timeout: float) -> None:
        """Serves reports in this thread. A producer that has failed for good says so by ``produce``, not here."""
        with suppress(KafkaException):
            self.producer.poll(timeout)

    def flush(self, timeout: float) -> None:
        """Waits for reports; a producer that has failed for good has settled what it could."""
        with suppress(KafkaException):
            self.producer.flush(timeout)

    def give_up(self, timeout: float) -> None:
        """Settles everything that is not settled as purged."""
        self.producer.purge(in_queue=True, in_flight=True, blocking=True)
        self.flush(timeout)

    def stop(self) -> None:
        """Ends the thread; from then on only ``flush`` serves reports."""
        self._stop.set()
        self._poller.join()
