"""A worker without Kafka: the same folds, one record at a time, over lists. The oracle of the real one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from tradewire.core import TradewireError
from tradewire.processors.dead_letters import dead_letter
from tradewire.processors.duties import Duties
from tradewire.processors.flow_notices import FLOW_TOPIC
from tradewire.processors.folds import Folds
from tradewire.processors.patterns import Patterns
from tradewire.processors.records import Cause, Forward
from tradewire.processors.step_records import FlowStep
from tradewire.processors.tables import TABLES, Table
from tradewire.schemas import Catalogue, Codec, Contract, Event, FixedIds, Header, Topics, encode_headers, read_event


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
NO_PATTERNS = Patterns()
_EVERYTHING = Duties()


class PureWorker:
    """Every topic has one partition; what is forwarded is folded at once."""

    def __init__(
        self,
        contract: Contract = _CONTRACT,
        candle_interval_ms: int = 60_000,
        patterns: Patterns = NO_PATTERNS,
        duties: Duties = _EVERYTHING,
    ) -> None:
        self.contract = contract
        self.folds = Folds(
            contract,
            source="tradewire.processors/pure",
            candle_interval_ms=candle_interval_ms,
            patterns=patterns,
            duties=duties,
        )
        self.states: dict[str, dict[str, Any]] = {table.name: {} for table in TABLES}
        self.logs: dict[str, list[Record]] = defaultdict(list)
        self.partition = 0
        # The broker's time of what is appended.
        self.recorded_ms = 1_700_000_000_000

    def publish(self, event: Event, *more: Header) -> None:
        """Appends an event to its topic and folds it."""
        self.append(self.record_of(event, *more))

    def record_of(self, event: Event, *more: Header) -> Forward:
        topic = self.contract.topic_of(event.type)
        value = self.contract.codec.encode(event.type, event.data, topic)
        return Forward(topic, event.subject.encode(), value, [*encode_headers(event), *more])

    def events(self, topic: str) -> list[Event]:
        """What lies in a topic, in order."""
        return [
            read_event(
                self.contract.codec,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                timestamp_ms=record.timestamp,
                value=record.value,
                headers=record.headers,
            )
            for record in self.logs[topic]
        ]

    def append(self, forward: Forward) -> None:
        self.take([self.write(forward)])

    def write(self, forward: Forward) -> Record:
        """Appends a record that is not folded yet."""
        log = self.logs[forward.topic]
        record = Record(
            forward.topic, 0, len(log), self.recorded_ms, forward.key, forward.value, tuple(forward.headers)
        )
        log.append(record)
        return record

    def take(self, records: Iterable[Record]) -> None:
        """Folds records as they are, wherever they come from; those that cannot be are dead letters."""
        for record in records:
            if record.topic.startswith("deadletter.") or record.topic == FLOW_TOPIC:
                continue
            self.partition = record.partition
            try:
                self.folds.fold(self.folds.read(record), self)
            except TradewireError as error:
                self.forward(dead_letter(record, "pure", error))

    def get(self, table: Table, key: str) -> Any:
        return self.states[table.name].get(key)

    def put(self, table: Table, key: str, state: Any | None, cause: Cause) -> None:
        if state is None:
            self.states[table.name].pop(key, None)
        else:
            self.states[table.name][key] = state

    def expect(self, table: Table, keys: Collection[str]) -> None:
        pass

    def step(self, step: FlowStep) -> None:
        for record in self.folds.step_records([step]):
            self.forward(record)

    def forward(self, record: Forward) -> None:
        self.append(record)
