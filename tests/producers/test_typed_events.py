"""Typed events, the convenience calls, and flows across threads and tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from confluent_kafka import Message
from tests.producers.records import Reader, headers_of

from tradewire.core import EventInvalid, Settings, carried, correlation, new_id
from tradewire.producers import AsyncPublisher, Publisher
from tradewire.schemas import Contract, Event
from tradewire.schemas.types.market import TradeReported
from tradewire.schemas.types.system import ComponentStarted

STARTED = "system.component.started"


def traded(symbol: str) -> TradeReported:
    return TradeReported(
        venue="binance.spot", symbol=symbol, trade_id="1", price=Decimal("1.5"), quantity=Decimal(2), trade_time_ns=7
    )


def data_of(contract: Contract, message: Message) -> Mapping[str, Any]:
    return contract.codec.decode(message.value()).data  # type: ignore[arg-type]


def test_an_object_is_the_same_event_as_its_dict(publisher: Publisher, reader: Reader, contract: Contract) -> None:
    """Type and key come from the object; the data in Kafka are equal byte for byte; a subject given wins."""
    event = traded("BTCUSDT")
    typed = reader.at(publisher.publish(event, idempotency_key="k").result(20))
    plain = reader.at(publisher.publish("market.trade.reported", event.to_data(), subject="x").result(20))
    named = reader.at(publisher.publish(event, subject="mine").result(20))

    assert headers_of(typed)["ce_type"] == b"market.trade.reported"
    assert (typed.key(), named.key()) == (b"binance.spot:BTCUSDT", b"mine")
    assert typed.value() == plain.value()


def test_many_of_every_kind(publisher: Publisher, reader: Reader) -> None:
    """Objects, tuples and whole events mix, in order."""
    before, run = reader.ends("system.events"), new_id()
    whole = Event(
        id=new_id(), type=STARTED, data={"component": run}, source="s", subject=run, time_ns=1, correlation_id="c"
    )

    assert publisher.publish_many([ComponentStarted(component=run), (STARTED, {"component": run}, run), whole]) == 3

    assert publisher.flush(20) == 0
    found = [message for message in reader.since("system.events", before) if message.key() == run.encode()]
    assert len(found) == 3
    assert headers_of(found[2])["ce_id"].decode() == whole.id


def test_an_object_without_its_key_is_refused(publisher: Publisher) -> None:
    """EventInvalid names the field of the key that is missing."""
    with pytest.raises(EventInvalid, match="no component"):
        publisher.publish(ComponentStarted(component=""))

    with pytest.raises(TypeError, match=r"subject is missing; .* data's component"):
        publisher.publish(STARTED, {"component": "x"})  # type: ignore[call-overload]


async def test_coroutines_publish_objects(settings: Settings, contract: Contract, reader: Reader) -> None:
    """One and many."""
    async with AsyncPublisher(settings, contract) as publisher:
        position = await (await publisher.publish(traded("ETHUSDT")))
        assert await publisher.publish_many([traded("ETHUSDT"), traded("ETHUSDT")]) == 2

    assert reader.at(position).key() == b"binance.spot:ETHUSDT"


def test_convenience_calls_fill_in_what_they_can(publisher: Publisher, reader: Reader, contract: Contract) -> None:
    """Each is one event of its type, with key and data as its fields say."""
    calls = {
        "market.trade.reported": publisher.publish_market_data(
            "BTCUSDT", venue="binance.spot", price=Decimal(45000), quantity=Decimal(100),
            more={"aggressor_side": "BUY"}, source="feed",
        ),
        "strategy.signal.generated": publisher.publish_trading_signal(
            "momentum", "BTCUSDT", "BUY", more={"confidence": Decimal("0.85")}, idempotency_key="s"
        ),
        "trading.portfolio.updated": publisher.publish_portfolio_update(
            "acc", currency="USD", equity=Decimal(10), more={"holdings": [{"symbol": "BTC", "quantity": Decimal(1)}]}
        ),
        "setup.parse.completed": publisher.publish_setup_parsed(
            "m1", [{"ticker": "AAPL", "confidence": Decimal("0.9")}, {"ticker": "TSLA", "confidence": Decimal("0.8")}],
            parser="aplus/3", correlation_id="flow",
        ),
    }  # fmt: skip
    found = {type: reader.at(delivery.result(20)) for type, delivery in calls.items()}

    assert {type: bytes(message.key() or b"") for type, message in found.items()} == {  # type: ignore[arg-type]
        "market.trade.reported": b"binance.spot:BTCUSDT",
        "strategy.signal.generated": b"momentum",
        "trading.portfolio.updated": b"acc",
        "setup.parse.completed": b"m1",
    }
    assert {type: headers_of(message)["ce_type"].decode() for type, message in found.items()} == {k: k for k in found}
    data = {type: data_of(contract, message) for type, message in found.items()}
    assert (data["market.trade.reported"]["price"], data["market.trade.reported"]["aggressor_side"]) == (45000, "BUY")
    assert data["market.trade.reported"]["trade_id"]
    assert data["strategy.signal.generated"]["signal_id"]
    assert data["trading.portfolio.updated"]["holdings"][0]["symbol"] == "BTC"
    parsed = data["setup.parse.completed"]
    assert (parsed["setup_count"], parsed["ticker"], parsed["confidence"]) == (2, "AAPL", Decimal("0.8"))
    assert headers_of(found["market.trade.reported"])["ce_source"] == b"feed"
    assert headers_of(found["setup.parse.completed"])["ce_correlationid"] == b"flow"


async def test_convenience_calls_of_coroutines(settings: Settings, contract: Contract, reader: Reader) -> None:
    """The same four."""
    async with AsyncPublisher(settings, contract) as publisher:
        deliveries = [
            await publisher.publish_market_data("B", venue="v", price=Decimal(1), quantity=Decimal(1)),
            await publisher.publish_trading_signal("s", "B", "HOLD"),
            await publisher.publish_portfolio_update("a", currency="USD", equity=Decimal(1)),
            await publisher.publish_setup_parsed("m", []),
        ]
        positions = [await delivery for delivery in deliveries]

    types = [headers_of(reader.at(position))["ce_type"].decode() for position in positions]
    assert types == [
        "market.trade.reported", "strategy.signal.generated", "trading.portfolio.updated", "setup.parse.completed",
    ]  # fmt: skip


def test_a_flow_is_carried_into_the_threads_of_a_pool(publisher: Publisher, reader: Reader) -> None:
    """Carried work joins the flow it was submitted from, other work of the same thread does not, and nothing leaks."""
    barrier = threading.Barrier(2)

    def work() -> bytes:
        barrier.wait(20)
        delivery = publisher.publish(STARTED, {"component": "x"}, subject="x")
        headers = headers_of(reader_at(delivery))
        return headers["ce_correlationid"] + b"/" + headers.get("ce_causationid", b"")

    lock = threading.Lock()

    def reader_at(delivery: Any) -> Message:
        position = delivery.result(20)
        with lock:
            return reader.at(position)

    with ThreadPoolExecutor(2) as pool:
        with correlation("one", "cause"):
            first = pool.submit(carried(work))
        with correlation("two"):
            second = pool.submit(carried(work))
        assert {first.result(30), second.result(30)} == {b"one/cause", b"two/"}
        with correlation("three"):
            bare = [pool.submit(work) for _ in range(2)]
        assert all(b"three" not in future.result(30) for future in bare)


async def test_a_flow_follows_tasks_and_their_threads(settings: Settings, contract: Contract, reader: Reader) -> None:
    """A task, a task of that task and ``to_thread`` are in the flow of whoever made them."""
    async with AsyncPublisher(settings, contract) as publisher:

        async def publish() -> bytes:
            position = await (await publisher.publish(STARTED, {"component": "x"}, subject="x"))
            return headers_of(reader.at(position))["ce_correlationid"]

        async def outer() -> list[bytes]:
            with correlation("task"):
                inner = await asyncio.create_task(publish())
                delivery = await asyncio.to_thread(
                    publisher._publisher.publish, STARTED, {"component": "x"}, subject="x"
                )
            outside = await publish()
            return [inner, headers_of(reader.at(await delivery))["ce_correlationid"], outside]

        inner, threaded, outside = await asyncio.create_task(outer())

    assert (inner, threaded) == (b"task", b"task")
    assert outside != b"task"
