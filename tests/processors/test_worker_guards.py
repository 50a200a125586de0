"""Guards of the worker against Faust and aiokafka, on a real broker; each test fails without its guard."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from tests.processors.running import Broker, RunningWorker
from tests.processors.test_faust_faults import order_events
from tests.processors.workload import Workload

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(500)]

FAULTY = Path(__file__).with_name("faulty_worker.py")


def test_f12_what_was_dropped_in_a_recovery_is_fetched_again_before_the_tables_count_as_whole(
    own_broker: Broker, tmp_path: Path
) -> None:
    """A worker that has lost its tables, which drops the newest state of orders on its way; then each order goes on.

    Without the watch the recovery never ends; with one that only ends it, an order would begin anew at its last event.
    """
    broker, made = own_broker, Workload(71, "dropped.")
    orders = [order_events(made, f"dropped.{number}") for number in range(12)]
    worker = RunningWorker(broker, "dropper", tmp_path / "data", session_timeout_ms=15_000)
    with worker:
        broker.publish(event for events in orders for event in events[:-1])
        worker.wait_until_done()
        worker.kill()
        shutil.rmtree(worker.folder / "faust")
        worker.start([str(FAULTY)], TRADEWIRE_TEST_DROP="readmodel.order.v1")
        broker.publish(events[-1] for events in orders)
        worker.wait_until_done()
        found, expected = broker.read_models(), broker.folded()
        assert [3] * len(orders) == [expected["order"][events[0].subject]["event_count"] for events in orders]
        for table in expected:
            assert found[table] == expected[table], table
        assert worker.log_file.read_text().count("records of a changelog were fetched and dropped") >= 1
        assert worker.stop() == 0


def test_f17_a_worker_goes_on_by_itself_after_its_connections_break_and_the_broker_is_killed(
    own_broker: Broker, tmp_path: Path
) -> None:
    """What stops plain Faust for good (``test_faust_faults``): no watchdog here, and the process is the same one."""
    broker, made = own_broker, Workload(72, "torn.")
    worker = RunningWorker(broker, "torn", tmp_path / "data", session_timeout_ms=15_000)
    worker.start([str(FAULTY)])
    with worker:
        broker.publish(made.events(20))
        worker.wait_until_done()
        worker.process.send_signal(signal.SIGUSR1)
        broker.publish(made.events(20))
        worker.wait_until_done()
        broker.kafka.kill()
        broker.kafka.start(timeout_s=150)
        broker.publish(made.events(20))
        worker.wait_until_done()
        found, expected = broker.read_models(), broker.folded()
        for table in expected:
            assert found[table] == expected[table], table
        assert worker.stop() == 0
