"""What is done about a verdict: who is ended, how, and who is left alone. The verdicts here are made up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import wait_until

from tradewire.core.errors import StackError
from tradewire.operations.stack import Restarts
from tradewire.operations.watching import RunningCommand, ToldProcess, WatchedPart, watch_forever
from tradewire.processors.liveness import Progress
from tradewire.processors.watchdog import Hang, Offsets, Place, Standing

STANDING = Standing(Hang.WORKER, {Place("trading.events", 3): Offsets(0, 9, 4)}, 61_000)
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


class MadeUpWatch:
    """Gives the verdicts it was given, one a look."""

    def __init__(self, *verdicts: Standing | None) -> None:
        self._verdicts = list(verdicts)
        self.restarts: list[Standing] = []

    def look(self) -> Standing | None:
        return self._verdicts.pop(0) if self._verdicts else None

    def restarted(self, standing: Standing) -> None:
        self.restarts.append(standing)


@pytest.fixture
def deaf() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not hear SIGTERM, reaped as soon as it is gone."""
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    reaper = threading.Thread(target=process.wait, daemon=True)
    reaper.start()
    yield process
    process.kill()
    reaper.join(60)


def test_a_process_that_does_not_hear_the_polite_word_is_killed(deaf: subprocess.Popen[bytes], tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pid_file.write_text(f"{deaf.pid}\n")
    ToldProcess.of_pid_file(pid_file).end(300)
    wait_until(lambda: deaf.returncode == -signal.SIGKILL)


def test_a_pid_that_belongs_to_a_younger_process_is_left_alone(deaf: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """The worker of that file is long gone, its number was given away."""
    pid_file = tmp_path / "pid"
    pid_file.write_text(str(deaf.pid))
    before = time.time() - 3_600
    os.utime(pid_file, (before, before))
    ToldProcess.of_pid_file(pid_file).end(0)
    assert deaf.poll() is None


@pytest.mark.parametrize("text", [None, "", "not a number"])
def test_a_file_that_names_nobody_ends_nobody(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "pid").write_text(text)
    ToldProcess.of_pid_file(tmp_path / "pid").end(0)


def test_the_worker_of_a_folder_is_the_one_that_wrote_it(tmp_path: Path) -> None:
    assert ToldProcess.of_worker(tmp_path)._told() is None
    Progress(tmp_path).begun("group", "worker-1", ["trading.events"])
    assert ToldProcess.of_worker(tmp_path)._told() == os.getpid()


def test_a_command_is_started_again_when_it_has_ended_and_when_it_hangs(tmp_path: Path) -> None:
    """It ends by itself the first time, hangs the second time, and is ended with the watchdog the third time."""
    runs = tmp_path / "runs"
    code = (
        f"open({str(runs)!r}, 'a').write('x'); import os, time; time.sleep(600 * (os.path.getsize({str(runs)!r}) > 1))"
    )
    command = RunningCommand([sys.executable, "-c", code], Restarts(delay_s_min=0.01, delay_s_max=0.02))
    watch: Any = MadeUpWatch()
    stopping = threading.Event()

    def look() -> Standing | None:
        size = runs.stat().st_size if runs.exists() else 0
        if size == 3:
            stopping.set()
        return STANDING if size == 2 and not watch.restarts else None

    watch.look = look
    assert watch_forever(watch, command, stopping, every_ms=10, stop_ms=5_000)
    assert watch.restarts == [STANDING]
    assert runs.read_text() == "xxx"
    assert command._process is not None and command._process.returncode == -signal.SIGTERM


def test_a_command_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no-such-program"):
        watch_forever(
            MadeUpWatch(), RunningCommand([str(tmp_path / "no-such-program")]), threading.Event(), every_ms=1, stop_ms=1
        )  # type: ignore[arg-type]


def test_without_anybody_to_end_the_first_hang_ends_the_watch() -> None:
    watch: Any = MadeUpWatch(None, None, STANDING)
    assert not watch_forever(watch, None, threading.Event(), every_ms=1, stop_ms=1)


def test_a_part_of_the_stack_is_not_well_while_its_commits_stand_and_begins_anew_after_its_end() -> None:
    watch: Any = MadeUpWatch(None, STANDING, STANDING, None)
    part = WatchedPart(watch, lambda: None)
    assert part.pending() is None
    assert "the worker commits nothing for 61 s (trading.events/3)" == part.pending()
    assert part.pending() is not None
    part.ended(-9)
    part.ended(-9)
    assert watch.restarts == [STANDING]
    assert part.pending() is None
