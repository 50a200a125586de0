"""A batch of records between its fold and its settlement, and the local store that it ends in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tradewire.processors._outbox import Delivery
from tradewire.processors.ledger import Claim
from tradewire.processors.parking.facts import ParkedKey, Write
from tradewire.processors.tables import Table
from tradewire.schemas import Header


class StateStore(Protocol):
    """The local copy of the tables; the changelog is the truth."""

    def load(self, table: Table, partition: int, key: bytes) -> bytes | None: ...
    def load_many(self, table: Table, partition: int, keys: Sequence[bytes]) -> Sequence[bytes | None]: ...
    def store(
        self, table: Table, partition: int, states: Sequence[tuple[bytes, bytes | None]], offset: int | None
    ) -> None: ...
    def scan(self, table: Table, partition: int) -> Iterator[tuple[bytes, bytes]]: ...


@dataclass(slots=True)
class WrittenState:
    """A changed state, encoded."""

    table: Table
    partition: int
    key: bytes
    value: bytes | None
    headers: list[Header]


@dataclass(slots=True)
class Batch:
    """``claims`` are of the records that it holds, none for a sweep; ``sent`` counts what ``delivery`` waits for."""

    number: int
    claims: list[Claim[Any]]
    delivery: Delivery
    sent: int = 0
    states: list[WrittenState] = field(default_factory=list)
    deferred: list[WrittenState] = field(default_factory=list)
    outputs: Counter[str] = field(default_factory=Counter)
    # States of parked keys, newest per key: written last.
    facts: dict[ParkedKey, Write] = field(default_factory=dict)
    folded_at: float = 0.0
