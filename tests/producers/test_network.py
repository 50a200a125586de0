"""A network that is cut, and brokers that are restarted one by one: nothing lost, nothing doubled, order kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.needs import java_or_skip
from tests.network import Link, cuttable_kafka
from tests.producers.records import Reader
from tests.producers.spooling_service import SUBJECTS, TRADE, TYPE
from tests.producers.test_spool import Service, arrived, once_in_order, spooling
from tests.waiting import wait_until

from tradewire.core import load_settings, new_id
from tradewire.core.settings import KafkaSettings
from tradewire.operations.stack.cluster import LocalKafka, local_kafka
from tradewire.producers import BreakerState, Publisher
from tradewire.schemas import Contract, FixedIds, TopicAdmin

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(300)]


def make_topics(kafka: LocalKafka) -> None:
    settings = load_settings(kafka={"bootstrap_servers": kafka.bootstrap_servers})
    topics = Contract.load(settings, schema_ids=FixedIds()).topics
    TopicAdmin(settings.kafka).ensure({name: topics[name] for name in ("market.events", "system.events")})


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalKafka, Link]]:
    """A broker of these tests' own, behind a network that is whole when a test ends."""
    java_or_skip()
    with cuttable_kafka(tmp_path_factory.mktemp("kafka")) as (kafka, link):
        make_topics(kafka)
        yield kafka, link


@pytest.fixture
def reader(network: tuple[LocalKafka, Link]) -> Iterator[Reader]:
    """Reads past the link."""
    reader = Reader(KafkaSettings(bootstrap_servers=network[0].bootstrap_servers))
    yield reader
    reader.close()


def publish_until(publisher: Publisher, run: str, number: int, pace: int, ends: Callable[[float], bool]) -> int:
    """Publishes at a pace until ``ends`` of the seconds passed; returns the next number."""
    began, first = time.monotonic(), number
    while not ends(time.monotonic() - began):
        for _ in range(min(pace // 10, first + int(pace * (time.monotonic() - began)) - number)):
            publisher.publish(TYPE, TRADE, subject=f"{run}:{number % SUBJECTS}", sequence=number)
            number += 1
        time.sleep(0.001)
    return number


@pytest.mark.parametrize(("replies_only", "forget"), [(False, False), (True, True)], ids=["silence", "lost_replies"])
def test_a_cut_network_costs_no_event_and_no_order(
    network: tuple[LocalKafka, Link], reader: Reader, tmp_path: Path, replies_only: bool, forget: bool
) -> None:
    """Cut for four seconds at 2,000 a second: the breaker opens, the spool takes over, all arrive once and in order.

    Also where the broker wrote what was sent, its answers never came, and all connections are gone afterwards.
    """
    _, link = network
    run, before = new_id(), reader.ends("market.events")
    publisher = spooling(link.address, tmp_path)
    number = publish_until(publisher, run, 0, 2_000, lambda seconds: seconds > 1)
    link.cut(replies_only=replies_only)
    number = publish_until(
        publisher, run, number, 2_000,
        lambda seconds: (seconds > 4 and publisher.breaker_state is BreakerState.OPEN) or seconds > 60,
    )  # fmt: skip
    assert publisher.breaker_state is BreakerState.OPEN
    link.mend(forget=forget)
    number = publish_until(
        publisher, run, number, 2_000, lambda seconds: seconds > 1 and publisher.breaker_state == "closed"
    )
    outcome = publisher.close(60)

    assert (outcome.published, outcome.unknown, outcome.in_spool) == (number, 0, 0)
    assert arrived(reader, before, run) == once_in_order(run, number)


def test_a_service_killed_while_no_reply_came_doubles_nothing(
    network: tuple[LocalKafka, Link], reader: Reader, tmp_path: Path
) -> None:
    """What the broker wrote unseen is on disk too: the next start reads it back and delivers only the rest."""
    _, link = network
    run, before = new_id(), reader.ends("market.events")
    service = Service(tmp_path, run)
    process = service.start(link.address, "hold", count=6_000, pace=2_000)
    wait_until(lambda: service.accepted > 1_500, within_s=60, alive=process.poll)
    link.cut(replies_only=True)
    try:
        assert process.stdout is not None
        assert any(line.startswith("spooled") for line in process.stdout)
        written_unseen = sum(map(len, arrived(reader, before, run).values()))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        link.mend(forget=True)

    assert 0 < written_unseen < 6_000
    assert service.finish(link.address, "drain", first=6_000, count=100) == "closed 0 0 0"
    assert arrived(reader, before, run) == once_in_order(run, 6_100)


def test_restarting_three_brokers_one_by_one_costs_no_event_and_no_order(tmp_path: Path) -> None:
    """Each is stopped in good order and started again while 1,000 events a second are published, without a spool."""
    java_or_skip()
    with local_kafka(tmp_path, brokers=3, mode="isolated") as kafka:
        make_topics(kafka)
        settings = load_settings(kafka={"bootstrap_servers": kafka.bootstrap_servers})
        publisher = Publisher(settings, Contract.load(settings, schema_ids=FixedIds()))
        run = new_id()
        number = publish_until(publisher, run, 0, 1_000, lambda seconds: seconds > 1)
        for name in ("broker-2", "broker-3", "broker-4"):
            node: Any = kafka.nodes[name]
            node.request_stop()
            number = publish_until(publisher, run, number, 1_000, lambda _, node=node: node.pid is None)
            node.launch()
            number = publish_until(publisher, run, number, 1_000, lambda seconds: seconds > 1)
            node.wait_ready(timeout_s=90)
        number = publish_until(publisher, run, number, 1_000, lambda seconds: seconds > 1)
        outcome = publisher.close(60)
        # One that has not seen the brokers go, and need not find their successors first.
        reader = Reader(settings.kafka)
        found = arrived(reader, dict.fromkeys(range(4), 0), run)
        reader.close()

    assert (outcome.published, outcome.unknown) == (number, 0)
    assert found == once_in_order(run, number)
