"""Dead letters of the worker when things go wrong around them: no more room, a broker that is killed, an old schema."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.processors.running import Broker, RunningWorker
from tests.processors.test_worker_parking import JUNK, folded
from tests.processors.workload import Workload

from tradewire.processors.parking.operating import Operator, Seen
from tradewire.processors.worker import EXIT_CRASHED
from tradewire.schemas import Event, encode_headers

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(300)]


def orders_of(made: Workload, count: int) -> list[list[Event]]:
    """Orders of at least five events each."""
    orders: dict[str, list[Event]] = {}
    while sum(len(events) >= 5 for events in orders.values()) < count:
        for event in made.events(1, orders_share=1):
            orders.setdefault(event.subject, []).append(event)
    return [events[:5] for events in orders.values() if len(events) >= 5][:count]


def poison(broker: Broker, events: Iterable[Event]) -> bytes:
    """Publishes an order whose first event cannot be read; returns what it should have been."""
    first, *others = events
    broker.produce("trading.events", first.subject.encode(), JUNK, encode_headers(first))
    broker.publish(others)
    return broker.contract.codec.encode(first.type, first.data, "trading.events")


def offsets_of(seen: Seen, key: str) -> list[tuple[int, str | None]]:
    (found,) = [one for one in seen.keys.values() if one.key.key == key.encode()]
    return [(letter.offset, letter.failure.kind) for letter in found.letters]


def assert_read_models(broker: Broker, corrected: dict[bytes | None, bytes]) -> None:
    found, expected = broker.read_models(), folded(broker, corrected)
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
    good = poison(broker, order)

    def halts(times: int, order: list[Event] = order) -> None:
        (at,) = [one for one in broker.log("trading.events") if dict(one.headers)["ce_id"] == order[3].id.encode()]
        assert worker.process.wait(120) == EXIT_CRASHED
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
        (seen,) = operator.look().keys.values()
        operator.edit(seen.letters[0], operator.new_edit(good, None))
        operator.redrive(operator.requests([seen]))
        worker.start()
        worker.wait_until_done(120)
        assert {} == operator.look().keys
        assert_read_models(broker, {JUNK: good})
        assert broker.read_models()["order"][key]["event_count"] == len(order)
        # Another order, of which all may wait once the bound is higher.
        poison(broker, second)
        halts(3, second)
        worker.start(TRADEWIRE_WORKER__PARKED_PER_KEY_MAX="5")
        worker.wait_until_done(120)
        assert len(offsets_of(operator.look(), second[0].subject)) == len(second)
        assert worker.stop() == 0
    finally:
        if worker.process.poll() is None:
            worker.kill()
