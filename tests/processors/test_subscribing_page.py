"""What docs/processing.md shows and claims of subscribers is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tradewire.core import Settings
from tradewire.core.settings import SubscriberSettings
from tradewire.operations.local_stack import environment_of
from tradewire.processors.retries import RetryPolicy

REPO = Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs" / "processing.md").read_text()
SECTION = PAGE.split("## Subscribe from a service\n")[1].split("\n## ")[0]


@pytest.mark.timeout(400)
def test_the_code_of_the_section_runs_from_top_to_bottom(settings: Settings, tmp_path: Path) -> None:
    """As a reader would type it in, in one process. The topics are those of other tests too: it begins with now."""
    blocks = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    environment = {**os.environ, **environment_of(settings), "TRADEWIRE_SUBSCRIBER__BEGIN": "latest"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert 2 == len(blocks)
    assert 0 == done.returncode, done.stderr
    assert "mail: a-1 orders a lot of BTCUSDT" in done.stdout, done.stderr


def test_every_row_of_the_failure_table_names_a_test_that_exists() -> None:
    """A claim without a test is a hope."""
    table = SECTION.split("### What happens when a subscriber…")[1].split("\n\n")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| when…")]
    files = {file.name: file.read_text() for file in (REPO / "tests").rglob("test_*.py")}
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named, row
        assert [] == [(file, test) for file, test in named if f"def {test}(" not in files.get(file, "")], row

    assert len(rows) >= 14


def test_the_settings_table_has_every_setting_with_its_default() -> None:
    """By name and value, and none that is not there."""
    table = SECTION.split("| setting (`subscriber.…`) | default | meaning |")[1].split("\n\n")[0]
    found: dict[str, str] = {}
    for names, defaults in re.findall(r"^\| (`.*?) \| (.*?) \|", table, re.MULTILINE):
        found |= zip(re.findall(r"`(\w+)`", names), re.split(r", (?=\d)", defaults.replace("`", "")), strict=True)

    assert {name: str(value) for name, value in SubscriberSettings().model_dump().items()} == {
        name: default.replace(",", "") for name, default in found.items()
    }


def test_a_retry_policy_has_the_defaults_of_the_settings() -> None:
    """One of its own for a handler differs from the subscriber's only in what it names."""
    limits, policy = SubscriberSettings(), RetryPolicy()

    assert (limits.retry_attempts_max, limits.retry_base_ms, limits.retry_cap_ms, limits.retry_total_ms_max) == (
        policy.attempts_max,
        policy.base_ms,
        policy.cap_ms,
        policy.total_ms_max,
    )
