"""Parking on a real broker: what a consumer that handles one record after the other sees, and what a crash leaves."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.processors.asking import answered
from tests.processors.pure import Record
from tests.waiting import wait_until

from tradewire.core import Settings
from tradewire.processors.dead_letters import topic_of
from tradewire.processors.parking import DeadLetter, NotOwned, ParkedKey, ParkingFull, ParkingLot, Standing
from tradewire.processors.parking.operating import Operator
from tradewire.processors.parking.reading import read_letters
from tradewire.processors.parking.topics import found_topics
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
        answered(lambda: consumer.commit(offsets=[TopicPartition(self.topic, 1, offset)], asynchronous=False))
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
        due = wait_until(self.lot.due, within_s=60)
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


def test_a_record_of_another_key_does_not_wait_while_one_is_being_parked(service: Service) -> None:
    """Parking takes two confirmed writes; a subscriber's other lanes ask meanwhile."""
    service.publish((b"b", b"bad"))
    service.read_on()
    asked = threading.Event()
    other = threading.Thread(target=lambda: [service.lot.standing(service.topic, 1, b"a", 1), asked.set()])
    with service.lot._lock:
        other.start()
        assert asked.wait(30)
    other.join()


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
    (redrive,) = wait_until(service.lot.due, within_s=60)
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


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
def crash_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Ends the next process that comes to a failpoint of the lot, once."""

    def arm(name: str) -> None:
        def fail(reached: str) -> None:
            if reached == name:
                monkeypatch.setattr("tradewire.processors.parking.lot.failpoint", lambda _: None)
                raise Crash

        monkeypatch.setattr("tradewire.processors.parking.lot.failpoint", fail)

    return arm


def written(service: Service) -> int:
    """Letters in the topic, doubled ones counted twice."""
    counts = found_topics(service.settings.kafka, service.group)
    return len(list(read_letters(service.settings.kafka, service.group, counts[topic_of(service.group)])))


def test_gap_1_a_crash_between_state_and_letter_parks_the_record_without_trying_it_again(
    service: Service, crash_at: Callable[[str], None]
) -> None:
    service.publish((b"b", b"bad"), (b"b", b"2"))
    crash_at("parking.after_state")
    with pytest.raises(Crash):
        service.read_on()
    service.bad.clear()
    service.start()
    service.read_on()
    assert [] == service.handled
    assert [(0, b"bad", "failed"), (1, b"2", "parked-behind")] == service.letters()
    (letter, _) = service.operator.look().all_letters()
    assert "b'bad' is bad" in (letter.failure.message or "")


def test_gap_2_a_crash_between_letter_and_acknowledgement_writes_no_second_letter(
    service: Service, crash_at: Callable[[str], None]
) -> None:
    service.publish((b"b", b"bad"), (b"b", b"2"))
    crash_at("parking.after_letter")
    with pytest.raises(Crash):
        service.read_on()
    service.start()
    service.read_on()
    assert 2 == written(service)
    assert [(0, b"bad", "failed"), (1, b"2", "parked-behind")] == service.letters()


def test_gap_5_a_crash_in_a_redrive_goes_on_behind_what_was_recorded_and_in_order(service: Service) -> None:
    service.publish((b"b", b"bad"), (b"b", b"2"), (b"b", b"3"))
    service.read_on()
    service.bad.clear()
    service.ask()
    (redrive,) = wait_until(service.lot.due, within_s=60)
    first = next(redrive)
    service.handle(first)
    redrive.done(first)
    service.handle(next(redrive))
    service.lot.close()
    service.start()
    assert 1 == service.redrive()
    assert [(b"b", b"bad"), (b"b", b"2"), (b"b", b"2"), (b"b", b"3")] == service.handled, (
        "2 was not recorded: once more"
    )


def test_gap_6_a_crash_behind_a_redrive_that_is_not_committed_hands_nothing_over_again(
    service: Service, crash_at: Callable[[str], None]
) -> None:
    service.publish((b"b", b"bad"), (b"b", b"2"), (b"b", b"3"))
    service.read_on(commit=False)
    service.operator.discard([ParkedKey(service.topic, 1, None, 1)])
    service.bad.clear()
    service.ask()
    crash_at("parking.after_drained")
    with pytest.raises(Crash):
        service.redrive()
    service.start()
    service.publish((b"b", b"4"))
    service.read_on()
    assert [(b"b", b"bad"), (b"b", b"3"), (b"b", b"4")] == service.handled, "the discarded one stays away"
    assert {} == dict(service.lot.keys), "committed, so forgotten"


def test_the_next_owner_of_a_partition_knows_what_is_parked_and_redrives_it(service: Service) -> None:
    service.publish((b"b", b"bad"), (b"b", b"2"))
    service.read_on()
    first = service.lot
    first.revoked([(service.topic, 1)])
    with pytest.raises(NotOwned):
        first.park(service.log[1], ValueError("late"))
    service.start()
    service.bad.clear()
    service.ask()
    assert 1 == service.redrive()
    assert [(b"b", b"bad"), (b"b", b"2")] == service.handled
    assert [] == first.due()
    first.close()


def test_a_key_with_its_most_letters_halts_its_consumer_and_nothing_of_it_is_acknowledged(settings: Settings) -> None:
    service = Service(settings, parked_per_key_max=2)
    service.publish((b"b", b"bad"), (b"b", b"2"), (b"b", b"3"))
    with pytest.raises(ParkingFull, match="parked_per_key_max"):
        service.read_on()
    assert [0, 1] == [offset for offset, _, _ in service.letters()]
    service.lot.close()


def test_letters_that_retention_has_taken_are_told_and_can_be_given_up(service: Service) -> None:
    service.publish((b"b", b"bad"), (b"b", b"2"))
    service.read_on()
    counts = found_topics(service.settings.kafka, service.group)
    admin = AdminClient(service.settings.kafka.client_config())
    for future in admin.delete_records(
        [TopicPartition(topic_of(service.group), 1 % counts[topic_of(service.group)], 1)]
    ).values():
        future.result(60)
    service.bad.clear()
    service.ask()
    service.redrive()
    (key,) = service.operator.look().keys.values()
    assert (0, True) == (key.missing, "LettersMissing" in key.state.error)
    assert [] == service.handled
    service.operator.discard([ParkedKey(service.topic, 1, None, 0)])
    service.ask()
    service.redrive()
    assert [(b"b", b"2")] == service.handled
    assert {} == service.operator.look().keys
