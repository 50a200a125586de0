"""What the worker does with a fetch that comes back into another assignment, a flow that was stopped, a place sought.

The fetches are scripted; the consumer's part is in test_fetching, the broker's in test_worker_rebalance and
test_worker_crash.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from tradewire.processors._faust_app import _GIVEN_BACK_S, WorkerConsumer

PLACE = TP("market.events", 0)
CHANGELOG = TP("readmodel.order.v1", 0)


async def _all_that_can_go_on() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Scripted(WorkerConsumer):
    """Our way of handing out over fetches that the test answers; whatever else Faust's consumer does is left away."""

    def __init__(self) -> None:  # without the base: it would begin to connect
        self.left_to_recover = 0
        recovery = SimpleNamespace(
            need_recovery=lambda: self.left_to_recover > 0, active_remaining_total=lambda: self.left_to_recover
        )
        self.app: Any = SimpleNamespace(should_stop=False, tables=SimpleNamespace(_recovery=recovery))
        self.transport: Any = SimpleNamespace(app=self.app)
        self._stopped = asyncio.Event()
        self.can_resume_flow, self.suspend_flow = asyncio.Event(), asyncio.Event()
        self._read_offset = defaultdict(lambda: None)
        self._committed_offset: Any = {}
        self._taken_over, self._assignments, self._is_whole, self._epoch = 1, 1, True, 0
        self.given_back: list[list[int]] = []
        self._thread: Any = SimpleNamespace(give_back=self._give_back)
        self.folded: list[int] = []
        self.recovered: list[int] = []
        self.left: list[str] = []
        self._engine: Any = SimpleNamespace(
            accept=self._accept, handlers=None, resume=lambda _: None, leave=self.left.append
        )
        self.asked = 0
        self.answers: asyncio.Queue[list[int]] = asyncio.Queue()
        self.place = PLACE
        self.committed = 0
        self.seeking = asyncio.Event()
        self.seeking.set()
        self.resume_flow()

    async def wait(self, *events: Any, timeout: Any = None) -> Any:
        await events[0].wait()

    def _is_changelog_tp(self, tp: TP) -> bool:
        return tp == CHANGELOG

    def assignment(self) -> set[TP]:
        return {PLACE, CHANGELOG}

    async def seek_to_committed(self) -> Any:
        await self.seeking.wait()
        return {PLACE: self.committed}

    async def _give_back(self, fetched: Any) -> None:
        self.given_back += [[row.offset for row in rows] for rows in fetched.values()]

    async def _recover(self, tp: TP, rows: Any) -> None:
        self.recovered += [row.offset for row in rows]

    def revoke(self) -> None:
        self.stop_flow()
        self._taken_over, self._is_whole = None, False

    def assign(self) -> None:
        self._assignments += 1
        self._taken_over = self._assignments

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        self.asked += 1
        offsets = await self.answers.get()
        return {self.place: [SimpleNamespace(offset=offset) for offset in offsets]} if offsets else {}, None

    async def _accept(self, records: Any) -> None:
        self.folded += [row.offset for row in records[PLACE]]
        await asyncio.sleep(0)

    async def run(self, *script: Callable[[], Any]) -> None:
        """Takes one step after the other, each when the one before it has had its effect."""
        draining = asyncio.create_task(self._drain_messages(self))
        for step in (lambda: None, *script, self._stopped.set, lambda: self.answers.put_nowait([])):
            step()
            await _all_that_can_go_on()
            await asyncio.sleep(2 * _GIVEN_BACK_S)
            # On a machine that stood still meanwhile, what waited for less than that wakes up with this only now.
            await _all_that_can_go_on()
        await asyncio.wait_for(draining, 60)


@pytest.fixture
async def consumer() -> Scripted:
    return Scripted()


async def test_the_next_fetch_is_under_way_while_one_is_folded(consumer: Scripted) -> None:
    asked_at_fold: list[int] = []

    async def slow(records: Any) -> None:
        await asyncio.sleep(0)
        asked_at_fold.append(consumer.asked)

    consumer._engine.accept = slow
    await consumer.run(lambda: consumer.answers.put_nowait([0, 1]))
    assert asked_at_fold == [2]


async def test_fetches_are_folded_in_order_and_once(consumer: Scripted) -> None:
    await consumer.run(
        lambda: consumer.answers.put_nowait([0, 1]),
        lambda: consumer.answers.put_nowait([2]),
        lambda: consumer.answers.put_nowait([2, 3]),
    )
    assert consumer.folded == [0, 1, 2, 3]
    assert consumer.given_back == []


async def test_what_was_fetched_for_an_assignment_that_has_ended_is_not_folded(consumer: Scripted) -> None:
    def rebalance() -> None:
        consumer.revoke()
        consumer.assign()
        consumer._is_whole = True
        consumer.resume_flow()

    await consumer.run(rebalance, lambda: consumer.answers.put_nowait([0]), lambda: consumer.answers.put_nowait([7]))
    assert consumer.folded == [7]
    assert consumer.given_back == [[0]]


async def test_a_fetch_that_was_held_over_a_stop_of_flow_is_given_back_and_not_folded(consumer: Scripted) -> None:
    def stop_and_resume() -> None:
        consumer.stop_flow()
        consumer.resume_flow()

    await consumer.run(
        lambda: consumer.answers.put_nowait([0, 1]),
        stop_and_resume,
        lambda: consumer.answers.put_nowait([2, 3]),
        lambda: consumer.answers.put_nowait([2, 3]),
    )
    assert consumer.given_back == [[2, 3]]
    assert consumer.folded == [0, 1, 2, 3]


async def test_a_fetch_from_before_a_seek_is_not_folded_ahead_of_what_is_sought(consumer: Scripted) -> None:
    """It may lie behind a fetch that was dropped. Folded, it would make what was dropped look like a repetition."""
    tasks: list[asyncio.Task[None]] = []

    def recovered() -> None:
        tasks.append(asyncio.create_task(consumer.perform_seek()))

    consumer._is_whole = False
    consumer.seeking.clear()
    await consumer.run(
        recovered,
        lambda: consumer.answers.put_nowait([100, 101]),
        lambda: consumer.seeking.set(),
        lambda: consumer.answers.put_nowait([102]),
        lambda: consumer.answers.put_nowait([0, 1]),
    )
    assert consumer.given_back == [[100, 101], [102]]
    assert consumer.folded == [0, 1]


async def test_events_are_given_back_until_the_tables_of_their_assignment_are_whole(consumer: Scripted) -> None:
    def recovers() -> None:
        consumer.place = CHANGELOG
        consumer.answers.put_nowait([4])

    consumer._is_whole = False
    await consumer.run(lambda: consumer.answers.put_nowait([0]), recovers)
    assert consumer.folded == []
    assert consumer.given_back == [[0]]
    assert consumer.recovered == [4]


async def test_the_recovery_of_an_assignment_that_has_ended_opens_nothing_in_the_next_one(consumer: Scripted) -> None:
    consumer.revoke()
    consumer.assign()
    consumer.seeking.clear()
    ending = asyncio.create_task(consumer.perform_seek())
    await asyncio.sleep(0)
    consumer.revoke()
    consumer.assign()
    consumer.seeking.set()
    await ending
    assert not consumer._is_whole
    await consumer.perform_seek()
    assert consumer._is_whole


async def test_a_recovery_that_is_ended_before_its_end_ends_the_worker(consumer: Scripted) -> None:
    """Events would be folded into tables that lack what was folded before."""
    consumer._is_whole = False
    consumer.left_to_recover = 3
    await consumer.perform_seek()
    assert consumer.left == ["Faust has ended a recovery with 3 records left"]


async def test_the_first_fetch_of_a_new_assignment_counts_as_its_own(consumer: Scripted) -> None:
    """It is asked for while flow stands, before the new one is there. Given back, a recovery would wait for it."""

    def rebalance() -> None:
        consumer.assign()
        consumer._is_whole = True
        consumer.resume_flow()

    consumer.revoke()
    await consumer.run(rebalance, lambda: consumer.answers.put_nowait([5]))
    assert consumer.folded == [5]


async def test_a_fetch_that_is_not_awaited_any_more_is_given_up_at_the_end(consumer: Scripted) -> None:
    async def fails(records: Any) -> None:
        raise RuntimeError("the engine")

    consumer._engine.accept = fails
    consumer.answers.put_nowait([0])
    with pytest.raises(RuntimeError, match="the engine"):
        await consumer._drain_messages(consumer)
    for _ in range(5):
        await asyncio.sleep(0)
    assert {asyncio.current_task()} == asyncio.all_tasks()
