"""A broker that dies or hangs while events are published: each arrives once, in order, and nobody is held up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.needs import java_or_skip
from tests.producers.records import Reader, headers_of

from tradewire.core import Settings, load_settings, new_id
from tradewire.operations.stack.cluster import LocalKafka, local_kafka
from tradewire.producers import Publisher
from tradewire.schemas import Contract, FixedIds, TopicAdmin

pytestmark = [pytest.mark.slow, pytest.mark.chaos]
TRADE = "market.trade.reported"


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker of this test's own, to be killed."""
    java_or_skip()
    with local_kafka(tmp_path) as kafka:
        yield kafka


@pytest.fixture
def own_settings(kafka: LocalKafka) -> Settings:
    """Settings of that broker, with the market topic on it."""
    settings = load_settings(kafka={"bootstrap_servers": kafka.bootstrap_servers})
    topics = Contract.load(settings, schema_ids=FixedIds()).topics
    TopicAdmin(settings.kafka).ensure({"market.events": topics["market.events"]})
    return settings


def killed(kafka: LocalKafka) -> None:
    """Dies by ``kill -9`` and is started again."""
    kafka.kill()
    time.sleep(3)  # the length of the outage, not a wait for something
    kafka.start()


def paused(kafka: LocalKafka) -> None:
    """Hangs with its connections open, and goes on."""
    for node in kafka.nodes.values():
        node.pause()
    time.sleep(3)
    for node in kafka.nodes.values():
        node.resume()


@pytest.mark.parametrize("outage", [killed, paused])
def test_an_outage_costs_no_event_and_no_order(
    kafka: LocalKafka, own_settings: Settings, trade: dict[str, Any], outage: Callable[[LocalKafka], None]
) -> None:
    """What was taken before, while and after the broker is away lies in Kafka once and in order per subject."""
    run, published = new_id(), 0
    contract = Contract.load(own_settings, schema_ids=FixedIds())
    reader = Reader(own_settings.kafka)
    before = reader.ends("market.events")
    publisher = Publisher(own_settings, contract)

    def publish(count: int) -> None:
        nonlocal published
        for _ in range(count):
            publisher.publish(TRADE, trade, subject=f"{run}:{published % 7}", sequence=published)
            published += 1

    publish(3_000)
    assert publisher.flush(60) == 0
    publish(2_000)
    outage(kafka)
    publish(3_000)
    outcome = publisher.close(90)

    assert (outcome.published, outcome.unknown) == (published, 0)
    seen: dict[str, list[int]] = {}
    for message in reader.since("market.events", before):
        key = bytes(message.key() or b"").decode()  # type: ignore[arg-type]
        seen.setdefault(key, []).append(int(headers_of(message)["ce_sequence"]))
    reader.close()
    assert seen == {f"{run}:{subject}": list(range(subject, published, 7)) for subject in range(7)}


def test_publishing_goes_on_while_the_broker_is_away(
    kafka: LocalKafka, own_settings: Settings, trade: dict[str, Any]
) -> None:
    """With the broker killed, ten thousand events are taken in well under the time of any network deadline."""
    publisher = Publisher(own_settings, Contract.load(own_settings, schema_ids=FixedIds()))
    publisher.publish(TRADE, trade, subject="x").result(60)
    kafka.kill()

    began = time.monotonic()
    for _ in range(10_000):
        publisher.publish(TRADE, trade, subject="x")
    seconds = time.monotonic() - began

    assert seconds < 20
    kafka.start()
    outcome = publisher.close(90)
    assert (outcome.published, outcome.unknown) == (10_001, 0)
