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


@pytest.mark.parametrize(
    "page", [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    """Every page that is named is there, and has the heading that is."""
    text = page.read_text()
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]+))?\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for file, heading in links:
        target = page.parent / file if file else page
        assert target.is_file(), file
        if heading:
            assert heading in headings(target.read_text()), f"{file}#{heading}"


def headings(page: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_make_targets_of_the_readme_exist() -> None:
    """The two commands, and any other that is shown."""
    targets = set(re.findall(r"^([a-z]+):", (REPO / "Makefile").read_text(), re.MULTILINE))

    assert {"demo", "test"} <= set(re.findall(r"\bmake ([a-z]+)", README)) <= targets
