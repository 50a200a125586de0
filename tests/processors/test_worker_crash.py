"""kill -9 at any moment, and a folder that contradicts Kafka: the states end as if nothing had happened."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import rocksdict
from tests.processors.running import Broker, RunningWorker, steps_about
from tests.processors.workload import Workload
from tests.waiting import wait_until

from tradewire.processors import read_progress
from tradewire.processors.tables import TABLES
from tradewire.processors.worker import EXIT_CRASHED

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(400)]


def local_tables(folder: Path, broker: Broker) -> dict[str, dict[str, Any]]:
    """What the stopped worker has in its RocksDB files."""
    found: dict[str, dict[str, Any]] = {}
    for table in TABLES:
        found[table.name] = {}
        for path in folder.glob(f"faust/**/{table.name}-*.db"):
            store = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
            for key, value in store.items():
                if not key.startswith(b"__faust"):
                    found[table.name][key.decode()] = broker.contract.codec.decode(value).data
            store.close()
    return found


def put_ahead_of_its_topic(folder: Path) -> None:
    """What is left when a topic was made anew, or Kafka has lost records: the store has seen more than there is."""
    path = next(folder.glob("faust/**/order-*.db"))
    store = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
    store[b"__faust\0offset__"] = b"999999999"
    store.close()


def test_a_worker_killed_twice_in_mid_load_ends_with_the_fold_of_the_log(broker: Broker, tmp_path: Path) -> None:
    events = Workload(11, "kill.").events(1_000_000, orders_share=0.1)
    published = broker.publish(itertools.islice(events, 500))
    worker = RunningWorker(broker, "killed", tmp_path / "data", batch_rows_max=100)
    with worker:
        killed_in_mid_load = 0
        for _ in range(8):
            wait_until(lambda: read_progress(worker.folder), within_s=150, alive=worker.process.poll)
            published += broker.publish(itertools.islice(events, 1_500))
            worker.kill()
            # This process may have stood still until the worker had done it all: that proves nothing, so once more.
            killed_in_mid_load += worker.is_behind()
            (worker.folder / "progress.json").unlink()
            worker.start()
            if killed_in_mid_load == 2:
                break
        assert killed_in_mid_load == 2, "always killed too late to prove anything"
        worker.wait_until_done()
        found = broker.assert_fold_of_the_log()
        assert steps_about(found, "kill.") == published
        assert worker.stop() == 0
    assert local_tables(worker.folder, broker) == found
    put_ahead_of_its_topic(worker.folder)
    published += broker.publish(itertools.islice(events, 500))
    worker.start()
    assert worker.process.wait(150) == EXIT_CRASHED
    assert "local tables are dropped and rebuilt" in worker.log_file.read_text()
    assert local_tables(worker.folder, broker) == {table.name: {} for table in TABLES}
    with worker:
        worker.wait_until_done()
        rebuilt = broker.assert_fold_of_the_log()
        assert steps_about(rebuilt, "kill.") == published
        assert worker.stop() == 0
    # All of it, not only what the new events touched: the tables were rebuilt from their topics.
    assert local_tables(worker.folder, broker) == rebuilt
