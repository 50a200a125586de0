"""The `tradewire` command as a user meets it: what it prints, where, and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tradewire.core import Settings
from tradewire.operations.local_stack import environment_of


def tradewire(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tradewire.operations.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def addresses(settings: Settings) -> dict[str, str]:
    return environment_of(settings)


def test_help_names_every_command(tmp_path: Path) -> None:
    """One look shows what there is; every command has its own help."""
    shown = tradewire("--help", cwd=tmp_path).stdout

    for command in ("up", "down", "status", "demo", "feed", "replay", "schemas", "topics", "sql"):
        assert command in shown
        assert 0 == tradewire(command, "--help", cwd=tmp_path).returncode


def test_a_wrong_setting_is_one_line_on_stderr_and_exit_code_1(tmp_path: Path) -> None:
    """No traceback; the key is named; stdout stays empty for pipes."""
    (tmp_path / "tradewire.toml").write_text('[kafka]\nbootstrap = "x"\n')
    done = tradewire("topics", "list", cwd=tmp_path)

    assert (1, "") == (done.returncode, done.stdout)
    assert (
        "error: tradewire.toml: kafka.bootstrap: is not a setting; did you mean kafka.bootstrap_servers?"
        == done.stderr.strip()
    )


def test_up_starts_and_deletes_nothing_with_a_wrong_file(tmp_path: Path) -> None:
    """Not even the jars are fetched: the file's error is all there is, also with --reset."""
    (tmp_path / "tradewire.toml").write_text('[worker]\nflows_file = "mine.yaml"\n')
    (tmp_path / "mine.yaml").write_text("flows:\n  mine: { begins: trading.order.creatd, steps: [] }\n")
    kept = tmp_path / ".tradewire" / "kept"
    kept.parent.mkdir()
    kept.touch()
    done = tradewire("up", "--reset", cwd=tmp_path)

    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("error: mine.yaml: flows.mine: steps: ")
    assert [kept] == list(kept.parent.iterdir())


def test_up_starts_nothing_with_a_wrong_handler(tmp_path: Path) -> None:
    """Handlers are found as the worker finds them, from the working folder."""
    (tmp_path / "tradewire.toml").write_text('[worker]\nhandlers = ["desk"]\n')
    (tmp_path / "desk.py").write_text(
        "from tradewire.processors import subscribe\n@subscribe('trading.order.fild')\ndef filled(event): ...\n"
    )
    done = tradewire("up", cwd=tmp_path)

    assert (1, "") == (done.returncode, done.stdout)
    assert "'trading.order.fild' matches no event type" in done.stderr
    assert not (tmp_path / ".tradewire").exists()


def test_a_clickhouse_that_is_away_is_one_line_with_the_settings_to_look_at(tmp_path: Path) -> None:
    """Without what HTTP clients say of every attempt."""
    done = tradewire("sql", "SELECT 1", cwd=tmp_path, env={"TRADEWIRE_CLICKHOUSE__PORT": "1"})

    assert (1, "") == (done.returncode, done.stdout)
    assert (
        "error: ClickHouse at 127.0.0.1:1 does not answer: Connection refused. Is it up (`tradewire up` starts one), "
        "and are clickhouse.host and clickhouse.port right?" == done.stderr.strip()
    )


def test_a_broker_that_is_away_is_said_with_the_remedy(tmp_path: Path) -> None:
    """The address that was tried and the command that starts one."""
    done = tradewire("topics", "plan", cwd=tmp_path, env={"TRADEWIRE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})

    assert 1 == done.returncode
    assert "127.0.0.1:1" in done.stderr and "tradewire up" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_stack_is_a_message_and_exit_code_3(tmp_path: Path) -> None:
    """Scripts can tell "not running" from an error."""
    done = tradewire("status", cwd=tmp_path)

    assert 3 == done.returncode
    assert "tradewire up" in " ".join(done.stdout.split())


def test_a_schema_is_shown_as_json_on_stdout(tmp_path: Path) -> None:
    """It can be piped into any Avro tool."""
    done = tradewire("schemas", "show", "market.trade.reported", cwd=tmp_path)

    assert "TradeReported" == json.loads(done.stdout)["name"]
    assert 1 == tradewire("schemas", "show", "market.trade.report", cwd=tmp_path).returncode


def test_the_plan_is_empty_after_apply(addresses: dict[str, str], tmp_path: Path) -> None:
    """Topics of a broker that was set up are as declared; applying again changes nothing."""
    assert 0 == tradewire("topics", "apply", cwd=tmp_path, env=addresses).returncode
    planned = tradewire("topics", "plan", cwd=tmp_path, env=addresses)

    assert (0, True) == (planned.returncode, "as declared" in planned.stdout)


def test_registering_again_gives_the_same_ids(addresses: dict[str, str], tmp_path: Path) -> None:
    """Registration is an explicit act and can be repeated."""
    first = tradewire("schemas", "register", cwd=tmp_path, env=addresses)
    again = tradewire("schemas", "register", cwd=tmp_path, env=addresses)

    assert 0 == first.returncode
    assert "market.trade.reported v1" in first.stdout
    assert first.stdout == again.stdout


def test_two_settings_that_would_make_an_unreachable_stack_are_refused(tmp_path: Path) -> None:
    """A stack that clients look for elsewhere would look healthy and be empty."""
    done = tradewire("up", cwd=tmp_path, env={"TRADEWIRE_LOCAL__KAFKA_PORT": "19999"})

    assert 1 == done.returncode
    assert "kafka.bootstrap_servers" in done.stderr and "local.kafka_port" in done.stderr
