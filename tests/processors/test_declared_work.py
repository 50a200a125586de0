"""What a worker is told to do is checked before it connects to anything or makes anything."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tradewire.core import Settings, SettingsError, load_settings
from tradewire.operations.commands import worker as worker_command
from tradewire.processors import SubscriptionInvalid
from tradewire.processors.declarations import DeclarationInvalid
from tradewire.processors.declared_work import EXIT_REFUSED, DeclaredWork
from tradewire.processors.worker import _main
from tradewire.schemas import Contract

NOWHERE = {"bootstrap_servers": "127.0.0.1:9"}
WRONG_FLOWS = "flows:\n  mine: { begins: trading.order.creatd, steps: [{ name: a, any_of: [trading.order.filled] }] }\n"
A_PATTERN = """patterns:
  bursts:
    count: 3
    of: [trading.order.rejected]
    within: 1 s
    raises: risk.alert.raised
"""
HANDLERS = """
from pathlib import Path
from tradewire.processors import subscribe

@subscribe("trading.order.filled")
def plain(event): ...

class Desk:
    def __init__(self):
        Path("called").touch()

    @subscribe("risk.alert.raised")
    def alert(self, event): ...
"""


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract.load(load_settings())


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "flows.yaml").write_text(WRONG_FLOWS)
    (tmp_path / "patterns.yaml").write_text(A_PATTERN)
    (tmp_path / "a_desk.py").write_text(HANDLERS)
    (tmp_path / "torn.py").write_text("def (")
    (tmp_path / "misspelt.py").write_text(
        "from tradewire.processors import subscribe\n@subscribe('trading.order.fild')\ndef filled(event): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("a_desk", "torn", "misspelt"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def settings_of(**worker: Any) -> Settings:
    return load_settings(kafka=NOWHERE, worker=worker)


@pytest.mark.parametrize(
    ("worker", "error", "said"),
    [
        ({"flows_file": "flows.yaml"}, DeclarationInvalid, "creatd"),
        ({"patterns_file": "none.yaml"}, DeclarationInvalid, r"none\.yaml"),
        ({"handlers": ["misspelt"]}, SubscriptionInvalid, "fild"),
        ({"handlers": ["torn"]}, SettingsError, "torn cannot be imported"),
        ({"projections": [], "correlation": False}, SettingsError, "nothing to do"),
    ],
)
def test_a_worker_with_a_wrong_file_connects_to_nothing_and_makes_nothing(
    worker: dict[str, Any], error: type[Exception], said: str, files: Path
) -> None:
    """No data folder, no topic: with the broker of this test the worker would wait for it."""
    with pytest.raises(error, match=said):
        asyncio.run(_main(settings_of(data_folder=files / "data", **worker)))
    assert not (files / "data").exists()


def test_a_check_alone_refuses_the_same_but_calls_no_factory(files: Path, contract: Contract) -> None:
    """A factory may need a database that `tradewire up` has yet to start."""
    DeclaredWork.check(settings_of(handlers=["a_desk:Desk"]), contract)
    assert not (files / "called").exists()
    DeclaredWork.load(settings_of(handlers=["a_desk:Desk"]), contract)
    assert (files / "called").exists()

    for handlers in (["misspelt"], ["torn"], ["a_desk:nothing"]):
        with pytest.raises((SettingsError, SubscriptionInvalid)):
            DeclaredWork.check(settings_of(handlers=handlers), contract)


def test_a_check_in_a_process_of_its_own_says_what_is_wrong(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `tradewire up` asks about handlers."""
    monkeypatch.setenv("TRADEWIRE_WORKER__HANDLERS", '["misspelt"]')
    done = subprocess.run(
        [sys.executable, "-m", "tradewire.processors.declared_work"],
        cwd=files,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert EXIT_REFUSED == done.returncode
    assert "trading.order.fild" in done.stderr


def test_the_names_of_what_runs_are_told(files: Path, contract: Contract) -> None:
    """The worker logs them when it runs."""
    work = DeclaredWork.load(settings_of(patterns_file="patterns.yaml", handlers=["a_desk"]), contract)
    assert {
        "projections": ["candle", "last_price", "order", "position"],
        "flows": ["order", "setup"],
        "patterns": ["bursts"],
        "handlers": ["plain"],
    } == work.names


def test_handlers_only_runs_the_handlers_alone(
    files: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever files of flows and patterns the settings name, right or wrong."""
    monkeypatch.setenv("TRADEWIRE_WORKER__FLOWS_FILE", "flows.yaml")
    monkeypatch.setenv("TRADEWIRE_WORKER__PATTERNS_FILE", "patterns.yaml")
    run: list[Settings] = []

    def run_worker(settings: Settings) -> int:
        run.append(settings)
        return 0

    monkeypatch.setattr(worker_command, "run_worker", run_worker)
    with pytest.raises(worker_command.typer.Exit):
        worker_command.worker(handlers=["a_desk:plain"], handlers_only=True)
    work = DeclaredWork.load(run[0], contract)
    assert {"projections": [], "flows": [], "patterns": [], "handlers": ["plain"]} == work.names
    assert (frozenset(), False) == (work.patterns.types, work.duties.correlation)
