"""The asyncio publisher: the same events, and a loop that goes on running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.producers.records import Reader, headers_of
from tests.waiting import wait_until

from tradewire.core import EventInvalid, Settings, correlation, load_settings, new_id
from tradewire.producers import AsyncPublisher, DeliveryUnknown, PublisherClosed, QueueFull
from tradewire.schemas import Contract, Event, FixedIds, Position

TRADE = "market.trade.reported"


def away(**limits: int) -> AsyncPublisher:
    """A publisher whose broker does not answer."""
    settings = load_settings(kafka={"bootstrap_servers": "127.0.0.1:9"}, publisher=limits)
    return AsyncPublisher(settings, Contract.load(settings, schema_ids=FixedIds()))


async def test_a_delivery_is_awaited(
    settings: Settings, contract: Contract, reader: Reader, trade: dict[str, Any]
) -> None:
    """The position that ``await delivery`` gives is where the record lies; awaiting again gives it again."""
    async with AsyncPublisher(settings, contract, source="async") as publisher:
        delivery = await publisher.publish(TRADE, trade, subject="x", idempotency_key="k", tags={"a": "b"}, sequence=3)
        position = await delivery

        assert await delivery == position
    headers = headers_of(reader.at(position))
    assert headers["ce_id"].decode() == delivery.event_id
    assert (headers["ce_source"], headers["ce_tags"]) == (b"async", b'{"a":"b"}')


async def test_thousands_of_deliveries_are_awaited_at_once(
    settings: Settings, contract: Contract, trade: dict[str, Any]
) -> None:
    """Every waiting task is woken, each with its own position."""
    async with AsyncPublisher(settings, contract) as publisher:

        async def one(number: int) -> Position:
            return await (await publisher.publish(TRADE, trade, subject=str(number)))

        positions = await asyncio.gather(*(one(number) for number in range(3_000)))

        assert len({(position.partition, position.offset) for position in positions}) == 3_000
        assert publisher.outcome.unknown == 0


async def test_each_task_has_its_own_flow(
    settings: Settings, contract: Contract, reader: Reader, trade: dict[str, Any]
) -> None:
    """Tasks that run interleaved do not see each other's correlation."""
    async with AsyncPublisher(settings, contract) as publisher:

        async def flow(name: str) -> list[Position]:
            positions = []
            with correlation(name):
                for _ in range(5):
                    await asyncio.sleep(0)
                    positions.append(await (await publisher.publish(TRADE, trade, subject=name)))
            return positions

        flows = [f"flow {number} {new_id()}" for number in range(5)]
        found = await asyncio.gather(*(flow(name) for name in flows))

    for name, positions in zip(flows, found, strict=True):
        ids = {headers_of(reader.at(position))["ce_correlationid"] for position in positions}
        assert ids == {name.encode()}


async def test_a_full_queue_holds_up_the_task_and_not_the_loop(trade: dict[str, Any]) -> None:
    """QueueFull comes after the wait, during which other tasks run."""
    patient = away(queue_messages_max=5, block_ms_max=60_000)
    for _ in range(5):
        await patient.publish(TRADE, trade, subject="x")
    waiting = asyncio.create_task(patient.publish(TRADE, trade, subject="x"))
    for _ in range(100):
        await asyncio.sleep(0.001)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    wait_until(lambda: patient.pending == 5)
    assert (await patient.close(0)).unknown == 5

    hasty = away(queue_messages_max=5, block_ms_max=100)
    for _ in range(5):
        await hasty.publish(TRADE, trade, subject="x")
    with pytest.raises(QueueFull, match="block_ms_max"):
        await hasty.publish(TRADE, trade, subject="x")
    assert (await hasty.close(0)).unknown == 5


async def test_an_unknown_delivery_raises_where_it_is_awaited(trade: dict[str, Any]) -> None:
    """Closing settles what is awaited as unknown; nobody waits for ever."""
    publisher = away()
    delivery = await publisher.publish(TRADE, trade, subject="x")

    async def waiting() -> Position:
        return await delivery

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    await publisher.close(0)

    with pytest.raises(DeliveryUnknown):
        await task
    with pytest.raises(PublisherClosed):
        await publisher.publish(TRADE, trade, subject="x")


async def test_a_cancelled_wait_leaves_the_delivery(
    settings: Settings, contract: Contract, trade: dict[str, Any]
) -> None:
    """Who stops waiting loses nothing: the event arrives and can be asked for again."""
    async with AsyncPublisher(settings, contract) as publisher:
        delivery = await publisher.publish(TRADE, trade, subject="x")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await delivery

        assert (await delivery).topic == "market.events"


async def test_many_events_from_iterables_of_both_kinds(
    settings: Settings, contract: Contract, trade: dict[str, Any]
) -> None:
    """A list and an asynchronous generator are taken in order; an invalid event ends it after those before."""
    events = [
        Event(id=new_id(), type=TRADE, data=trade, source="s", subject="x", time_ns=1, correlation_id="c")
        for _ in range(300)
    ]

    async def later() -> AsyncIterator[Event]:
        for event in events:
            yield event

    async with AsyncPublisher(settings, contract) as publisher:
        assert await publisher.publish_many(events) == 300
        assert await publisher.publish_many(later()) == 300
        assert await publisher.publish_many([(TRADE, trade, "x")] * 2) == 2
        with pytest.raises(EventInvalid):
            await publisher.publish_event(
                Event(id="x", type=TRADE, data={}, source="s", subject="x", time_ns=1, correlation_id="c")
            )
        assert await publisher.flush(20) == 0
        assert publisher.outcome.per_type == {TRADE: 602}
