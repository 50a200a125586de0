"""A publisher and its process: fork, and an exit without close."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.producers.records import Reader, headers_of

from tradewire.core import Settings, new_id

PRELUDE = """
from decimal import Decimal
from tradewire.core import load_settings
from tradewire.producers import Publisher, PublisherForked
from tradewire.schemas import Contract, FixedIds
contract = Contract.load(load_settings(), schema_ids=FixedIds())
publisher = Publisher(load_settings(), contract)
def publish(subject):
    return publisher.publish("system.component.started", {"component": "x"}, subject=subject)
"""


def run(script: str, settings: Settings, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a script in its own interpreter; fails when it hangs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRADEWIRE_")}
    environment["TRADEWIRE_KAFKA__BOOTSTRAP_SERVERS"] = settings.kafka.bootstrap_servers
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script), *arguments],
        env=environment, cwd=cwd, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit(0)"])
def test_a_publisher_is_refused_in_a_forked_child(settings: Settings, tmp_path: Path, leave: str) -> None:
    """The child gets a typed error instead of a hang, ends by itself, and the parent's publisher goes on."""
    script = f"""
        import os, sys
        publish("before").result(20)
        child = os.fork()
        if child == 0:
            try:
                publish("child")
            except PublisherForked as error:
                print("refused:", error, flush=True)
            print("closed:", publisher.close().unknown, flush=True)
            {leave}
        print("child ended with", os.waitpid(child, 0)[1], flush=True)
        publish("after").result(20)
        print("unknown:", publisher.close().unknown)
    """

    done = run(script, settings, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("refused: this publisher was made before fork()")
    assert lines[1:] == ["closed: 0", "child ended with 0", "unknown: 0"]


def test_a_fork_while_the_metrics_are_being_read(settings: Settings, tmp_path: Path) -> None:
    """A lock that another thread held at the fork does not hang the child."""
    script = """
        import os
        from tradewire.producers.metrics import METRICS
        publish("before").result(20)
        with METRICS._lock:
            child = os.fork()
            if child == 0:
                try:
                    publish("child")
                except PublisherForked:
                    os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        publisher.close()
    """

    done = run(script, settings, cwd=tmp_path)

    assert done.stdout.strip() == "7", done.stderr


def test_a_publisher_made_after_the_fork_works(settings: Settings, tmp_path: Path) -> None:
    """The child's own publisher delivers."""
    script = """
        import os
        child = os.fork()
        if child == 0:
            with Publisher(load_settings(), contract) as mine:
                mine.publish("system.component.started", {"component": "x"}, subject="child").result(20)
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        publisher.close()
    """

    done = run(script, settings, cwd=tmp_path)

    assert done.stdout.strip() == "7", done.stderr


def test_an_exit_without_close_loses_nothing(settings: Settings, reader: Reader, tmp_path: Path) -> None:
    """A program that forgets to close has its queue sent at exit."""
    subject, before = new_id(), reader.ends("system.events")
    script = """
        import sys
        import tradewire.producers.publisher as module
        module._EXIT_FLUSH_SECONDS = 60.0
        for _ in range(2_000):
            publish(sys.argv[1])
    """

    done = run(script, settings, subject, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    ids = {
        headers_of(message)["ce_id"]
        for message in reader.since("system.events", before)
        if message.key() == subject.encode()
    }
    assert len(ids) == 2_000


def test_an_exit_with_the_broker_away_says_what_is_unknown(settings: Settings, tmp_path: Path) -> None:
    """The count goes to the log, and the program ends."""
    script = """
        import tradewire.producers.publisher as module
        module._EXIT_FLUSH_SECONDS = 0.2
        lost = Publisher(load_settings(kafka={"bootstrap_servers": "127.0.0.1:9"}), contract)
        lost.publish("system.component.started", {"component": "x"}, subject="x")
    """

    done = run(script, settings, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "events unknown at exit" in done.stdout + done.stderr
