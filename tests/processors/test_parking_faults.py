"""Dead letters of the worker when things go wrong around them: no more room, a broker that is killed, an old schema."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.processors.running import Broker, RunningWorker
from tests.processors.test_faust_faults import order_events
from tests.processors.test_worker_parking import JUNK, folded
from tests.processors.workload import Workload
from tests.schemas.versions import before
from tests.waiting import wait_until

from tradewire.processors.dead_letters import topic_of
from tradewire.processors.parking.operating import Operator, Seen
from tradewire.processors.worker import EXIT_CRASHED
from tradewire.schemas import Catalogue, Codec, Event, encode_headers

REJECTED = "trading.order.rejected"
FAULTY = Path(__file__).with_name("faulty_worker.py")
pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(600)]


def orders_of(made: Workload, count: int) -> list[list[Event]]:
    """Orders of at least five events each."""
    orders: dict[str, list[Event]] = {}
    while sum(len(events) >= 5 for events in orders.values()) < count:
        for event in made.events(1, orders_share=1):
            orders.setdefault(event.subject, []).append(event)
    return [events[:5] for events in orders.values() if len(events) >= 5][:count]


# What the values should have been that cannot be read, of all tests of this file: they share a broker and its logs.
CORRECTED: dict[bytes | None, bytes] = {}


def poison(broker: Broker, events: Iterable[Event]) -> None:
    """Publishes an order whose first event cannot be read."""
    first, *others = events
    junk = JUNK + first.subject.encode()
    CORRECTED[junk] = broker.contract.codec.encode(first.type, first.data, "trading.events")
    broker.produce("trading.events", first.subject.encode(), junk, encode_headers(first))
    broker.publish(others)


def redrive_corrected(operator: Operator, key: str) -> None:
    """Corrects the first letter of a key and asks for a re-drive."""
    (seen,) = [one for one in operator.look().keys.values() if one.key.key == key.encode()]
    operator.edit(seen.letters[0], operator.new_edit(CORRECTED[seen.letters[0].value], None))
    operator.redrive(operator.requests([seen]))


def is_parked(operator: Operator, key: str) -> bool:
    return any(one.key.key == key.encode() for one in operator.look().keys.values())


def offsets_of(seen: Seen, key: str) -> list[tuple[int, str | None]]:
    (found,) = [one for one in seen.keys.values() if one.key.key == key.encode()]
    return [(letter.offset, letter.failure.kind) for letter in found.letters]


def assert_read_models(broker: Broker) -> None:
    """They are what a plain fold makes of the logs, corrected."""
    found, expected = broker.read_models(), folded(broker, CORRECTED)
    for table in expected:
        assert expected[table] == found[table], table


def test_a_key_without_room_halts_the_worker_until_an_operator_or_a_higher_bound_makes_some(
    own_broker: Broker, tmp_path: Path
) -> None:
    """Five events of one order, of which three may wait: what precedes the fourth stands, and no more is committed."""
    broker = own_broker
    order, second, other = orders_of(Workload(81, "full."), 3)
    key = order[0].subject
    worker = RunningWorker(broker, "full", tmp_path / "data", parked_per_key_max=3, session_timeout_ms=10_000)
    broker.publish(other)
    poison(broker, order)

    def halts(times: int, order: list[Event] = order) -> None:
        (at,) = [one for one in broker.log("trading.events") if dict(one.headers)["ce_id"] == order[3].id.encode()]
        assert worker.process.wait(150) == EXIT_CRASHED
        said = [line for line in worker.log_file.read_text().splitlines() if "parked_per_key_max" in line]
        assert len(said) == times
        assert f"offset {at.offset}" in said[-1] and "tradewire dlq redrive" in said[-1]
        assert broker.committed("full", at.topic, at.partition) <= at.offset

    try:
        worker.start()
        halts(1)
        operator = Operator(broker.settings.kafka, "full", by="test")
        letters = offsets_of(operator.look(), key)
        assert ["failed", "parked-behind", "parked-behind"] == [kind for _, kind in letters]
        # Nobody has made room: the same again, and no letter twice.
        worker.start()
        halts(2)
        assert letters == offsets_of(operator.look(), key)
        # A correction that a re-drive takes: the worker comes to the record at once, and makes room first.
        redrive_corrected(operator, key)
        worker.start()
        worker.wait_until_done()
        # What came while its letters were folded may have become letters that are committed and not yet folded.
        wait_until(lambda: not operator.look().keys, within_s=120, every_s=0.2, alive=worker.process.poll)
        worker.wait_until_done()
        assert_read_models(broker)
        assert broker.read_models()["order"][key]["event_count"] == len(order)
        # Another order, of which all may wait once the bound is higher.
        poison(broker, second)
        halts(3, second)
        worker.start(TRADEWIRE_WORKER__PARKED_PER_KEY_MAX="5")
        worker.wait_until_done()
        assert len(offsets_of(operator.look(), second[0].subject)) == len(second)
        redrive_corrected(operator, second[0].subject)
        wait_until(lambda: not operator.look().keys, within_s=120, every_s=0.2, alive=worker.process.poll)
        worker.wait_until_done()
        assert_read_models(broker)
        assert worker.stop() == 0
    finally:
        if worker.process.poll() is None:
            worker.kill()


def letters_written(broker: Broker, group: str) -> int:
    """Records in the topic of a group's letters, by their offsets."""
    return broker.end_of(topic_of(group))


@pytest.mark.long
def test_a_broker_killed_while_a_worker_parks_a_key_costs_no_letter_and_none_is_doubled_or_out_of_order(
    own_broker: Broker, tmp_path: Path
) -> None:
    """Letter by letter; whether the worker lives through it or ends and is started again."""
    broker = own_broker
    order = order_events(Workload(82, "cut."), "cut.often", parts=400)
    key = order[0].subject
    worker = RunningWorker(broker, "cut", tmp_path / "data", batch_rows_max=1, session_timeout_ms=30_000)
    with worker:
        broker.publish(Workload(83, "cut.").events(10))
        worker.wait_until_done()
        before = letters_written(broker, "cut")
        poison(broker, order)
        wait_until(lambda: letters_written(broker, "cut") > before, within_s=90, every_s=0, alive=worker.process.poll)
        broker.kafka.kill()
        broker.kafka.start(timeout_s=150)
        assert letters_written(broker, "cut") < before + len(order), "killed too late to prove anything"
        worker.wait_supervised(lambda: worker.behind() == 0, within_s=150)
        operator = Operator(broker.settings.kafka, "cut", by="test")
        at = [one.offset for one in broker.log("trading.events") if one.key == key.encode()]
        kinds = ["failed", *["parked-behind"] * (len(order) - 1)]
        assert offsets_of(operator.look(), key) == list(zip(at, kinds, strict=True))
        redrive_corrected(operator, key)
        wait_until(lambda: not is_parked(operator, key), within_s=150, every_s=0.2, alive=worker.process.poll)
        worker.wait_until_done()
        assert_read_models(broker)
        assert worker.stop() == 0


def test_a_redrive_that_is_cut_off_and_asked_for_again_folds_each_letter_once_an_old_schema_in_the_newest(
    own_broker: Broker, tmp_path: Path
) -> None:
    """A rejection of v1, whose reason was free text, behind an order that cannot be read.

    The worker ends when what it made of the letters stands and their place does not.
    """
    broker, made = own_broker, Workload(84, "old.")
    (created, *_) = order_events(made, "old.order")
    base = {name: created.data[name] for name in ("order_id", "account", "symbol", "venue")}
    rejected = made._event(REJECTED, "old.order", base | {"reason": "no margin left", "rejected_by": "RISK"}, created)
    worker = RunningWorker(broker, "old", tmp_path / "data")
    worker.start([str(FAULTY)], TRADEWIRE_TEST_DIE_IN_REDRIVE="1")
    with worker:
        poison(broker, [created])
        broker.produce("trading.events", b"old.order", in_v1(broker, rejected), encode_headers(rejected))
        worker.wait_until_done()
        operator = Operator(broker.settings.kafka, "old", by="test")
        assert ["failed", "parked-behind"] == [kind for _, kind in offsets_of(operator.look(), "old.order")]
        redrive_corrected(operator, "old.order")
        assert worker.process.wait(150) == EXIT_CRASHED
        assert broker.read_models()["order"]["old.order"]["event_count"] == 2
        (asked,) = [one for one in operator.look().keys.values() if one.key.key == b"old.order" and one.request]
        worker.start()
        wait_until(lambda: not is_parked(operator, "old.order"), within_s=150, every_s=0.2, alive=worker.process.poll)
        assert asked.request is not None
        operator.redrive([(asked, asked.request)])
        broker.publish([made.trade()])
        worker.wait_until_done()
        assert_read_models(broker)
        order = broker.read_models()["order"]["old.order"]
        assert ("REJECTED", "no margin left", 2) == (order["status"], order["reason"], order["event_count"])
        assert worker.stop() == 0


def in_v1(broker: Broker, event: Event) -> bytes:
    """The value as a service writes it that knows the first version only."""
    contract = broker.contract
    return Codec(before(Catalogue.load()), contract.schema_ids).encode(event.type, event.data, "trading.events")
