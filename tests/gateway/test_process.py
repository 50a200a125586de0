"""``python -m tradewire.gateway`` as a process: it starts whoever is away, ends on SIGTERM, and says what is wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.waiting import http_answers, wait_until

from tradewire.gateway.__main__ import _is_loopback
from tradewire.operations.stack import free_ports


def start(folder: Path, settings: Mapping[str, str]) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRADEWIRE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "tradewire.gateway"],
        env=environment | {f"TRADEWIRE_{name}": value for name, value in settings.items()},
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_answers_alone_and_ends_in_good_order(tmp_path: Path) -> None:
    """No broker, no registry, no ClickHouse: it listens on loopback, and SIGTERM ends it with 0."""
    kafka, registry, clickhouse, port = free_ports(4)
    process = start(
        tmp_path,
        {
            "KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka}",
            "REGISTRY__URL": f"http://127.0.0.1:{registry}",
            "CLICKHOUSE__PORT": str(clickhouse),
            "GATEWAY__PORT": str(port),
        },
    )
    try:
        wait_until(lambda: http_answers(f"http://127.0.0.1:{port}/health/live"), within_s=90, alive=process.poll)
        process.send_signal(signal.SIGTERM)

        assert 0 == process.wait(90)
    finally:
        process.kill()
        process.communicate()


def test_a_port_that_is_taken_ends_it_with_the_reason(tmp_path: Path) -> None:
    """Exit code 1, and the port is named on stderr."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(tmp_path, {"GATEWAY__PORT": str(port)})
        _, said = process.communicate(timeout=90)

    assert 1 == process.returncode
    assert str(port) in said


def test_a_wrong_setting_ends_it_with_the_reason(tmp_path: Path) -> None:
    """Exit code 1, and the setting is named on stderr, without a stack."""
    process = start(tmp_path, {"GATEWAY__PROT": "1"})
    _, said = process.communicate(timeout=90)

    assert 1 == process.returncode
    assert "TRADEWIRE_GATEWAY__PROT" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("db", False)],
)
def test_only_loopback_is_silent(host: str, loopback: bool) -> None:
    """Anything else is warned about in the log: this form has no authentication."""
    assert loopback is _is_loopback(host)
