"""Contenders take turns, the warm-up does not count, and what was not verified has no rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import pytest
from benchmarks.measure import NotVerified, Options, expect, run_study, turns
from benchmarks.report import RowSpec, Run
from benchmarks.trades import folded, trades


class Recorded:
    """A study that notes who was measured when; ``fails`` names a contender whose work is never done."""

    rows: Sequence[RowSpec] = ()
    contenders: Sequence[str] = ("a", "b", "c")
    skipped: Mapping[str, str] = {}
    warm_up: bool = True

    def __init__(self, fails: str = "") -> None:
        self.calls: list[tuple[int, str]] = []
        self._fails = fails

    def measure(self, contender: str, number: int) -> Run:
        self.calls.append((number, contender))
        if number:
            expect(f"{contender}: records", 10, 9 if contender == self._fails else 10)
        return Run(10, 1.0 + number)


def test_each_round_another_contender_begins() -> None:
    assert [turns(["a", "b", "c"], number)[0] for number in range(4)] == ["a", "b", "c", "a"]


def test_every_contender_runs_once_in_every_round_and_the_warm_up_does_not_count() -> None:
    study = Recorded()
    runs = run_study(study, Options(rounds=2))
    assert {name: [run.seconds for run in found] for name, found in runs.items()} == {key: [2.0, 3.0] for key in "abc"}
    assert sorted(study.calls) == [(number, name) for number in range(3) for name in "abc"]
    assert [number for number, _ in study.calls] == sorted(number for number, _ in study.calls)


def test_a_run_whose_work_was_not_done_ends_the_study() -> None:
    with pytest.raises(NotVerified, match="b: records: expected 10, found 9"):
        run_study(Recorded(fails="b"), Options(rounds=1))


def test_the_same_seed_gives_the_same_trades_and_a_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    assert list(trades(50)) == list(trades(80))[:50]
    assert list(trades(50)) != list(trades(50, seed=2))


def test_the_expected_fold_counts_every_trade_and_keeps_the_newest_price() -> None:
    found = list(trades(500))
    states = folded(reversed(found))
    assert sum(state.trade_count for state in states.values()) == 500
    assert sum((state.volume for state in states.values()), Decimal(0)) == sum(
        trade.data["quantity"] for trade in found
    )
    newest = {trade.subject: trade.data["price"] for trade in found}
    assert {subject: state.price for subject, state in states.items()} == newest
