"""The account that a publisher keeps of its events, read by ``outcome`` and by the metrics."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError
from prometheus_client import Histogram

from tradewire.core import PublishError, get_logger
from tradewire.producers.errors import LeftInSpool

_log = get_logger(__name__)
# An error and librdkafka's report (a Message), or an error of ours and perhaps no report.
Settle = Callable[[KafkaError | PublishError | None, Any], None]
UNKNOWN_IDS_MAX: Final = 1_000
_ERRORS_LOGGED_MAX: Final = 100
DURATION = Histogram(
    "tradewire_published_messages_duration_seconds",
    "From publish to the brokers' confirmation; of one event in 64 per type.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0),
)


class Ledger:
    """Failures by id and by kind. Successes are not counted one by one: they are what is published and not here."""

    __slots__ = ("_lock", "principal", "refused", "unknown", "unknown_ids")

    def __init__(self, principal: str) -> None:
        self._lock = threading.Lock()
        # Whom the brokers take this publisher for; for messages about rights.
        self.principal = principal
        self.unknown = 0
        self.unknown_ids: list[str] = []
        self.refused: Counter[str] = Counter()

    def failed(self, event_id: str, error: PublishError) -> None:
        """Notes an event that was not confirmed; logs the first hundred: a broker that is away fails thousands.

        One that is left in the spool is not unknown.
        """
        if isinstance(error, LeftInSpool):
            return
        with self._lock:
            self.unknown += 1
            if len(self.unknown_ids) < UNKNOWN_IDS_MAX:
                self.unknown_ids.append(event_id)
            number = self.unknown
        if number <= _ERRORS_LOGGED_MAX:
            _log.error("delivery not confirmed", event_id=event_id, error=str(error))
        if number == _ERRORS_LOGGED_MAX:
            _log.error("further unconfirmed deliveries are only counted", limit=_ERRORS_LOGGED_MAX)

    def timed(self, settle: Settle) -> Settle:
        """``settle`` that also takes the delivery time of its event."""

        def settle_and_observe(error: KafkaError | PublishError | None, message: Any) -> None:
            if error is None:
                DURATION.observe(message.latency() or 0.0)
            settle(error, message)

        return settle_and_observe

    def refuse(self, error: Exception) -> None:
        """Notes an event that was not taken, by the name of the error."""
        with self._lock:
            self.refused[type(error).__name__] += 1
