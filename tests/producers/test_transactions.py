"""Transactions on the real broker, seen by a reader that reads committed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from tests.waiting import wait_until

from tradewire.core import EventInvalid, KafkaUnavailable, Settings, correlation, load_settings, new_id
from tradewire.producers import (
    AsyncPublisher,
    Publisher,
    PublisherClosed,
    PublisherFenced,
    TransactionAborted,
)
from tradewire.schemas import Contract, Event, FixedIds

TRADE = "market.trade.reported"
STARTED = "system.component.started"
TOPICS = ("market.events", "system.events")


class Committed:
    """Everything written to both topics from now on, by event id, read committed and read uncommitted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._starts = self._ends("read_uncommitted")

    def _consumer(self, isolation: str) -> Consumer:
        return Consumer(
            self._settings.kafka.client_config()
            | {"group.id": "tests-transactions", "enable.auto.commit": False, "isolation.level": isolation}
            | {"enable.partition.eof": True}
        )

    def _ends(self, isolation: str) -> list[TopicPartition]:
        consumer = self._consumer(isolation)
        partitions = [TopicPartition(topic, number) for topic in TOPICS for number in range(4)]
        ends = [TopicPartition(p.topic, p.partition, consumer.get_watermark_offsets(p, 20)[1]) for p in partitions]
        consumer.close()
        return ends

    def ids(self, isolation: str = "read_committed") -> list[str]:
        """The ids to the end as this reader sees it; open transactions hide what lies behind them."""
        consumer = self._consumer(isolation)
        consumer.assign(self._starts)
        ids = []
        left = {(place.topic, place.partition) for place in self._starts}
        deadline = time.monotonic() + 60
        while left and time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is None:
                continue
            if (error := message.error()) is not None:
                # A partition that was at its end, and to which something came, ends again.
                if error.code() == KafkaError._PARTITION_EOF:
                    left.discard((message.topic(), message.partition()))
                continue
            ids.append(bytes(dict(message.headers() or [])["ce_id"] or b"").decode())
        consumer.close()
        assert not left
        return ids

    def become(self, expected: Iterable[str]) -> None:
        """Waits until exactly these are committed: a commit is answered before its markers are in the partitions."""
        wait_until(lambda: sorted(self.ids()) == sorted(expected), within_s=90)


@pytest.fixture
def seen(settings: Settings) -> Committed:
    return Committed(settings)


@pytest.fixture
def steady(settings: Settings) -> Settings:
    """Settings with a transactional id of the test's own."""
    publisher = settings.publisher.model_copy(
        update={"transactional_id": f"tests-{new_id()}", "transaction_timeout_ms": 60_000}
    )
    return settings.model_copy(update={"publisher": publisher})


@pytest.fixture
def publisher(steady: Settings, contract: Contract) -> Iterator[Publisher]:
    publisher = Publisher(steady, contract)
    yield publisher
    publisher.close(10)


def test_events_of_several_topics_become_visible_together(
    publisher: Publisher, seen: Committed, trade: dict[str, Any]
) -> None:
    """Before the commit a committed reader sees nothing, after it everything, the flow's ids in the headers."""
    with publisher.transaction() as transaction, correlation("flow"):
        ids = [transaction.publish(TRADE, trade, subject=str(number)) for number in range(20)]
        ids.append(transaction.publish(STARTED, {"component": "x"}, subject="x"))
        whole = Event(id=new_id(), type=TRADE, data=trade, source="s", subject="x", time_ns=1, correlation_id="c")
        assert transaction.publish_many([whole]) == 1
        wait_until(lambda: len(seen.ids("read_uncommitted")) == 22, within_s=60)
        assert seen.ids() == []

    seen.become([*ids, whole.id])


def test_an_exception_in_the_block_leaves_nothing_visible(
    publisher: Publisher, seen: Committed, trade: dict[str, Any]
) -> None:
    """The caller's own error comes out, also when an invalid event is it; the next transaction works."""
    with pytest.raises(KeyError), publisher.transaction() as transaction:
        transaction.publish(TRADE, trade, subject="x")
        transaction.publish(STARTED, {"component": "x"}, subject="x")
        raise KeyError
    with pytest.raises(EventInvalid), publisher.transaction() as transaction:
        transaction.publish(TRADE, trade, subject="x")
        transaction.publish(TRADE, {}, subject="x")
    with publisher.transaction() as transaction:
        id = transaction.publish(TRADE, trade, subject="x", idempotency_key="k")

    seen.become([id])


def test_a_zombie_is_fenced(steady: Settings, contract: Contract, seen: Committed, trade: dict[str, Any]) -> None:
    """A successor with the same id commits; the one before can never, and says so."""
    zombie, successor = Publisher(steady, contract), Publisher(steady, contract)

    with pytest.raises(PublisherFenced, match="transactional"), zombie.transaction() as transaction:
        transaction.publish(TRADE, trade, subject="x")
        transaction.publish(STARTED, {"component": "x"}, subject="x")
        with successor.transaction() as other:
            id = other.publish(TRADE, trade, subject="x")

    seen.become([id])
    zombie.close(5)
    successor.close(5)


def test_a_death_in_the_middle_leaves_nothing_visible(
    steady: Settings, contract: Contract, seen: Committed, trade: dict[str, Any], tmp_path: Path
) -> None:
    """A process is killed by ``kill -9`` with both topics written; its successor settles that and goes on."""
    script = f"""
        from tradewire.core import load_settings
        from tradewire.producers import Publisher
        from tradewire.schemas import Contract, FixedIds
        from decimal import Decimal
        import time
        settings = load_settings(
            kafka={{"bootstrap_servers": {steady.kafka.bootstrap_servers!r}}},
            publisher={{"transactional_id": {steady.publisher.transactional_id!r}}},
        )
        publisher = Publisher(settings, Contract.load(settings, schema_ids=FixedIds()))
        trade = dict(venue="v", symbol="s", trade_id="1", price=Decimal(1), quantity=Decimal(1), trade_time_ns=1)
        with publisher.transaction() as transaction:
            for number in range(50):
                transaction.publish("system.component.started", {{"component": "x"}}, subject=str(number))
                transaction.publish("market.trade.reported", trade, subject=str(number))
            transaction._sender._lane("bulk").producer.flush(120)
            print("written", flush=True)
            time.sleep(600)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "written" in process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(seen.ids("read_uncommitted")) == 100

    with Publisher(steady, contract) as successor, successor.transaction() as transaction:
        ids = [transaction.publish(TRADE, trade, subject="x")]
        ids.append(transaction.publish(STARTED, {"component": "x"}, subject="x"))

    seen.become(ids)


def test_an_event_that_cannot_be_written_aborts_the_whole(
    steady: Settings, contract: Contract, seen: Committed, trade: dict[str, Any]
) -> None:
    """A record that the broker refuses: TransactionAborted is retriable, names the cause, and nothing is visible."""
    large = steady.publisher.model_copy(update={"event_bytes_max": 3_000_000, "compression": "none"})
    with Publisher(steady.model_copy(update={"publisher": large}), contract) as publisher:
        message = {"message_id": "1", "channel_id": "1", "author": "a", "content": "x" * 2_000_000, "posted_ns": 1}
        with pytest.raises(TransactionAborted, match=r"max\.message\.bytes") as aborted, publisher.transaction() as one:
            one.publish(TRADE, trade, subject="x")
            one.publish("setup.message.received", message, subject="x")

        assert aborted.value.retriable
        assert seen.ids() == []


def test_a_transaction_that_cannot_begin_says_so(trade: dict[str, Any]) -> None:
    """Without a broker the block is not run."""
    settings = load_settings(kafka={"bootstrap_servers": "127.0.0.1:9"}, publisher={"transaction_timeout_ms": 1_000})
    publisher = Publisher(settings, Contract.load(settings, schema_ids=FixedIds()))

    with pytest.raises(KafkaUnavailable, match="no transaction could begin"), publisher.transaction():
        pytest.fail("the block was run")

    publisher.close(0)
    with pytest.raises(PublisherClosed), publisher.transaction():
        pytest.fail("the block was run")


async def test_coroutines_have_transactions_too(
    steady: Settings, contract: Contract, seen: Committed, trade: dict[str, Any]
) -> None:
    """One commits, one is aborted by its exception."""
    async with AsyncPublisher(steady, contract) as publisher:
        async with publisher.transaction() as transaction:
            id = transaction.publish(TRADE, trade, subject="x")
        with pytest.raises(KeyError):
            async with publisher.transaction() as transaction:
                transaction.publish(TRADE, trade, subject="x")
                raise KeyError

    seen.become([id])
