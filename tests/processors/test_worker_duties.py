"""Two groups that share the work on a real broker: one projects, one correlates."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.processors.running import Broker, RunningWorker
from tests.processors.workload import Workload
from tests.waiting import wait_until

from tradewire.processors.duties import PROJECTIONS

pytestmark = pytest.mark.slow


def test_two_groups_that_share_the_work_make_what_one_would(own_broker: Broker, tmp_path: Path) -> None:
    """A worker without correlation writes no flow, one without projections no read model; together they do all."""
    projecting = RunningWorker(own_broker, "projecting", tmp_path / "projecting", correlation="false")
    correlating = RunningWorker(own_broker, "correlating", tmp_path / "correlating", projections="[]")
    own_broker.publish(Workload(7, "duties.").events(400, orders_share=0.3))

    with projecting:
        wait_until(lambda: _made(own_broker, *PROJECTIONS), within_s=90, alive=projecting.process.poll)
        assert {} == own_broker.read_models()["flow"]
        assert 0 == projecting.stop()
    with correlating:
        wait_until(lambda: _made(own_broker, "flow"), within_s=90, alive=correlating.process.poll)
    assert _made(own_broker, *PROJECTIONS)


def _made(broker: Broker, *tables: str) -> bool:
    """Whether tables hold something, and just what a fold of the log gives."""
    found, expected = broker.read_models(), broker.folded()
    return all(found[table] and found[table] == expected[table] for table in tables)


def test_a_worker_with_nothing_to_do_ends_and_says_so(own_broker: Broker, tmp_path: Path) -> None:
    """Exit code 2: starting it again would not help."""
    idle = RunningWorker(own_broker, "idle", tmp_path / "idle", correlation="false", projections="[]")
    with idle:
        assert 2 == idle.process.wait(60)
    assert "nothing to do" in idle.log_file.read_text()
