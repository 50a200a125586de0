"""The publish row against a real broker: it verifies its work, and the command writes what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from array import array
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import benchmarks.publish
import pytest
from benchmarks.log import produce_ready
from benchmarks.measure import NotVerified, Options
from benchmarks.memory import growth, resident_mib
from benchmarks.publish import AIOKAFKA, COLUMNS, FASTSTREAM, LIMIT, MANY, OURS, PEER, PublishStudy
from benchmarks.publish_paced import percentiles
from benchmarks.report import Run
from benchmarks.trades import Ready
from benchmarks.worker_paced import latencies
from tests.benchmarks.test_report import KEYS

from tradewire.core import Settings

REPO = Path(__file__).resolve().parents[2]


def test_every_contender_delivers_every_event_the_first_before_its_clock_starts(settings: Settings) -> None:
    with closing(PublishStudy(settings, Options(events=200, ours_alone=True))) as study:
        counts = {
            name: study.measure(name, 1).events for name in study.contenders if name not in (AIOKAFKA, FASTSTREAM)
        }
        assert counts == dict.fromkeys((OURS, PEER, MANY, COLUMNS, LIMIT), 199)
        assert study.measure(AIOKAFKA, 1).events == 99


def test_a_run_that_loses_a_record_is_not_a_measurement(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_one(settings: Settings, topic: str, records: Sequence[Ready]) -> Run:
        return produce_ready(settings, topic, records[:-1])

    monkeypatch.setattr(benchmarks.publish, "produce_ready", lose_one)
    with (
        closing(PublishStudy(settings, Options(events=200, ours_alone=True))) as study,
        pytest.raises(NotVerified, match="expected 200, found 199"),
    ):
        study.measure(LIMIT, 1)


@pytest.mark.long
def test_the_command_measures_prints_and_writes_the_row(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--rows", "publish", "--quick", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "latest.json").read_text())
    assert [row["row"] for row in rows[:3]] == ["publish", "publish_many", "publish_columns"]
    row = rows[0]
    assert list(row) == KEYS
    assert row["vs_peer"] == pytest.approx(row["ours_per_s"] / row["peer_per_s"], rel=0.01)
    assert row["vs_limit"] == pytest.approx(row["ours_per_s"] / row["limit_per_s"], rel=0.01)
    assert row["holds"] is (row["vs_peer"] >= row["bar_vs_peer"] and row["vs_limit"] >= row["bar_vs_limit"])
    details = json.loads((tmp_path / "details.json").read_text())
    study = details["studies"]["publish"]
    assert set(study["contenders"]) | set(study["skipped"]) == {OURS, PEER, MANY, COLUMNS, LIMIT, AIOKAFKA, FASTSTREAM}
    assert str(Path.home()) not in json.dumps(details)


STUDIES = "publish,sink,projection,replay,encode"
ROWS = {"publish", "publish_many", "publish_columns", "sink", "replay", "encode", "decode"}
ROWS |= {"projection", "projection_quix", "worker_noop", "worker_correlation", "worker_everything"}
LATENCIES_AND_BYTES = "publish_latency,publish_wire"
ROWS_OF_THEM = {"publish_latency", "publish_wire_lz4", "publish_wire_zstd"}


def measured(folder: Path, studies: str, expected: set[str], *arguments: str) -> dict[str, dict[str, Any]]:
    """What the command writes."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--output", str(folder), "--rows", studies, *arguments]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=590)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["row"]: row for row in json.loads((folder / "latest.json").read_text())}
    assert set(rows) >= expected
    assert all(list(row) == KEYS for row in rows.values())
    assert all(row["ours_per_s"] > 0 for row in rows.values())
    return rows


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ours_of_the_rows_with_bars_is_measured_and_verified_in_one_run(tmp_path: Path) -> None:
    """Peers and limits, which take twice as long as ours, are left out, and the rows say so."""
    rows = measured(tmp_path, STUDIES, ROWS, "--ours-alone")
    assert {None} == {rows[name]["vs_peer"] for name in ("sink", "projection", "projection_quix", "worker_noop")}
    assert {None} == {rows[name]["vs_limit"] for name in ("sink", "projection", "replay")}
    assert str(Path.home()) not in (tmp_path / "details.json").read_text()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_row_is_measured_and_verified_beside_peers_and_limits(tmp_path: Path) -> None:
    rows = measured(tmp_path, f"{STUDIES},{LATENCIES_AND_BYTES}", ROWS | ROWS_OF_THEM)
    assert rows["replay"]["peer_per_s"] is None
    assert all(rows[name]["vs_peer"] > 0 for name in ("sink", "projection"))
    assert all(rows[name]["vs_limit"] > 0 for name in ("sink", "projection", "replay", "worker_everything"))


def test_an_unknown_row_is_refused_by_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--rows", "publsh"], cwd=REPO, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "publsh" in done.stderr


def test_percentiles_are_of_all_calls() -> None:
    """One slow call in a thousand is the 99.9th percentile and not the 99th."""
    assert percentiles([1_000] * 998 + [50_000, 90_000]) == {
        "call_p50_us": 1.0,
        "call_p99_us": 1.0,
        "call_p999_us": 90.0,
        "call_max_us": 90.0,
    }


def test_latencies_leave_the_warm_up_out_and_miss_no_event(tmp_path: Path) -> None:
    """A worker that folded one event less, or one twice, has no latencies."""
    file = tmp_path / "times"
    file.write_bytes(array("q", [9_000_000_000] * 10 + [2_000_000] * 98 + [7_000_000, 30_000_000]).tobytes())

    assert {
        "event_to_handler_p50_ms": 2.0,
        "event_to_handler_p99_ms": 30.0,
        "event_to_handler_p999_ms": 30.0,
        "event_to_handler_max_ms": 30.0,
    } == latencies(file, 10, 110)
    with pytest.raises(NotVerified, match="expected 111, found 110"):
        latencies(file, 10, 111)


def test_growth_is_from_the_first_events_to_the_last() -> None:
    """One peak between them is none."""
    assert growth([100.0] * 20 + [500.0] + [110.0] * 29) == pytest.approx(0.1)


def test_publishing_keeps_nothing_of_what_was_delivered(settings: Settings) -> None:
    """A short form of the curve in the README: memory of 150,000 events, when the first fifth has filled the pools.

    With a queue that is soon full: how far a slow broker is behind is no growth.
    """
    limits = settings.publisher.model_copy(update={"queue_messages_max": 5_000, "block_ms_max": 60_000})
    assert growth(resident_mib(settings.model_copy(update={"publisher": limits}), 150_000)) < 0.25
