"""A command of an extra that is not installed says which, and how to get it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("command", "absent", "extra"),
    [("worker", "uvloop", "processors"), ("sql", "clickhouse_connect", "sinks"), ("up", "psutil", "local")],
)
def test_a_missing_extra_is_one_line_and_no_traceback(command: str, absent: str, extra: str, tmp_path: Path) -> None:
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {absent!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
from tradewire.operations.cli import main
main([{command!r}])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )

    assert (1, "") == (done.returncode, done.stdout)
    assert "Traceback" not in done.stderr
    assert f"needs {absent}: install tradewire with the extra {extra}" in done.stderr
    assert f"'<checkout>[{extra}]'" in done.stderr
