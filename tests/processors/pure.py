"""A worker without Kafka: the same folds, one record at a time, over lists. The oracle of the real one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from tradewire.core import TradewireError
from tradewire.processors.dead_letters import dead_letter
from tradewire.processors.folds import Folds
from tradewire.processors.records import Cause, Forward
from tradewire.processors.tables import TABLES, Table
from tradewire.schemas import Catalogue, Codec, Contract, Event, FixedIds, Header, Topics, encode_headers


class Record(NamedTuple):
    """What the consumer gives, as a value."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


def pure_contract() -> Contract:
    catalogue, ids = Catalogue.load(), FixedIds()
    return Contract(catalogue, Topics.load(), ids, Codec(catalogue, ids))


_CONTRACT = pure_contract()


class PureWorker:
    """Every topic has one partition; what is forwarded is folded at once."""

    def __init__(self, contract: Contract = _CONTRACT, candle_interval_ms: int = 60_000) -> None:
        self.contract = contract
        self.folds = Folds(contract.codec, source="tradewire.processors/pure", candle_interval_ms=candle_interval_ms)
        self.states: dict[str, dict[str, Any]] = {table.name: {} for table in TABLES}
        self.logs: dict[str, list[Record]] = defaultdict(list)
        self.partition = 0

    def publish(self, event: Event) -> None:
        """Appends an event to its topic and folds it."""
        topic = self.contract.topic_of(event.type)
        value = self.contract.codec.encode(event.type, event.data, topic)
        self.append(Forward(topic, event.subject.encode(), value, encode_headers(event)))

    def append(self, forward: Forward) -> None:
        log = self.logs[forward.topic]
        record = Record(
            forward.topic, 0, len(log), 1_700_000_000_000, forward.key, forward.value, tuple(forward.headers)
        )
        log.append(record)
        self.take([record])

    def take(self, records: Iterable[Record]) -> None:
        """Folds records as they are, wherever they come from; those that cannot be are dead letters."""
        for record in records:
            if record.topic.startswith("deadletter."):
                continue
            self.partition = record.partition
            try:
                self.folds.fold(self.folds.read(record), self)
            except TradewireError as error:
                self.forward(dead_letter(record, "pure", error))

    def get(self, table: Table, key: str) -> Any:
        return self.states[table.name].get(key)

    def put(self, table: Table, key: str, state: Any, cause: Cause) -> None:
        self.states[table.name][key] = state

    def forward(self, record: Forward) -> None:
        self.append(record)
