"""Rates become medians, medians become ratios, ratios are held to bars; what was not measured is said, not guessed."""

from __future__ import annotations

import json
from dataclasses import asdict
from io import StringIO
from pathlib import Path

import pytest
from benchmarks.report import Row, RowSpec, Run, make_row, median_per_s, results_table, runs_detail, write_results
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

KEYS = [
    "row",
    "ours_per_s",
    "peer_per_s",
    "limit_per_s",
    "vs_peer",
    "vs_limit",
    "bar_vs_peer",
    "bar_vs_limit",
    "holds",
]
SPEC = RowSpec("publish", "ours", "peer", "limit", bar_vs_peer=3.0, bar_vs_limit=0.5)


def runs(*per_s: float) -> list[Run]:
    return [Run(1_000, 1_000 / rate) for rate in per_s]


def measured(ours: float, peer: float | None, limit: float | None, spec: RowSpec = SPEC) -> Row:
    found = {"ours": runs(ours)}
    if peer is not None:
        found["peer"] = runs(peer)
    if limit is not None:
        found["limit"] = runs(limit)
    return make_row(spec, found)


def test_one_slow_round_does_not_move_a_median() -> None:
    assert median_per_s(runs(100, 1, 110)) == pytest.approx(100)


@given(st.lists(st.floats(1, 1e7), min_size=1, max_size=9))
def test_a_median_lies_among_the_rates_of_the_rounds(rates: list[float]) -> None:
    assert min(rates) * 0.999 <= median_per_s(runs(*rates)) <= max(rates) * 1.001


def test_rounds_of_different_sizes_are_compared_by_their_rates() -> None:
    assert median_per_s([Run(10, 1.0), Run(3_000, 100.0), Run(80, 2.0)]) == 30


def test_a_row_without_a_run_of_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="no run"):
        make_row(SPEC, {"ours": [], "peer": runs(1)})


def test_a_ratio_equal_to_its_bar_holds() -> None:
    row = measured(300, 100, 600)
    assert (row.vs_peer, row.vs_limit, row.holds) == (3.0, 0.5, True)


def test_a_row_holds_only_if_all_its_bars_do() -> None:
    assert measured(299, 100, 400).holds is False
    assert measured(301, 100, 700).holds is False
    assert measured(299, 100, 700).holds is False


def test_a_peer_that_was_not_measured_leaves_the_verdict_open() -> None:
    row = measured(300, None, 400)
    assert (row.peer_per_s, row.vs_peer, row.holds) == (None, None, None)


def test_a_missed_bar_is_told_even_if_the_other_was_not_measured() -> None:
    assert measured(300, None, 700).holds is False


def test_a_limit_without_a_bar_is_shown_and_decides_nothing() -> None:
    row = measured(300, 100, 100_000, RowSpec("projection", "ours", "peer", "limit", bar_vs_peer=3.0))
    assert (row.vs_limit, row.bar_vs_limit, row.holds) == (0.003, None, True)


def test_a_row_without_a_bar_neither_holds_nor_misses() -> None:
    row = measured(300, 100, None, RowSpec("encode", "ours", "peer"))
    assert (row.vs_peer, row.bar_vs_peer, row.holds) == (3.0, None, None)


def test_a_row_that_has_no_peer_has_nulls_for_it() -> None:
    row = measured(300, None, 400, RowSpec("replay", "ours", limit="limit", bar_vs_limit=0.5))
    assert (row.peer_per_s, row.vs_peer, row.bar_vs_peer, row.holds) == (None, None, None, True)


def test_the_table_shows_rates_ratios_bars_and_verdicts() -> None:
    out = StringIO()
    rows = [measured(290, 100, 400), measured(300, 100, 400), measured(300, None, 400)]
    Console(file=out, width=80).print(results_table(rows))
    shown = out.getvalue()
    assert "2.90 ≥ 3.00" in shown
    assert "0.75 ≥ 0.50" in shown
    assert [word in shown for word in ("missed", "held", "not measured")] == [True] * 3


def test_the_results_file_is_a_list_of_rows_with_exactly_the_agreed_keys(tmp_path: Path) -> None:
    rows = [measured(300, 100, None)]
    details = {"publish": runs_detail({"ours": runs(200, 300, 400), "peer": []})}
    write_results(tmp_path / "results", rows, details)
    written = json.loads((tmp_path / "results" / "latest.json").read_text())
    assert written == [asdict(row) for row in rows]
    assert [list(row) for row in written] == [KEYS]
    ours = json.loads((tmp_path / "results" / "details.json").read_text())["publish"]["ours"]
    assert (ours["median_per_s"], ours["spread"], len(ours["rounds"])) == (300, pytest.approx(2 / 3, abs=1e-3), 3)
    assert sorted(file.name for file in (tmp_path / "results").iterdir()) == ["details.json", "latest.json"]
