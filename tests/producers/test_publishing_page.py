"""What docs/publishing.md shows and claims is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tradewire.core import Settings
from tradewire.core.settings import PublisherSettings
from tradewire.operations.local_stack import environment_of

REPO = Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs" / "publishing.md").read_text()
TABLE = PAGE.split("## What happens when…")[1]


def test_the_code_of_the_page_runs_from_top_to_bottom(settings: Settings, tmp_path: Path) -> None:
    """As a reader would type it in, in one process."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    code = "\n".join([*blocks, "assert publisher.close(30).unknown == 0"])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **environment_of(settings)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert len(blocks) >= 7
    assert 0 == done.returncode, done.stderr
    assert done.stdout.startswith("Position(topic='trading.events'")


def test_every_row_of_the_failure_table_names_a_test_that_exists() -> None:
    """A claim without a test is a hope."""
    rows = [line for line in TABLE.splitlines() if line.startswith("| ") and not line.startswith("| when…")]
    files = {file.name: file.read_text() for file in (REPO / "tests").rglob("test_*.py")}
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named, row
        assert [] == [(file, test) for file, test in named if f"def {test}(" not in files.get(file, "")], row

    assert len(rows) >= 20


def test_the_settings_table_has_every_setting_with_its_default() -> None:
    """By name, and none that is not there."""
    part = PAGE.split("## Settings")[1].split("## Watching it")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", part, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}

    assert named == set(PublisherSettings.model_fields)


def test_the_pages_links_lead_somewhere() -> None:
    """Relative to the folder of the page."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)

    assert links
    assert [] == [link for link in links if not (REPO / "docs" / link).is_file()]
