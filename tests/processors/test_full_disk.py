"""A worker whose data folder is on a full disk ends and says so; with room again it goes on, nothing lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import rocksdict
from tests.processors.running import Broker, RunningWorker, steps_about
from tests.processors.workload import Workload
from tests.small_disk import SmallDisk, small_disk_or_skip

from tradewire.core.errors import SettingsError
from tradewire.processors.data_folder import DataFolderFull, own_folder, with_cause
from tradewire.processors.worker import EXIT_CRASHED


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk_or_skip(tmp_path / "disk", 64) as made:
        yield made


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(500)
def test_a_worker_ends_by_name_of_its_folder_when_the_disk_is_full_and_goes_on_with_room(
    broker: Broker, disk: SmallDisk
) -> None:
    events = Workload(23, "full.").events(1_000_000, orders_share=0.1)
    published = broker.publish(itertools.islice(events, 300))
    worker = RunningWorker(broker, "full", disk.folder / "data", batch_rows_max=100)
    worker.log_file = disk.folder.parent / "worker.log"
    expected_hint = f"the disk of worker.data_folder {worker.folder} is full: make room"
    with worker:
        worker.wait_until_done()
        disk.fill()
        published += broker.publish(itertools.islice(events, 700))
        for ends in (1, 2):
            assert EXIT_CRASHED == worker.process.wait(150)
            assert worker.log_file.read_text().count(expected_hint) >= ends
            if ends == 2:
                disk.empty()
            worker.start()
        worker.wait_until_done()
        found = broker.assert_fold_of_the_log()
        assert steps_about(found, "full.") == published
        assert worker.stop() == 0


def test_what_rocksdb_says_of_a_full_disk_is_known_for_it(disk: SmallDisk) -> None:
    store = rocksdict.Rdict(str(disk.folder / "store"))
    disk.fill()

    with pytest.raises(Exception) as caught:
        for number in range(1_000):
            store[number] = bytes(10_000)

    assert "make room" in with_cause(repr(caught.value), disk.folder)


def test_a_worker_gets_no_name_on_a_full_disk_and_one_that_stays_with_room(disk: SmallDisk) -> None:
    """An empty file, which a write without room leaves, is no name either."""
    data = disk.folder / "data"
    data.mkdir()
    (data / "instance_id").touch()
    disk.fill()
    with pytest.raises(DataFolderFull, match=f"{data} is full: make room"), own_folder(data):
        pass
    disk.empty()

    with own_folder(data) as name:
        assert name.startswith("worker-")
    with own_folder(data) as again:
        assert name == again


def test_a_data_folder_that_cannot_be_used_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SettingsError, match=f"worker.data_folder {tmp_path}/file cannot be used"):
        with own_folder(tmp_path / "file"):
            pass


def test_other_reasons_are_told_as_they_are() -> None:
    assert "RuntimeError('x')" == with_cause("RuntimeError('x')", Path("data"))
    assert "No space left on device" == with_cause("No space left on device", None)
