"""What the worker leaves for others: its sign of life, and the records that it could not process."""

from __future__ import annotations

from pathlib import Path

from tests.processors.pure import PureWorker, Record
from tests.processors.workload import Workload

from tradewire.core import ManualClock
from tradewire.core.errors import MalformedRecord
from tradewire.processors import Progress, read_progress
from tradewire.processors.applied import At
from tradewire.processors.dead_letters import MESSAGE_CHARACTERS_MAX, dead_letter
from tradewire.processors.records import Cause, headers_of
from tradewire.schemas import Event, encode_headers


def test_there_is_no_sign_of_life_before_the_first_commit(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None


def test_the_sign_of_life_keeps_the_last_commit_of_every_partition(tmp_path: Path) -> None:
    clock = ManualClock(5)
    progress = Progress(tmp_path, clock)
    progress.committed({"a:0": 1, "b:0": 2})
    clock.time_ns = 9
    progress.committed({"a:0": 3})
    found = read_progress(tmp_path)
    assert found is not None
    assert (found["committed_at_ns"], found["committed"]) == (9, {"a:0": 3, "b:0": 2})


def test_a_dead_letter_is_the_record_byte_for_byte_and_why_it_is_here() -> None:
    record = Record("trading.events", 3, 42, 1, b"\xffkey", b"\x07junk", (("x", b"\xfe"), ("none", None)))
    letter = dead_letter(record, "workers", MalformedRecord("x" * 5_000))
    assert (letter.topic, letter.key, letter.value) == ("deadletter.workers", b"\xffkey", b"\x07junk")
    assert letter.headers[:2] == [("x", b"\xfe"), ("none", None)]
    headers = dict(letter.headers)
    assert headers["__dlq.errors.topic"] == b"trading.events"
    assert headers["__dlq.errors.partition"] == b"3"
    assert headers["__dlq.errors.offset"] == b"42"
    assert headers["__dlq.errors.group"] == b"workers"
    assert headers["__dlq.errors.delivery.count"] == b"1"
    message = headers["__dlq.errors.message"]
    assert message is not None and message.startswith(b"MalformedRecord: x")
    assert len(message) == MESSAGE_CHARACTERS_MAX


def test_a_tombstone_can_be_a_dead_letter() -> None:
    letter = dead_letter(Record("market.events", 0, 0, 1, b"k", None, ()), "workers", MalformedRecord("no value"))
    assert letter.value is None


def test_an_event_that_cannot_be_folded_is_still_a_step_of_its_flow() -> None:
    worker, made = PureWorker(), Workload()
    fill = {
        "order_id": "o1",
        "account": "a",
        "symbol": "S",
        "venue": "v",
        "fill_id": "f",
        "side": "UNKNOWN",
        "price": made._price(),
        "quantity": made._quantity(),
        "cumulative_quantity": made._quantity(),
        "leaves_quantity": made._quantity(),
        "fee": made._quantity(),
        "fill_time_ns": 1,
    }
    worker.publish(made._event("trading.order.filled", "o1", fill))
    assert len(worker.states["flow"]) == 1
    assert worker.states["position"] == {}
    (letter,) = worker.logs["deadletter.pure"]
    assert dict(letter.headers)["__dlq.errors.topic"] == b"positions.fills"


def test_the_envelope_of_an_output_is_that_of_an_event() -> None:
    cause = Cause("e1", "c1", 1_700_000_000_123_456_789, At("trading.events:0", 7))
    headers = headers_of("readmodel.order.changed", "tests", "o1", cause)
    event = Event(
        id=str((dict(headers)["ce_id"] or b"").decode()),
        type="readmodel.order.changed",
        data={},
        source="tests",
        subject="o1",
        time_ns=cause.time_ns,
        correlation_id="c1",
        causation_id="e1",
    )
    assert headers == encode_headers(event)
    assert headers == headers_of("readmodel.order.changed", "tests", "o1", cause)
    later = cause._replace(at=At("trading.events:0", 8))
    assert headers != headers_of("readmodel.order.changed", "tests", "o1", later)
