"""A batch of one partition as columns: what the sink, the container builder and replay know of Kafka records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from tradewire.schemas.headers import Header
from tradewire.sinks._native_loops import NATIVE
from tradewire.sinks.header_columns import RUN_ROWS, Columns, HeaderColumns


class Record(NamedTuple):
    """One Kafka record. Two records are the same bytes when all fields but ``offset`` are equal."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


# Offsets, timestamps, keys, values; names and columns of the headers where all have the same names, else None twice.
Gathered: TypeAlias = tuple[
    list[int], list[int], list[bytes | None], list[bytes | None], tuple[str, ...] | None, Columns | None
]


def _gather(messages: list[Any]) -> Gathered:
    return (
        [message.offset() for message in messages],
        [message.timestamp()[1] for message in messages],
        [message.key() for message in messages],
        [message.value() for message in messages],
        None,
        None,
    )


@dataclass(slots=True)
class RecordColumns:
    """Records of one partition in offset order, one list per field, so that a batch is handled without a loop."""

    topic: str
    partition: int
    offsets: list[int] = field(default_factory=list)
    timestamps_ms: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    headers: HeaderColumns = field(default_factory=HeaderColumns)

    def __len__(self) -> int:
        return len(self.offsets)

    def extend(self, messages: Sequence[Any]) -> None:
        """Adds messages of ``confluent_kafka`` that all belong to this partition and carry no error."""
        for at in range(0, len(messages), RUN_ROWS):
            self._extend(list(messages[at : at + RUN_ROWS]))

    def drain(self, messages: list[Any]) -> None:
        """``extend``, but takes them out of the list: a message is let go while the processor's cache still has it."""
        gone = [None] * RUN_ROWS
        for at in range(0, len(messages), RUN_ROWS):
            run = messages[at : at + RUN_ROWS]
            messages[at : at + RUN_ROWS] = gone[: len(run)]
            self._extend(run)
        messages.clear()

    def _extend(self, messages: list[Any]) -> None:
        gathered = _gather(messages) if NATIVE is None else NATIVE.gather(messages)
        offsets, timestamps_ms, keys, values, names, columns = gathered
        self.offsets += offsets
        self.timestamps_ms += timestamps_ms
        self.keys += keys
        self.values += values
        if names is None or columns is None:
            self.headers.extend_messages(messages)
        else:
            self.headers.extend_columns(names, columns, len(offsets))

    def add(self, records: Iterable[Record]) -> None:
        """Adds records; used where they do not come from a consumer."""
        found: list[Sequence[Header]] = []
        for offset, timestamp_ms, key, value, headers in records:
            self.offsets.append(offset)
            self.timestamps_ms.append(timestamp_ms)
            self.keys.append(key)
            self.values.append(value)
            found.append(headers)
        self.headers.extend(found)

    def append_all(self, other: RecordColumns) -> None:
        """Adds what follows these records in the same partition."""
        self.offsets += other.offsets
        self.timestamps_ms += other.timestamps_ms
        self.keys += other.keys
        self.values += other.values
        self.headers.append_all(other.headers)

    def records(self) -> Iterator[Record]:
        """All of them, in order."""
        return map(Record, self.offsets, self.timestamps_ms, self.keys, self.values, self.headers.lists())

    def record(self, index: int) -> Record:
        return Record(
            self.offsets[index],
            self.timestamps_ms[index],
            self.keys[index],
            self.values[index],
            self.headers[index],
        )

    def head(self, rows: int) -> RecordColumns:
        """A copy of the first ``rows``."""
        return RecordColumns(
            self.topic,
            self.partition,
            self.offsets[:rows],
            self.timestamps_ms[:rows],
            self.keys[:rows],
            self.values[:rows],
            self.headers.part(0, rows),
        )

    def take(self, rows: int) -> RecordColumns:
        """Cuts the first ``rows`` off and returns them."""
        head = self.head(rows)
        self.headers = self.headers.part(rows, len(self))
        for column in (self.offsets, self.timestamps_ms, self.keys, self.values):
            del column[:rows]
        return head

    def value_bytes(self) -> int:
        return sum(len(value) for value in self.values if value)
