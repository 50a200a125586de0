"""Starting, stopping and dying: what a client and the data see of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.operations.clickhouse_server.asking import query_is_running
from tests.operations.clickhouse_server.conftest import Running
from tests.small_disk import small_disk_or_skip
from tests.waiting import wait_until

from tradewire.operations.stack import free_ports

Launch = Callable[..., Running]
_SETTINGS = {"async_insert": 0, "deduplicate_blocks_in_dependent_materialized_views": 1}


def test_only_the_user_with_the_password_is_let_in(launch: Launch) -> None:
    """By header, by basic authentication and by parameters; nobody else, with 516 and status 403."""
    server = launch("--user", "desk", "--password", "s3cret")
    for good in (
        {"headers": {"X-ClickHouse-User": "desk", "X-ClickHouse-Key": "s3cret"}},
        {"auth": ("desk", "s3cret")},
        {"params": {"user": "desk", "password": "s3cret"}},
    ):
        assert httpx.post(server.url, content="SELECT 1", timeout=60, **good).text == "1\n"  # type: ignore[arg-type]
    for bad in ({}, {"auth": ("desk", "wrong")}, {"auth": ("default", "")}):
        refused = httpx.post(server.url, content="SELECT 1", timeout=60, **bad)  # type: ignore[arg-type]
        assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
    assert httpx.get(server.url + "ping", timeout=60).text == "Ok.\n"


def test_sigterm_lets_running_queries_end(launch: Launch) -> None:
    """An insert and a query that are on their way are answered; the exit code is 0."""
    server = launch()
    answers: list[httpx.Response] = []
    threads: list[threading.Thread] = []

    def runs() -> bool:
        """One that has ended before it was seen is asked again."""
        if not threads or not threads[-1].is_alive():
            asked = threading.Thread(target=lambda: answers.append(server.post("SELECT sleep(2.5)", query_id="slow")))
            threads.append(asked)
            asked.start()
        return query_is_running(server, "slow")

    wait_until(runs)
    assert server.stop() == 0
    threads[-1].join()
    assert answers[-1].text == "0\n"


def test_sigterm_kills_what_does_not_end_in_time(launch: Launch) -> None:
    """After the grace the client gets the engine's own error, and the process is gone."""
    server = launch("--grace-s", "0.2")
    answers: list[httpx.Response] = []
    endless = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"
    thread = threading.Thread(target=lambda: answers.append(server.post(endless, query_id="endless")))
    thread.start()
    wait_until(lambda: query_is_running(server, "endless"))
    assert server.stop() == 0
    thread.join()
    assert answers[0].headers["X-ClickHouse-Exception-Code"] == "394"


def test_data_and_tokens_survive_kill_9(launch: Launch) -> None:
    """What was answered is there, what is sent again with its token is not there twice, no lock is left behind."""
    server = launch()
    server.text("CREATE TABLE landing (a Int64) ENGINE = Null")
    server.text(
        "CREATE TABLE target (a Int64) ENGINE = MergeTree ORDER BY a"
        " SETTINGS non_replicated_deduplication_window = 1000"
    )
    server.text("CREATE MATERIALIZED VIEW feeds TO target AS SELECT a FROM landing")
    body = b"".join(b"%d\n" % i for i in range(1000))
    for rounds in range(4):
        for token in range(rounds + 1):
            answer = server.insert("landing FORMAT TSV", body, insert_deduplication_token=f"t{token}", **_SETTINGS)
            assert answer.status_code == 200
        server.kill()
        server = launch()
        assert server.text("SELECT count() FROM target") == f"{(rounds + 1) * 1000}\n"


def test_an_insert_killed_on_its_way_is_stored_whole_or_not_at_all(launch: Launch) -> None:
    """Sent again with the same token until it is answered, it is there exactly once."""
    server = launch()
    server.text(
        "CREATE TABLE target (a Int64) ENGINE = MergeTree ORDER BY a"
        " SETTINGS non_replicated_deduplication_window = 1000"
    )
    body = b"".join(b"%d\n" % i for i in range(500_000))
    for attempt in range(6):
        token = f"t{attempt}"

        def send(port: int = server.port, token: str = token) -> None:
            query = {"query": "INSERT INTO target FORMAT TSV", "insert_deduplication_token": token, "async_insert": "0"}
            try:
                httpx.post(f"http://127.0.0.1:{port}/", params=query, content=body, timeout=60)
            except httpx.HTTPError:
                return

        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(0.02 * attempt)  # not a wait: the point in the insert at which the process dies
        server.kill()
        thread.join()
        server = launch()
        assert int(server.text("SELECT count() FROM target")) in (attempt * 500_000, (attempt + 1) * 500_000)
        server.insert("target FORMAT TSV", body, insert_deduplication_token=token, async_insert=0)
        assert server.text("SELECT count() FROM target") == f"{(attempt + 1) * 500_000}\n"


def _refused(*arguments: str) -> str:
    command = [sys.executable, "-m", "tradewire.operations.clickhouse_server", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 1
    return done.stderr


def test_a_data_folder_has_one_process(launch: Launch) -> None:
    """A second one says so, and what to do."""
    server = launch()
    assert "Is another process using it?" in _refused("--port", "0", "--data", str(server.data))


def test_a_taken_port_is_named(launch: Launch, tmp_path: Path) -> None:
    """With the way out."""
    server = launch()
    said = _refused("--port", str(server.port), "--data", str(tmp_path / "other"))
    assert f"127.0.0.1:{server.port}" in said
    assert "--port" in said


def test_who_comes_to_the_native_port_is_sent_to_http_in_a_protocol_it_knows(launch: Launch) -> None:
    """A browser or library by a server's own words, a native client by an exception packet."""
    (port,) = free_ports(1)
    server = launch("--native-port", str(port))
    refused = httpx.get(f"http://127.0.0.1:{port}/?query=SELECT+1", timeout=60)
    assert 400 == refused.status_code
    assert f"Port {port} is for clickhouse-client program\r\nYou must use port {server.port}" in refused.text

    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"\x00\x11ClickHouse client" + bytes(8))
        answer = client.makefile("rb").read()
    assert b"\x02" + (48).to_bytes(4, "little") + b"\x0dDB::Exception" == answer[:19]
    assert f"use HTTP, port {server.port}".encode() in answer
    said = _refused("--port", "0", "--native-port", str(port), "--data", str(server.data.parent / "other"))
    assert f"Cannot listen on 127.0.0.1:{port}" in said and "another --native-port" in said


def test_a_folder_without_room_is_named(tmp_path: Path) -> None:
    """In one line, with the way out; with room it starts."""
    with small_disk_or_skip(tmp_path / "disk", 32) as disk:
        disk.fill()
        said = _refused("--port", "0", "--data", str(disk.folder / "data"))
        assert f"The ClickHouse data folder {disk.folder / 'data'} cannot be written" in said
        assert "Is its disk full" in said
        assert "Traceback" not in said
        disk.empty()

        running = Running(disk.folder / "data").start()
        try:
            assert "1\n" == running.text("SELECT 1")
        finally:
            running.stop()
            assert running.process.stdout is not None
            running.process.stdout.close()


def test_it_dies_with_its_parent_when_told_to(tmp_path: Path) -> None:
    """So that a killed supervisor leaves no engine behind that holds the folder."""
    command = [sys.executable, "-m", "tradewire.operations.clickhouse_server", "--port", "0", "--die-with-parent"]
    parent_code = (
        "import subprocess, sys, time\n"
        f"command = {[*command, '--data', str(tmp_path / 'data')]!r}\n"
        "child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not _alive(child))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(launch: Launch, number: signal.Signals) -> None:
    """Idle sessions and their temporary tables do not hold it."""
    server = launch()
    server.text("CREATE TEMPORARY TABLE tt (a Int8)", session_id="s")
    server.process.send_signal(number)
    assert server.process.wait(90) == 0
