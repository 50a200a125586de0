"""Groups that share the work, on a real broker."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.processors.running import Broker, RunningWorker
from tests.processors.workload import Workload
from tests.waiting import wait_until

from tradewire.processors.duties import PROJECTIONS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_three_groups_that_share_the_work_make_what_one_would(own_broker: Broker, tmp_path: Path) -> None:
    """Each leaves to the others what it was not told to do; together they do all."""

    def group(name: str, projections: str, correlation: str) -> RunningWorker:
        return RunningWorker(own_broker, name, tmp_path / name, projections=projections, correlation=correlation)

    def wait_until_made(worker: RunningWorker, *tables: str) -> None:
        # Every look reads whole topics, which the worker has to wait for.
        wait_until(lambda: _made(own_broker, *tables), within_s=150, every_s=0.5, alive=worker.process.poll)

    own_broker.publish(Workload(7, "duties.").events(400, orders_share=0.3))
    with group("prices", '["last_price", "candle"]', "false") as prices:
        wait_until_made(prices, "last_price", "candle")
        found = own_broker.read_models()
        assert {} == found["order"] == found["position"] == found["flow"]
        assert 0 == prices.stop()
    with group("orders", '["order", "position"]', "false") as orders:
        wait_until_made(orders, "order", "position")
        assert {} == own_broker.read_models()["flow"]
        assert 0 == orders.stop()
    with group("flows", "[]", "true") as flows:
        wait_until_made(flows, "flow")
    assert _made(own_broker, *PROJECTIONS)


def _made(broker: Broker, *tables: str) -> bool:
    """Whether tables hold something, and just what a fold of the log gives."""
    found, expected = broker.read_models(), broker.folded()
    return all(found[table] and found[table] == expected[table] for table in tables)


def test_a_worker_with_nothing_to_do_ends_and_says_so(own_broker: Broker, tmp_path: Path) -> None:
    """Exit code 2: starting it again would not help."""
    idle = RunningWorker(own_broker, "idle", tmp_path / "idle", correlation="false", projections="[]")
    with idle:
        assert 2 == idle.process.wait(150)
    assert "nothing to do" in idle.log_file.read_text()
