"""Files of flows: what they may say, and how a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewire.processors.declarations import DeclarationInvalid
from tradewire.processors.durations import span_ns, span_text
from tradewire.processors.flow_declarations import DeclaredFlows
from tradewire.schemas import Catalogue

CATALOGUE = Catalogue.load()
ONE_STEP = "steps: [{ name: done, any_of: [trading.order.filled], within: 1 s }]"


def load(tmp_path: Path, text: str) -> DeclaredFlows:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return DeclaredFlows.load(CATALOGUE, file)


def test_ours_are_the_order_and_the_setup() -> None:
    flows = DeclaredFlows.load(CATALOGUE).by_name
    assert list(flows) == ["order", "setup"]
    assert [(step.name, step.within_ns) for step in flows["order"].steps] == [
        ("accepted", 500_000_000),
        ("ended", 86_400_000_000_000),
    ]
    assert flows["order"].fails == {"trading.order.rejected"}


def test_a_users_file_adds_replaces_and_switches_off(tmp_path: Path) -> None:
    flows = load(
        tmp_path,
        f"""flows:
  order: {{ begins: trading.order.created, {ONE_STEP} }}
  setup: {{ enabled: false }}
  signal: {{ begins: strategy.signal.generated, {ONE_STEP} }}
""",
    ).by_name
    assert list(flows) == ["order", "signal"]
    assert [step.name for step in flows["order"].steps] == ["done"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (f"begins: trading.order.creatd, {ONE_STEP}", "begins: 'trading.order.creatd' is not an event type"),
        (f"begins: flows.state.changed, {ONE_STEP}", "begins: flows.state.changed is derived"),
        ("begins: trading.order.created, steps: []", "steps: "),
        (
            "begins: trading.order.created, steps: [{ name: a, any_of: [trading.order.filled], within: 5 m }]",
            "steps.0.within: '5 m' is not a span of time",
        ),
        (
            "begins: trading.order.created, steps: [{ name: a, any_of: [trading.order.filled], within: 0 s }]",
            "steps.0.within: ",
        ),
        ("begins: trading.order.created, steps: [{ name: A, any_of: [trading.order.filled] }]", "steps.0.name: "),
        (f"begins: trading.order.filled, {ONE_STEP}", "steps.done: trading.order.filled is under begins already"),
        (
            f"begins: trading.order.created, {ONE_STEP}, fail: [trading.order.rejected]",
            "fail: is not a key here; did you mean fails?",
        ),
        (f"begins: trading.order.created, {ONE_STEP}, per: account", "per: 'account' is not one of 'subject' or "),
        (
            f"begin: trading.order.created, {ONE_STEP}",
            "begin: is not a key here; did you mean begins? the keys are begins, per, steps, fails, enabled",
        ),
        (f"{ONE_STEP}", "begins: is missing"),
        (
            "begins: trading.order.created, steps: [{ name: a, anyof: [trading.order.filled] }]",
            "steps.0.anyof: is not a key here; did you mean any_of? the keys are name, any_of, within",
        ),
        (
            "begins: trading.order.created, steps: [{ name: a, any_of: trading.order.filled }]",
            "steps.0.any_of: is a list: write [trading.order.filled]",
        ),
        (
            "begins: trading.order.created, steps: [{ name: a, any_of: ['trading.order.a*'] }]",
            "steps.a: trading.order.a*: wildcards are not taken here; write "
            "[trading.order.accepted, trading.order.amended]",
        ),
        (
            "begins: trading.order.created, steps: "
            "[{ name: a, any_of: [trading.order.filled] }, { name: a, any_of: [trading.order.accepted] }]",
            "steps: two of a, a have the same name",
        ),
    ],
)
def test_a_mistake_is_told_with_file_flow_and_field(tmp_path: Path, entry: str, said: str) -> None:
    with pytest.raises(DeclarationInvalid) as refused:
        load(tmp_path, f"flows:\n  mine: {{ {entry} }}\n")
    assert f"{tmp_path / 'mine.yaml'}: flows.mine: {said}" in str(refused.value)


def test_a_key_that_is_misspelt_is_told_once(tmp_path: Path) -> None:
    """Not as one that is missing and one too many."""
    with pytest.raises(DeclarationInvalid) as refused:
        load(tmp_path, f"flows:\n  mine: {{ begin: trading.order.created, {ONE_STEP} }}\n")
    assert "missing" not in str(refused.value)


def test_to_switch_off_what_is_not_ours_names_ours(tmp_path: Path) -> None:
    """A misspelt name would leave the flow on."""
    with pytest.raises(DeclarationInvalid, match=r"flows\.ordr: .* there is no 'ordr' among them \(order, setup\)"):
        load(tmp_path, "flows:\n  ordr: { enabled: false }\n")


@pytest.mark.parametrize("text", ["flow: {}", "- a", "flows: [a]", "flows: {1: {}}", "{", "flows: {a: 1}"])
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DeclarationInvalid, match=r"mine\.yaml"):
        load(tmp_path, text)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationInvalid) as refused:
        DeclaredFlows.load(CATALOGUE, Path("nowhere.yaml"))
    assert str(refused.value) == (
        "nowhere.yaml: there is no such file; the setting worker.flows_file names it, and the working folder is "
        f"{Path.cwd()}"
    )


@given(st.integers(1, 3_650 * 86_400_000_000_000))
def test_a_span_is_read_as_it_is_written(span: int) -> None:
    assert span_ns(span_text(span)) == span
