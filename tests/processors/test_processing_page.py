"""The files of flows and patterns that docs/processing.md shows can be used, and its tables of keys are complete."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from tradewire.core import load_settings
from tradewire.processors.declarations import DeclarationInvalid
from tradewire.processors.flow_declarations import DeclaredFlows, _Flow, _Step
from tradewire.processors.patterns import Patterns
from tradewire.processors.patterns.declared import _Pattern
from tradewire.schemas import Catalogue

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "processing.md").read_text()
CATALOGUE = Catalogue.load()
FLOWS, PATTERNS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def keys_of(*models: type[BaseModel]) -> dict[str, object]:
    """Each key of these, and its default; Ellipsis where it is needed."""
    return {
        name: ... if field.is_required() else field.get_default(call_default_factory=True)
        for model in models
        for name, field in model.model_fields.items()
    }


def test_the_flow_of_the_page_is_taken(tmp_path: Path) -> None:
    (tmp_path / "flows.yaml").write_text(FLOWS)

    assert {"order", "setup", "signal_to_order"} == set(DeclaredFlows.load(CATALOGUE, tmp_path / "flows.yaml").by_name)


def test_the_patterns_of_the_page_are_taken_and_are_one_of_each_kind(tmp_path: Path) -> None:
    """Beside ours, which its first lines switch on."""
    (tmp_path / "patterns.yaml").write_text(PATTERNS)
    found = Patterns.load(CATALOGUE, tmp_path / "patterns.yaml").by_name

    assert {"risk_alerts_in_a_minute", "price_move"} < set(found)
    own = [pattern for name, pattern in found.items() if name not in ("risk_alerts_in_a_minute", "price_move")]
    assert 4 == len(own) == len({type(pattern.rule) for pattern in own})


@pytest.mark.parametrize(
    ("header", "models"),
    [("| key | of | needed | meaning |", (_Flow, _Step)), ("| key | needed | meaning |", (_Pattern,))],
    ids=["flows", "patterns"],
)
def test_the_tables_have_every_key_with_its_default(header: str, models: tuple[type[BaseModel], ...]) -> None:
    """A default that the table gives is the model's; what has none there is needed, or None in the model."""
    rows = PAGE.split(header)[1].split("\n\n")[0].splitlines()
    defaults: dict[str, str] = {}
    for row in rows[2:]:
        names, *rest = [cell.strip() for cell in row.strip("|").split(" | ")]
        said = next(cell for cell in rest if "default" in cell or "yes" in cell or cell.startswith("with "))
        for name in re.findall(r"`(\w+)`", names):
            defaults[name] = said
    known = keys_of(*models)

    assert set(known) == set(defaults)
    for name, default in known.items():
        if default is ...:
            assert "yes" in defaults[name], name
        elif default is None or default == []:
            assert "`" not in defaults[name] or "with" in defaults[name], name
        else:
            shown = "0 s" if default == 0 else str(default).lower() if isinstance(default, bool) else str(default)
            assert f"default `{shown}`" == defaults[name], name


@pytest.mark.parametrize("entry", ["count: 2, of: ['trading.order.*']", "count: 2, of: [flow.run.stalled]"])
def test_patterns_take_no_wildcards_and_nothing_that_is_derived(entry: str, tmp_path: Path) -> None:
    file = tmp_path / "patterns.yaml"
    file.write_text(f"patterns: {{ mine: {{ {entry}, within: 1 s, raises: risk.alert.raised }} }}")

    with pytest.raises(DeclarationInvalid, match=r"wildcards are not taken|is derived"):
        Patterns.load(CATALOGUE, file)


def test_the_settings_of_the_page_name_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "tradewire.toml").write_text(shown)
    monkeypatch.chdir(tmp_path)
    found = load_settings().worker

    assert tomllib.loads(shown)["worker"] == {
        "flows_file": str(found.flows_file),
        "patterns_file": str(found.patterns_file),
    }
