"""An event with librdkafka while there is a spool: its delivery report, and all that its row needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from confluent_kafka import KafkaError, Message

from tradewire.producers._ledger import Settle
from tradewire.producers._route import OutHeader
from tradewire.producers._spool_store import Row, pack

# After these the brokers will not take the event later either.
PERMANENT: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_RECORD,
        KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.TOPIC_EXCEPTION,
        KafkaError.POLICY_VIOLATION,
    }
)  # fmt: skip
Report = Callable[["Handed", KafkaError | None, Message], None]


class Handed:
    """``seq`` is its row's number, None while it has no row; ``at_ms`` when it was handed over, to the guard's step."""

    __slots__ = ("_report", "at_ms", "done", "headers", "key", "lane", "seq", "settle", "topic", "value")

    def __init__(
        self, report: Report, lane: str, topic: str, key: str, value: bytes, headers: list[OutHeader], settle: Settle,
        seq: int | None, at_ms: int,
    ) -> None:  # fmt: skip
        self._report = report
        self.lane, self.topic, self.key, self.value, self.headers = lane, topic, key, value, headers
        self.settle, self.seq, self.at_ms, self.done = settle, seq, at_ms, False

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        self._report(self, error, message)

    @property
    def id(self) -> str:
        return id_of(self.headers)

    @property
    def row(self) -> Row:
        """Its row; it must have a number."""
        return Row(self.seq or 0, self.lane, self.topic, self.key, self.id, self.value, pack(self.headers))


def id_of(headers: Iterable[OutHeader]) -> str:
    """The event id among an event's headers."""
    for name, value in headers:
        if name == "ce_id":
            return value.decode() if isinstance(value, bytes) else str(value)
    return ""
