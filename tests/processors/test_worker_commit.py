"""What a worker may commit of a partition that is folded and handled: neither part passes the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.processors.pure import Record
from tests.processors.test_deadlines import ACCEPTED, CREATED, START_MS, Process, Topics

from tradewire.core import ManualClock
from tradewire.core.clock import NS_PER_MS
from tradewire.processors._engine import Engine
from tradewire.processors._partitions import OwnedPartition
from tradewire.processors._worker_handlers import WorkerHandlers
from tradewire.processors.dedupe import DedupeWindow
from tradewire.processors.ledger import Ledger
from tradewire.processors.tables import STEPS_TOPIC


class TP(NamedTuple):
    topic: str
    partition: int


class Handlers(WorkerHandlers):
    """Takes every record and is done with those that a test says."""

    def __init__(self, apart: Sequence[str] = ()) -> None:
        self._apart = frozenset(apart)
        self._owned = {}
        self.claims: dict[tuple[str, int], Any] = {}

    def take(self, records: Mapping[Any, Sequence[Any]]) -> None:
        for (topic, partition), rows in records.items():
            owned = self._owned.setdefault(
                (topic, partition),
                OwnedPartition(topic, partition, 0, DedupeWindow(0), committed=None, says_begin=False),
            )
            for row in rows:
                self.claims[topic, row.offset] = owned.claim(row.offset)

    def done(self, topic: str, offset: int) -> None:
        self._owned[topic, 0].settle(self.claims.pop((topic, offset)))

    def first_open(self, place: tuple[str, int]) -> int | None:
        owned = self._owned.get(place)
        return None if owned is None else owned.first_open


@pytest.fixture
def topics() -> Topics:
    return Topics()


def test_folds_that_stand_are_not_committed_past_a_handler_that_is_not_done(topics: Topics) -> None:
    """And all is once it is."""

    async def scene() -> None:
        process, handlers = Process(topics, ManualClock(START_MS * NS_PER_MS)), Handlers()
        process.engine.handlers = handlers
        tp = TP(STEPS_TOPIC, 0)
        await process.engine.accept({tp: [CREATED, ACCEPTED]})
        await process.settled()
        assert (2, 0) == (process.engine.ledger.committable(tp), process.engine.committable(tp))
        handlers.done(STEPS_TOPIC, 1)
        assert 0 == process.engine.committable(tp)
        handlers.done(STEPS_TOPIC, 0)
        assert 2 == process.engine.committable(tp)
        process.ends()

    asyncio.run(scene())


def test_handlers_that_are_done_are_not_committed_past_folds_that_do_not_stand(topics: Topics) -> None:
    """Nothing that the folds write is confirmed."""

    async def scene() -> None:
        process, handlers = Process(topics, ManualClock(START_MS * NS_PER_MS)), Handlers()
        process.engine.handlers, topics.left = handlers, 0
        tp = TP(STEPS_TOPIC, 0)
        await process.engine.accept({tp: [CREATED]})
        await process.settled()
        handlers.done(STEPS_TOPIC, 0)
        assert process.engine.committable(tp) is None
        process.ends()

    asyncio.run(scene())


def test_a_topic_that_is_read_for_handlers_alone_is_not_folded(topics: Topics) -> None:
    """Its records are no events to the folds: what cannot be read of them is no dead letter of the folds either."""

    async def scene() -> None:
        process, handlers = Process(topics, ManualClock(START_MS * NS_PER_MS)), Handlers(["model.events"])
        process.engine.handlers = handlers
        tp = TP("model.events", 0)
        await process.engine.accept({tp: [Record("model.events", 0, 7, START_MS, b"k", b"junk", ())]})
        await process.settled()
        assert not any(topics.logs.values())
        assert 7 == process.engine.committable(tp)
        handlers.done("model.events", 7)
        assert 8 == process.engine.committable(tp)
        process.ends()

    asyncio.run(scene())


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_every_record_before_the_committed_offset_is_folded_and_handled(batches: list[int], order: Any) -> None:
    """Whatever ends first, and whichever records concern a handler."""
    folds: Ledger[tuple[str, int]] = Ledger()
    owned = OwnedPartition("t", 0, 0, DedupeWindow(0), committed=None, says_begin=False)
    ends, handled, open_folds, offset = [], set(), {}, 0
    for rows in batches:
        claim = folds.claim(("t", 0), offset, offset + rows - 1)
        open_folds[claim] = range(offset, offset + rows)
        ends.append(("fold", claim))
        for number in range(offset, offset + rows):
            if order.random() < 0.5:
                handled.add(number)
                ends.append(("handler", owned.claim(number)))
        offset += rows
    order.shuffle(ends)
    engine: Any = SimpleNamespace(ledger=folds, handlers=SimpleNamespace(first_open=lambda _: owned.first_open))
    undone = {number for rows in open_folds.values() for number in rows} | handled
    folded, done = set(undone), set(handled)
    for kind, claim in ends:
        if kind == "fold":
            folds.settle(claim)
            folded -= set(open_folds[claim])
        else:
            owned.settle(claim)
            done.discard(claim.first)
        commit = Engine.committable(engine, ("t", 0))
        assert commit is None or not [number for number in folded | done if number < commit]
    assert offset == Engine.committable(engine, ("t", 0))
