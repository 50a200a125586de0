"""Processes that faults happen to: one that is started again whenever it ends, and the engine."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.waiting import http_answers, wait_until

from tradewire.operations.stack import Child, free_ports, start_child

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
    """The ClickHouse engine, always on the same port and data."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._folder = folder
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        assert self._child is not None
        return self._child

    def start(self) -> None:
        """Does not wait until it answers."""
        command = [sys.executable, "-m", "tradewire.operations.clickhouse_server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--data", str(self._folder / "data")]
        self._child = start_child(command, name="engine", log_file=self._folder / "engine.log")

    def wait_ready(self) -> None:
        wait_until(lambda: http_answers(f"http://127.0.0.1:{self.port}/ping"), within_s=120, alive=self.child.poll)

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
