"""`tradewire recover orphans` of a subscriber's group whose offsets were reset past events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from tests.operations.test_dlq_command import RUNNER, TYPE, Shop
from typer.testing import Result

from tradewire.core import Settings
from tradewire.operations.commands.recover import recover_app
from tradewire.processors.parking import ParkingLot
from tradewire.schemas import Contract, Event, encode_headers


@pytest.fixture
def shop(settings: Settings, contract: Contract, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("TRADEWIRE_KAFKA__BOOTSTRAP_SERVERS", settings.kafka.bootstrap_servers)
    monkeypatch.setenv("TRADEWIRE_REGISTRY__URL", settings.registry.url)
    monkeypatch.setenv("TRADEWIRE_REGISTRY__ARCHIVE_FOLDER", str(settings.registry.archive_folder))
    made = Shop(settings, contract)
    yield made
    made.close()


def commit(shop: Shop, offset: int) -> None:
    consumer = Consumer({**shop.settings.kafka.client_config(), "group.id": shop.group})
    consumer.commit(offsets=[TopicPartition(shop.topic, 0, offset)], asynchronous=False)
    consumer.close()


def unread(shop: Shop, order: str) -> None:
    """Publishes an event that the shop does not read."""
    data = {"order_id": order, "account": "a", "symbol": "s", "venue": "v", "quantity": Decimal(9)}
    event = Event(
        id=f"{shop.group}-{order}", type=TYPE, data=data, source="tests", subject=order, time_ns=1,
        correlation_id=order, causation_id=None,
    )  # fmt: skip
    producer = Producer(shop.settings.kafka.client_config())
    value = shop.contract.codec.encode(TYPE, data, "trading.events")
    producer.produce(shop.topic, value, order, partition=0, headers=encode_headers(event))
    assert producer.flush(60) == 0


def orphans(shop: Shop, *arguments: str) -> Result:
    return RUNNER.invoke(recover_app, ["orphans", "--group", shop.group, *arguments])


def test_events_that_a_reset_has_passed_over_are_found_handed_to_their_group_and_not_twice(shop: Shop) -> None:
    shop.publish(("o1", "1"), ("o2", "-2"))
    commit(shop, 2)
    shop.lot.close()
    for order in ("o3", "o4"):
        unread(shop, order)
    none = orphans(shop, "--json")
    assert (0, []) == (none.exit_code, json.loads(none.stdout)["orphans"]), "nothing is committed past them yet"
    commit(shop, 4)
    dry = orphans(shop, "--json")
    assert 3 == dry.exit_code, dry.output
    assert [(2, True), (3, True)] == [(one["offset"], one["sure"]) for one in json.loads(dry.stdout)["orphans"]]

    shop.lot = ParkingLot(shop.settings.kafka, shop.group)
    shop.lot.assigned([(shop.topic, 0)])
    assert [] == shop.lot.due()
    handed = orphans(shop, "--yes")
    assert (0, True) == (handed.exit_code, "2 handed to group" in " ".join(handed.output.split())), handed.output
    while len(shop.seen) < 3:
        shop.work()
    assert [("o1", Decimal(1)), ("o3", Decimal(9)), ("o4", Decimal(9))] == shop.seen
    assert 0 == orphans(shop).exit_code, "they are known to be recovered"
    shop.lot.committed({(shop.topic, 0): 4})
    shop.lot.close()
    shop.lot = ParkingLot(shop.settings.kafka, shop.group)
    shop.lot.assigned([(shop.topic, 0)])
    assert [] == shop.lot.due(), "nor does a new owner take them up again"
    assert shop.lot.is_parked(shop.topic, 0, b"o2"), "what was parked is no orphan"
