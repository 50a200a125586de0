"""What the worker does with a fetch that comes back into another assignment, or into a flow that was stopped meanwhile.

The fetches are scripted; the broker's part in this is in test_worker_rebalance and test_worker_crash.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from tradewire.processors._faust_app import WorkerConsumer

PLACE = TP("market.events", 0)


class Scripted(WorkerConsumer):
    """Our way of handing out over fetches that the test answers; whatever else Faust's consumer does is left away."""

    def __init__(self) -> None:  # without the base: it would begin to connect
        self.app: Any = SimpleNamespace(consumer_generation_id=1, rebalancing=False, should_stop=False)
        self.transport: Any = SimpleNamespace(app=self.app)
        self._stopped = asyncio.Event()
        self.can_resume_flow, self.suspend_flow = asyncio.Event(), asyncio.Event()
        self._read_offset = defaultdict(lambda: None)
        self._is_taken_over, self._stops = True, 0
        self.sought: list[int] = []
        self._thread: Any = SimpleNamespace(seek=lambda _, offset: self.sought.append(offset))
        self.folded: list[int] = []
        self.on_fold: Callable[[], None] = lambda: None
        self._engine: Any = SimpleNamespace(accept=self._accept, handlers=None)
        self.asked = 0
        self.answers: asyncio.Queue[list[int]] = asyncio.Queue()
        self.resume_flow()

    async def wait(self, *events: Any, timeout: Any = None) -> Any:
        await events[0].wait()

    def _is_changelog_tp(self, tp: TP) -> bool:
        return False

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        self.asked += 1
        offsets = await self.answers.get()
        return {PLACE: [SimpleNamespace(offset=offset) for offset in offsets]} if offsets else {}, None

    async def _accept(self, records: Any) -> None:
        self.folded += [row.offset for row in records[PLACE]]
        self.on_fold()
        await asyncio.sleep(0)

    async def run(self, *script: Callable[[], Any]) -> None:
        """Takes one step after the other, each when the one before it has had its effect."""
        draining = asyncio.create_task(self._drain_messages(self))
        for step in (lambda: None, *script, self._stopped.set, lambda: self.answers.put_nowait([])):
            step()
            for _ in range(20):
                await asyncio.sleep(0)
        await asyncio.wait_for(draining, 5)


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
    assert consumer.sought == []


async def test_what_was_fetched_for_an_assignment_that_has_ended_is_dropped(consumer: Scripted) -> None:
    def rebalance() -> None:
        consumer.app.consumer_generation_id = 2

    await consumer.run(rebalance, lambda: consumer.answers.put_nowait([0]), lambda: consumer.answers.put_nowait([7]))
    assert consumer.folded == [7]
    assert consumer.sought == []


async def test_a_fetch_that_was_held_over_a_stop_of_flow_is_read_again_and_not_folded(consumer: Scripted) -> None:
    def stop_and_resume() -> None:
        consumer.stop_flow()
        consumer.resume_flow()

    await consumer.run(
        lambda: consumer.answers.put_nowait([0, 1]),
        stop_and_resume,
        lambda: consumer.answers.put_nowait([2, 3]),
        lambda: consumer.answers.put_nowait([2, 3]),
    )
    assert consumer.sought == [2]
    assert consumer.folded == [0, 1, 2, 3]


async def test_it_is_never_sought_past_the_place_that_faust_has_gone_back_to(consumer: Scripted) -> None:
    def recovery_seeks_to_what_is_committed() -> None:
        consumer.stop_flow()
        consumer._read_offset[PLACE] = 1
        consumer.resume_flow()

    await consumer.run(
        lambda: consumer.answers.put_nowait([0, 1, 2]),
        recovery_seeks_to_what_is_committed,
        lambda: consumer.answers.put_nowait([3]),
    )
    assert consumer.sought == [1]


async def test_the_first_fetch_of_a_new_assignment_counts_as_its_own(consumer: Scripted) -> None:
    """It is asked for while flow stands, before the generation changes. Dropped, a recovery would wait for it."""

    def rebalance() -> None:
        consumer.app.consumer_generation_id = 2
        consumer.resume_flow()

    consumer.stop_flow()
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
