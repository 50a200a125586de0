"""docs/settings.md and `tradewire settings` have every setting as the models have it."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tradewire.core import Settings
from tradewire.operations.commands.settings import settings
from tradewire.operations.settings_page import meanings, sections, settings_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
app = typer.Typer()
app.command()(settings)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_every_setting_has_a_meaning_and_none_is_left_over() -> None:
    assert {name: set(model.model_fields) for name, model in sections().items()} == {
        name: set(said) for name, said in meanings().items()
    }
    assert set(Settings.model_fields) == set(sections())


def test_the_page_is_up_to_date() -> None:
    """`make generate` writes it."""
    assert settings_page() == PAGE.read_text(encoding="utf-8")
    checked = CliRunner().invoke(app, ["--output", str(PAGE), "--check"])
    assert 0 == checked.exit_code, checked.output


def test_a_page_that_is_not_up_to_date_is_told_and_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "settings.md"
    old = settings_page().replace("## kafka", "## broker")
    file.write_text(old, encoding="utf-8")

    assert 3 == CliRunner().invoke(app, ["--output", str(file), "--check"]).exit_code
    assert old == file.read_text(encoding="utf-8")
    assert 0 == CliRunner().invoke(app, ["--output", str(file)]).exit_code
    assert settings_page() == file.read_text(encoding="utf-8")


def test_the_command_shows_what_is_in_force_and_hides_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the file of the working folder and from the environment."""
    (tmp_path / "tradewire.toml").write_text('[worker]\nflows_file = "mine.yaml"\n[clickhouse]\npassword = "s3cret"\n')
    monkeypatch.setenv("TRADEWIRE_WORKER__GROUP", "prices")
    worker = CliRunner().invoke(app, ["worker"]).output
    everything = CliRunner().invoke(app).output

    assert "mine.yaml (default none)" in worker
    assert "prices (default tradewire-worker)" in worker
    assert "clickhouse.password" not in worker
    assert "clickhouse.password" in everything
    assert "s3cret" not in everything


def test_a_section_that_does_not_exist_is_named_with_those_that_do() -> None:
    refused = CliRunner().invoke(app, ["broker"])

    assert 2 == refused.exit_code
    assert "kafka" in refused.output
