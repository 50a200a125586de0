"""`tradewire dlq` as an operator uses it, beside a consumer whose handler refuses some events."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from tests.waiting import wait_until
from typer.testing import CliRunner, Result

from tradewire.core import Settings
from tradewire.operations.commands.dlq import dlq_app
from tradewire.processors.parking import ParkingLot, Standing
from tradewire.processors.parking.groups import groups_with_letters
from tradewire.schemas import Contract, Event, Topic, TopicAdmin, encode_headers, read_event

TYPE = "trading.order.amended"
RUNNER = CliRunner()


class Shop:
    """A group whose handler takes no amendment of a negative quantity. Its topic is its own."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self.settings, self.contract = settings, contract
        self.group = f"shop-{uuid.uuid4().hex[:8]}"
        self.topic = f"{self.group}.events"
        TopicAdmin(settings.kafka).ensure({self.topic: Topic(self.topic, "tests", partitions=1)})
        self.seen: list[tuple[str, Decimal]] = []
        self.lot = ParkingLot(settings.kafka, self.group)
        self.lot.assigned([(self.topic, 0)])
        # What the group has committed is the tests' to say: a commit of its own would come five seconds later.
        config = {"group.id": self.group, "fetch.wait.max.ms": 20, "enable.auto.commit": False}
        self.consumer = Consumer({**settings.kafka.client_config(), **config})
        self.consumer.assign([TopicPartition(self.topic, 0, 0)])
        self.read = 0

    def publish(self, *orders: tuple[str, str]) -> None:
        producer = Producer(self.settings.kafka.client_config())
        for number, (order, quantity) in enumerate(orders):
            data = {"order_id": order, "account": "a", "symbol": "s", "venue": "v", "quantity": Decimal(quantity)}
            event = Event(
                id=f"{self.group}-{order}-{number}", type=TYPE, data=data, source="tests", subject=order, time_ns=1,
                correlation_id="flow-1", causation_id=None,
            )  # fmt: skip
            value = self.contract.codec.encode(TYPE, data, "trading.events")
            headers = [
                *encode_headers(event),
                ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ]
            producer.produce(self.topic, value, order, partition=0, headers=headers)
        assert producer.flush(60) == 0
        self.read += len(orders)
        left = self.read - len(orders)
        while left < self.read:
            for message in self.consumer.consume(100, 1):
                if message.error() is None:
                    self.take(message)
                    left += 1

    def take(self, message: Any) -> None:
        record = _Record(message)
        standing = self.lot.standing(record.topic, record.partition, record.key, record.offset)
        try:
            if standing is Standing.FREE:
                self.handle(record)
            elif standing is Standing.PARKED:
                self.lot.park(record)
        except ValueError as error:
            self.lot.park(record, error)

    def handle(self, record: Any) -> None:
        event = read_event(
            self.contract.codec, topic=record.topic, partition=record.partition, offset=record.offset,
            timestamp_ms=record.timestamp, value=record.value, headers=record.headers,
        )  # fmt: skip
        if event.data["quantity"] < 0:
            raise ValueError(f"quantity {event.data['quantity']} is below zero")
        self.seen.append((event.subject, event.data["quantity"]))

    def work(self) -> None:
        """Does the re-drives that are asked for."""
        for redrive in wait_until(self.lot.due):
            for letter in redrive:
                try:
                    self.handle(letter)
                except ValueError as error:
                    redrive.failed(letter, error)
                else:
                    redrive.done(letter)

    def close(self) -> None:
        self.lot.close()
        self.consumer.close()


class _Record:
    def __init__(self, message: Any) -> None:
        self.topic, self.partition, self.offset = message.topic(), message.partition(), message.offset()
        self.key, self.value, self.timestamp = message.key(), message.value(), message.timestamp()[1]
        self.headers = message.headers() or []


Dlq = Callable[..., Result]


@pytest.fixture
def shop(settings: Settings, contract: Contract) -> Iterator[Shop]:
    made = Shop(settings, contract)
    yield made
    made.close()


@pytest.fixture
def dlq(settings: Settings, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Dlq:
    """Runs the command for the shop's group."""
    monkeypatch.setenv("TRADEWIRE_KAFKA__BOOTSTRAP_SERVERS", settings.kafka.bootstrap_servers)
    monkeypatch.setenv("TRADEWIRE_REGISTRY__URL", settings.registry.url)
    monkeypatch.setenv("TRADEWIRE_REGISTRY__ARCHIVE_FOLDER", str(settings.registry.archive_folder))

    def run(command: str, *arguments: str) -> Result:
        return RUNNER.invoke(dlq_app, [command, *arguments, "--group", shop.group], env={"COLUMNS": "200"})

    return run


def told(shop: Shop, type: str) -> list[dict[str, Any]]:
    """The data of this group's events of a type, from system.events."""
    consumer = Consumer(
        {
            **shop.settings.kafka.client_config(),
            "group.id": "told",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",
        }
    )
    partitions = consumer.list_topics("system.events", timeout=60).topics["system.events"].partitions
    consumer.assign([TopicPartition("system.events", number, 0) for number in partitions])
    found: list[dict[str, Any]] = []
    left = set(partitions)
    while left:
        for message in consumer.consume(500, 1):
            if (error := message.error()) is not None:
                # A partition to which something came at its end ends again.
                if error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
            elif dict(message.headers())["ce_type"] == type.encode():
                found.append(dict(shop.contract.codec.decode(message.value()).data))
    consumer.close()
    return [data for data in found if data["group"] == shop.group]


def test_a_letter_is_looked_at_edited_and_redriven_and_every_step_is_shown_first(shop: Shop, dlq: Dlq) -> None:
    shop.publish(("o1", "-5"), ("o2", "1"), ("o1", "7"))
    assert [("o2", Decimal(1))] == shop.seen
    listed = dlq("list")
    assert (0, True, True) == (listed.exit_code, "o1" in listed.output, "is below zero" in listed.output), listed.output
    (key,) = json.loads(dlq("list", "--json").output)["keys"]
    assert ("o1", [0, 2], TYPE) == (key["key"], key["letters"], key["event_type"])
    position = f"{shop.topic}:0:0"
    shown = dlq("show", position).output
    for part in ("quantity -5", position, "0af7651916cd43dd8448eb211c80319c", "flow-1", '"-5', "ValueError"):
        assert part in shown, part

    refused = dlq("edit", position, "--set", "quantity=many", "--yes")
    assert (1, True) == (refused.exit_code, "quantity" in str(refused.exception)), refused.output
    dry = dlq("edit", position, "--set", "quantity=5")
    assert (3, True) == (dry.exit_code, "data.quantity: -5" in dry.output), dry.output
    assert [] == json.loads(dlq("list", "--json").output)["keys"][0]["edited"]
    assert [] == told(shop, "system.dead_letter.edited")
    done = dlq(
        "edit", position, "--set", "quantity=5", "--header", "note=typo", "--reason", "typo", "--by", "ann", "--yes"
    )
    assert 0 == done.exit_code, done.output
    (event,) = told(shop, "system.dead_letter.edited")
    assert ("ann", "typo", ["header.note", "data.quantity"]) == (event["operator"], event["reason"], event["changed"])
    assert Decimal(-5) == Decimal(json.loads(event["data_before"])["quantity"])
    both = json.loads(dlq("show", position, "--json").output)
    assert (Decimal(-5), Decimal(5)) == (Decimal(both["data"]["quantity"]), Decimal(both["edited"]["quantity"]))

    assert 3 == dlq("redrive", "--key", "o1").exit_code
    assert [] == shop.lot.due()
    assert 0 == dlq("redrive", "--key", "o1", "--yes").exit_code
    again = dlq("redrive", "--key", "o1", "--yes")
    assert (0, True) == (again.exit_code, "asked for already" in again.output)
    shop.work()
    assert [("o2", Decimal(1)), ("o1", Decimal(5)), ("o1", Decimal(7))] == shop.seen
    assert [] == json.loads(dlq("list", "--json").output)["keys"]
    nothing = dlq("redrive", "--key", "o1", "--yes")
    assert (0, True) == (nothing.exit_code, "Nothing to re-drive. key 'o1': nothing is parked" in nothing.output)
    (asked,) = told(shop, "system.redrive.requested")
    assert (f"{shop.topic}:0:o1", 2) == (asked["parked_key"], asked["letter_count"])
    shop.publish(("o1", "8"))
    assert ("o1", Decimal(8)) == shop.seen[-1]
    assert "Nobody waits" in (settled := dlq("show", position).output) or "nobody waits" in settled


def test_what_is_not_there_names_what_is(settings: Settings, shop: Shop, dlq: Dlq) -> None:
    """A key or a group that was misspelt must not look like one that is well."""
    shop.publish(("o1", "-5"))
    nothing = dlq("redrive", "--key", "o-z", "--yes")
    assert f"key 'o-z' is not parked in group {shop.group}. Parked keys: o1." in nothing.output
    assert "key 'o-z' is not parked" in dlq("list", "--key", "o-z").output
    assert "key 'o-z' is not parked" in dlq("discard", "--key", "o-z", "--yes").output

    idle = Shop(settings, shop.contract)
    try:
        groups = groups_with_letters(settings.kafka)
        assert (True, False) == (shop.group in groups, idle.group in groups)
        listed = RUNNER.invoke(dlq_app, ["list", "--group", idle.group])
        shown = RUNNER.invoke(dlq_app, ["show", f"{shop.topic}:0:0", "--group", idle.group])
    finally:
        idle.close()
    misspelt = RUNNER.invoke(dlq_app, ["list", "--group", f"{shop.group}x"])
    assert "Groups that have dead letters: " in listed.output
    for refused in (shown, misspelt):
        assert "Groups that have dead letters: " in str(refused.exception)


def test_a_discarded_letter_is_skipped_and_a_key_without_letters_is_free(shop: Shop, dlq: Dlq) -> None:
    shop.publish(("o1", "-5"), ("o1", "7"), ("o3", "-1"))
    assert 3 == dlq("discard", f"{shop.topic}:0:0").exit_code
    assert 0 == dlq("discard", f"{shop.topic}:0:0", "--reason", "test order", "--yes").exit_code
    assert "Nothing to discard" in dlq("discard", f"{shop.topic}:0:0", "--yes").output
    assert 0 == dlq("discard", "--key", "o3", "--yes").exit_code
    assert ["test order", ""] == [
        event["reason"]
        for event in sorted(told(shop, "system.dead_letter.discarded"), key=lambda event: event["source_offset"])
    ]
    shop.work()
    assert ["o1"] == [key["key"] for key in json.loads(dlq("list", "--json").output)["keys"]]
    shop.publish(("o3", "2"))
    assert [("o3", Decimal(2))] == shop.seen
    assert 0 == dlq("redrive", "--type", TYPE, "--yes").exit_code
    shop.work()
    assert [("o3", Decimal(2)), ("o1", Decimal(7))] == shop.seen


def test_what_cannot_be_asked_for_is_refused(shop: Shop, dlq: Dlq) -> None:
    assert 2 == dlq("redrive", "--yes").exit_code
    assert 2 == dlq("show", "nonsense").exit_code
    unknown = dlq("show", f"{shop.topic}:0:99")
    assert "no dead letter" in str(unknown.exception)
    nobody = RUNNER.invoke(dlq_app, ["list", "--group", "nobody-parks-here"])
    assert "deadletter.nobody-parks-here" in str(nobody.exception)
