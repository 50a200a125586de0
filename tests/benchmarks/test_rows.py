"""The publish row against a real broker: it verifies its work, and the command writes what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import benchmarks.publish
import pytest
from benchmarks.log import produce_ready
from benchmarks.measure import NotVerified, Options
from benchmarks.publish import LIMIT, OURS, PEER, PublishStudy
from benchmarks.report import Run
from benchmarks.trades import Ready
from tests.benchmarks.test_report import KEYS

from tradewire.core import Settings

REPO = Path(__file__).resolve().parents[2]


def test_every_contender_delivers_every_event_the_first_before_its_clock_starts(settings: Settings) -> None:
    with closing(PublishStudy(settings, Options(events=200))) as study:
        assert {name: study.measure(name, 1).events for name in study.contenders} == {OURS: 199, PEER: 199, LIMIT: 199}


def test_a_run_that_loses_a_record_is_not_a_measurement(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_one(settings: Settings, topic: str, records: Sequence[Ready]) -> Run:
        return produce_ready(settings, topic, records[:-1])

    monkeypatch.setattr(benchmarks.publish, "produce_ready", lose_one)
    with (
        closing(PublishStudy(settings, Options(events=200))) as study,
        pytest.raises(NotVerified, match="expected 200, found 199"),
    ):
        study.measure(LIMIT, 1)


@pytest.mark.slow
def test_the_command_measures_prints_and_writes_the_row(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--rows", "publish", "--quick", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads((tmp_path / "latest.json").read_text())
    assert list(row) == KEYS
    assert row["row"] == "publish"
    assert row["vs_peer"] == pytest.approx(row["ours_per_s"] / row["peer_per_s"], rel=0.01)
    assert row["vs_limit"] == pytest.approx(row["ours_per_s"] / row["limit_per_s"], rel=0.01)
    assert row["holds"] is (row["vs_peer"] >= row["bar_vs_peer"] and row["vs_limit"] >= row["bar_vs_limit"])
    details = json.loads((tmp_path / "details.json").read_text())
    assert set(details["studies"]["publish"]["contenders"]) == {OURS, PEER, LIMIT}
    assert str(Path.home()) not in json.dumps(details)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_row_is_measured_and_verified_in_one_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=590)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["row"]: row for row in json.loads((tmp_path / "latest.json").read_text())}
    assert {"publish", "sink", "projection", "projection_quix", "replay", "encode", "decode"} <= set(rows)
    assert all(list(row) == KEYS for row in rows.values())
    assert rows["replay"]["peer_per_s"] is None
    assert all(row["ours_per_s"] > 0 for row in rows.values())


def test_an_unknown_row_is_refused_by_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--rows", "publsh"], cwd=REPO, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "publsh" in done.stderr
