"""Fetches that lose nothing, over the pinned consumer's own book of assignments and positions; no broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import SubscriptionState
from faust.types import TP

from tradewire.processors._fetching import NOWHERE, assignment_of, fetch, give_back, seek_to_committed

HERE, THERE = TP("positions.fills", 3), TP("positions.fills", 2)


class LogFetcher:
    """Gives out what lies at the position, as aiokafka's fetcher does, from logs of any length."""

    def __init__(self, subscriptions: SubscriptionState) -> None:
        self._subscriptions = subscriptions
        self.wanted: list[Any] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def fetched_records(self, partitions: Any, timeout: float | None, max_records: int | None) -> Any:
        self.wanted.append(partitions)
        await self.may_answer.wait()
        assignment = self._subscriptions.subscription.assignment
        taken = {}
        for tp in assignment.tps:
            if not partitions or tp in partitions:  # none: all of them
                state = assignment.state_value(tp)
                taken[tp] = [SimpleNamespace(offset=state.position + n) for n in range(max_records or 1)]
                state.consumed_to(state.position + len(taken[tp]))
        return taken

    def seek_to(self, tp: Any, offset: int) -> None:
        self._subscriptions.seek(tp, offset)


class Consumer:
    def __init__(self) -> None:
        self._subscription = SubscriptionState()
        self._subscription.subscribe({"positions.fills"})
        self._fetcher = LogFetcher(self._subscription)
        self.committed: dict[Any, int] = {}
        self._coordinator = self
        self.may_say = asyncio.Event()
        self.may_say.set()
        self.assign(HERE, THERE)

    def assign(self, *places: TP) -> None:
        """A rebalance; each partition begins at 10."""
        self._subscription.begin_reassignment()
        self._subscription.assign_from_subscribed([TopicPartition(*place) for place in places])
        for place in places:
            self._subscription.seek(TopicPartition(*place), 10)

    async def fetch_committed_offsets(self, partitions: Any) -> Any:
        await self.may_say.wait()
        return {tp: SimpleNamespace(offset=offset) for tp, offset in self.committed.items()}

    def position(self, place: TP = HERE) -> int:
        return int(assignment_of(self).state_value(place).position)


@pytest.fixture
async def consumer() -> Consumer:
    return Consumer()


def offsets(fetched: Any) -> list[int]:
    return [row.offset for row in fetched.get(HERE, [])]


async def test_what_is_given_back_is_fetched_again(consumer: Consumer) -> None:
    first = await fetch(consumer, {HERE}, 1.0, 3)
    assert offsets(first) == [10, 11, 12]
    give_back(consumer, first)
    assert offsets(await fetch(consumer, {HERE}, 1.0, 3)) == [10, 11, 12]


async def test_what_is_given_back_after_somebody_has_sought_another_place_moves_nothing(consumer: Consumer) -> None:
    fetched = await fetch(consumer, {HERE}, 1.0, 3)
    consumer._subscription.seek(TopicPartition(*HERE), 2)
    give_back(consumer, fetched)
    assert consumer.position() == 2


async def test_what_is_given_back_after_a_rebalance_moves_nothing(consumer: Consumer) -> None:
    fetched = await fetch(consumer, {HERE}, 1.0, 3)
    consumer.assign(HERE)
    consumer._subscription.seek(TopicPartition(*HERE), 13)
    give_back(consumer, fetched)
    assert consumer.position() == 13


async def test_a_call_from_before_a_rebalance_takes_nothing_of_the_assignment_after_it(consumer: Consumer) -> None:
    consumer._fetcher.may_answer.clear()
    call = asyncio.create_task(fetch(consumer, {HERE}, 1.0, 3))
    await asyncio.sleep(0)
    consumer.assign(HERE)
    consumer._fetcher.may_answer.set()
    assert await call == {}
    assert consumer.position() == 10


async def test_a_call_for_no_partition_takes_of_none(consumer: Consumer) -> None:
    wanted = {HERE}
    consumer._fetcher.may_answer.clear()
    call = asyncio.create_task(fetch(consumer, wanted, 1.0, 3))
    await asyncio.sleep(0)
    wanted.clear()  # as Faust does when it pauses partitions
    consumer._fetcher.may_answer.set()
    assert offsets(await call) == [10, 11, 12]
    assert await fetch(consumer, wanted, 1.0, 3) == {}
    assert (consumer.position(), consumer.position(THERE)) == (13, 10)
    assert consumer._fetcher.wanted[-1] == {NOWHERE}


async def test_places_are_sought_where_they_are_committed_and_left_where_nothing_is(consumer: Consumer) -> None:
    consumer.committed = {TopicPartition(*HERE): 0, TopicPartition(*THERE): -1}
    assert await seek_to_committed(consumer) == {HERE: 0, THERE: None}
    assert (consumer.position(), consumer.position(THERE)) == (0, 10)


async def test_what_was_committed_before_a_rebalance_is_not_sought_after_it(consumer: Consumer) -> None:
    consumer.committed = {TopicPartition(*HERE): 5}
    consumer.may_say.clear()
    call = asyncio.create_task(seek_to_committed(consumer))
    await asyncio.sleep(0)
    consumer.assign(HERE)
    consumer.may_say.set()
    assert await call == {}
    assert consumer.position() == 10
