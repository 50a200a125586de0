"""Processes that faults happen to: one that is started again whenever it ends, and the engine on a disk of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.waiting import http_answers, wait_until

from tradewire.operations.stack import Child, free_ports, start_child

_DISK_MB = 512
# To end by itself on trouble is allowed, to end all the time is not.
_RESTARTS_MAX = 8


class Part:
    """A process that is to run: started again when it has ended by itself."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name, self._command, self._environment, self._folder = name, command, environment, folder
        self.log_file = folder / f"{name}.log"
        self.wanted = False
        self.restarts = 0
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        assert self._child is not None, f"{self.name} was never started"
        return self._child

    @property
    def ran(self) -> bool:
        """Whether it was ever started."""
        return self._child is not None

    @property
    def ended(self) -> bool:
        """Whether it was started and is no more."""
        return self._child is not None and self._child.poll() is not None

    def start(self) -> None:
        self.wanted = True
        self._child = start_child(
            [sys.executable, "-m", *self._command],
            name=self.name, log_file=self.log_file, env=self._environment, cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def kill(self) -> None:
        """kill -9."""
        self.wanted = False
        self.child.kill()

    def hang(self) -> None:
        self.child.signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.child.signal(signal.SIGCONT)

    def leave(self) -> None:
        """SIGTERM; does not wait."""
        self.wanted = False
        self.child.signal(signal.SIGCONT)
        self.child.signal(signal.SIGTERM)

    def look(self) -> None:
        """Starts it again if it has ended."""
        if self.wanted and self.ended:
            self.restarts += 1
            assert self.restarts <= _RESTARTS_MAX, f"{self.name} keeps ending:\n{self.child.log_tail(30)}"
            self.start()


class Engine:
    """The ClickHouse engine, with its data on a small disk of its own where one can be made."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._folder, self._child = folder, None
        self.disk = folder / "disk"
        self.disk.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", str(self.disk)]
        self.has_disk = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0

    def start(self) -> None:
        command = [sys.executable, "-m", "tradewire.operations.clickhouse_server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--data", str(self.disk / "data")]
        self._child = start_child(command, name="engine", log_file=self._folder / "engine.log")

    @property
    def child(self) -> Child:
        assert self._child is not None
        return self._child

    def wait_ready(self) -> None:
        wait_until(lambda: http_answers(f"http://127.0.0.1:{self.port}/ping"), within_s=60, alive=self.child.poll)

    def fill(self) -> None:
        """Leaves no room on the disk."""
        with (self.disk / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, shutil.disk_usage(self.disk).free)

    def empty(self) -> None:
        (self.disk / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
        if self.has_disk:
            subprocess.run(["umount", "-l", str(self.disk)], check=True)
