"""What commands print is whole in a file or pipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.table import Table

from tradewire.operations.consoles import stdout_console

COMMANDS = Path(__file__).resolve().parents[2] / "operations" / "tradewire" / "operations" / "commands"
LONG = "value-without-a-space-" * 20


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    table = Table("short", "long")
    table.add_row("1", LONG)
    stdout_console().print(table)
    return capsys.readouterr().out.splitlines()


def test_a_table_in_a_pipe_is_as_wide_as_its_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rich would take 80 columns and cut what is longer."""
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = printed(capsys)
    assert 1 == sum(LONG in line for line in lines)
    assert max(map(len, lines)) < len(LONG) + 20


def test_columns_that_somebody_sets_are_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the width is wished."""
    monkeypatch.setenv("COLUMNS", "60")
    assert 60 >= max(map(len, printed(capsys)))


def test_commands_have_no_other_console_on_stdout() -> None:
    """A new command that makes its own would cut again."""
    own = [
        f"{file.name}: {line.strip()}"
        for file in sorted(COMMANDS.glob("*.py"))
        for line in file.read_text().splitlines()
        if re.search(r"(?<!\w)Console\((?!stderr=True)", line)
    ]
    assert [] == own
