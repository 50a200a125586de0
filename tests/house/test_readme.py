"""What the README shows works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tradewire.core import Settings
from tradewire.operations.local_stack import environment_of

REPO = Path(__file__).resolve().parents[2]
README = (REPO / "README.md").read_text()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_the_code_of_the_readme_runs(code: str, settings: Settings, tmp_path: Path) -> None:
    """The first event of a newcomer reaches Kafka."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **environment_of(settings)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert done.stdout.startswith("Position(topic='trading.events'")


def test_links_of_the_readme_lead_somewhere() -> None:
    """Every page that is named is there."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)

    assert links
    assert [] == [link for link in links if not (REPO / link).is_file()]


def test_make_targets_of_the_readme_exist() -> None:
    """The two commands, and any other that is shown."""
    targets = set(re.findall(r"^([a-z]+):", (REPO / "Makefile").read_text(), re.MULTILINE))

    assert {"demo", "test"} <= set(re.findall(r"\bmake ([a-z]+)", README)) <= targets
