"""Parking on a real broker: what a consumer that handles one record after the other sees, and what a crash leaves."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition
from tests.processors.pure import Record
from tests.waiting import wait_until

from tradewire.core import Settings
from tradewire.processors.parking import DeadLetter, ParkingLot, Standing
from tradewire.processors.parking.operating import Operator
from tradewire.schemas import Topic, TopicAdmin


class Service:
    """A consumer group on one partition: it reads a list of records and handles those whose value is not bad."""

    def __init__(self, settings: Settings, **lot_options: int) -> None:
        self.settings = settings
        self.group = f"parking-{uuid.uuid4().hex[:8]}"
        self.topic = f"{self.group}.events"
        TopicAdmin(settings.kafka).ensure({self.topic: Topic(self.topic, "tests", partitions=2)})
        self.log: list[Record] = []
        self.handled: list[tuple[bytes | None, bytes | None]] = []
        self.bad = {b"bad"}
        self.committed = 0
        self._options = lot_options
        self.lot = self.start()

    def start(self) -> ParkingLot:
        """A new process: nothing is left of the one before but Kafka."""
        self.lot = ParkingLot(self.settings.kafka, self.group, **self._options)  # type: ignore[arg-type]
        self.lot.assigned([(self.topic, 1)])
        return self.lot

    def publish(self, *records: tuple[bytes | None, bytes]) -> None:
        for key, value in records:
            offset = len(self.log)
            self.log.append(Record(self.topic, 1, offset, 1_700_000_000_000 + offset, key, value, (("x", b"1"),)))

    def read_on(self, *, commit: bool = True) -> None:
        """Deals with all that was not read yet."""
        for record in self.log[self.committed :]:
            standing = self.lot.standing(record.topic, record.partition, record.key, record.offset)
            if standing is Standing.FREE:
                try:
                    self.handle(record)
                except ValueError as error:
                    self.lot.park(record, error, 3)
            elif standing is Standing.PARKED:
                self.lot.park(record)
        if commit:
            self.commit(len(self.log))

    def commit(self, offset: int) -> None:
        consumer = Consumer({**self.settings.kafka.client_config(), "group.id": self.group})
        consumer.commit(offsets=[TopicPartition(self.topic, 1, offset)], asynchronous=False)
        consumer.close()
        self.committed = offset
        self.lot.committed({(self.topic, 1): offset})

    def handle(self, record: Record | DeadLetter) -> None:
        if record.value in self.bad:
            raise ValueError(f"{record.value!r} is bad")
        self.handled.append((record.key, record.value))

    def ask(self) -> int:
        """Has all keys re-driven; returns how many were not asked for already."""
        operator = self.operator
        requests = operator.requests(operator.look().keys.values())
        operator.redrive(requests)
        return len(requests)

    def redrive(self) -> int:
        """Does what is due; returns how many keys were."""
        due = wait_until(self.lot.due, within_s=20)
        for redrive in due:
            for letter in redrive:
                try:
                    self.handle(letter)
                except ValueError as error:
                    redrive.failed(letter, error)
                else:
                    redrive.done(letter)
        return len(due)

    @property
    def operator(self) -> Operator:
        return Operator(self.settings.kafka, self.group, by="tester")

    def letters(self) -> list[tuple[int, bytes | None, str | None]]:
        return [(letter.offset, letter.value, letter.failure.kind) for letter in self.operator.look().all_letters()]


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    made = Service(settings)
    yield made
    made.lot.close()


def test_a_failed_record_and_all_later_ones_of_its_key_wait_in_order_while_other_keys_flow(service: Service) -> None:
    service.publish(
        (b"a", b"1"), (b"b", b"bad"), (b"a", b"2"), (b"b", b"3"), (None, b"bad"), (None, b"4"), (b"b", b"5")
    )
    service.read_on()
    assert [(b"a", b"1"), (b"a", b"2"), (None, b"4")] == service.handled
    assert [
        (1, b"bad", "failed"),
        (3, b"3", "parked-behind"),
        (4, b"bad", "failed"),
        (6, b"5", "parked-behind"),
    ] == service.letters()
    assert service.lot.is_parked(service.topic, 1, b"b")
    assert not service.lot.is_parked(service.topic, 1, b"a")


def test_a_redrive_hands_over_what_waits_and_what_came_meanwhile_then_the_key_is_free(service: Service) -> None:
    service.publish((b"b", b"bad"), (b"b", b"2"))
    service.read_on()
    operator = service.operator
    assert 1 == service.ask()
    assert 0 == service.ask(), "one request is open already"
    service.redrive()
    seen = operator.look()
    assert [2] == [key.state.attempts - 2 for key in seen.keys.values()], "it failed once more"
    assert [] == service.handled
    service.bad.clear()
    service.ask()
    (redrive,) = wait_until(service.lot.due, within_s=20)
    for letter in redrive:
        service.handle(letter)
        if letter.value == b"bad":
            service.publish((b"b", b"3"))
            service.read_on()
        redrive.done(letter)
    assert [(b"b", b"bad"), (b"b", b"2"), (b"b", b"3")] == service.handled
    service.publish((b"b", b"4"))
    service.read_on()
    assert (b"b", b"4") == service.handled[-1]
    assert {} == operator.look().keys
    assert [] == service.lot.due()
    assert 1 == operator.prune()
    assert 0 == operator.prune()
