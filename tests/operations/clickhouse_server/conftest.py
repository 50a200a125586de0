"""A running endpoint on a free port, and small ways to ask it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.client import Client


@dataclass
class Running:
    """An endpoint process with its data folder."""

    data: Path
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[str] = field(init=False)
    port: int = field(init=False, default=0)

    def start(self) -> Running:
        command = [
            sys.executable,
            "-m",
            "tradewire.operations.clickhouse_server",
            "--port",
            "0",
            "--data",
            str(self.data),
        ]
        self.process = subprocess.Popen([*command, *self.arguments], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found is not None, f"no address in {line!r}; exit code {self.process.poll()}"
        self.port = int(found.group(1))
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def post(self, sql: str | bytes, **parameters: object) -> httpx.Response:
        """POST with the statement as the body and everything else in the URL."""
        wanted = {name: str(value) for name, value in parameters.items()}
        return httpx.post(self.url, params=wanted, content=sql, timeout=60)

    def text(self, sql: str | bytes, **parameters: object) -> str:
        """The answer's text; fails the test on an error."""
        answer = self.post(sql, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.text

    def insert(
        self, into: str, body: bytes, headers: dict[str, str] | None = None, **parameters: object
    ) -> httpx.Response:
        """POST data with ``INSERT INTO …`` in the URL."""
        wanted = {"query": f"INSERT INTO {into}"} | {name: str(value) for name, value in parameters.items()}
        return httpx.post(self.url, params=wanted, content=body, headers=headers, timeout=60)

    def client(self, **settings: object) -> Client:
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, **settings)  # type: ignore[arg-type]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(60)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("endpoint") / "data").start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start endpoints of the test's own, on one data folder; they are stopped at the end."""
    started: list[Running] = []

    def start(*arguments: str) -> Running:
        running = Running(tmp_path / "data", arguments)
        started.append(running)
        return running.start()

    yield start
    for running in started:
        running.stop()
        if running.process.stdout is not None:
            running.process.stdout.close()


@pytest.fixture
def table(server: Running, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty MergeTree table (a Int64, s String) of the test's own."""
    name = "t_" + re.sub(r"\W", "_", request.node.name)[:80]
    server.text(f"CREATE TABLE {name} (a Int64, s String) ENGINE = MergeTree ORDER BY a")
    yield name
    server.text(f"DROP TABLE IF EXISTS {name} SYNC")
