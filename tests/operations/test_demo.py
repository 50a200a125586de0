"""The main job as a user runs it: the command itself, with parts killed on the way."""

from __future__ import annotations

import gzip
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.needs import market_file_or_skip

REPO = Path(__file__).resolve().parents[2]


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TRADEWIRE_LOCAL__DATA_FOLDER": str(folder / "data"), "COLUMNS": "140"}
    return subprocess.run(
        [sys.executable, "-m", "tradewire.operations.cli", "demo", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.mark.long
@pytest.mark.timeout(420)
def test_killing_worker_sink_and_clickhouse_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Each is killed with SIGKILL while events flow; counts, read models, flows and replayed bytes still agree."""
    done = demo(tmp_path, "--events", "20000", "--kill")

    assert 0 == done.returncode, done.stdout[-4000:] + done.stderr[-4000:]
    assert 3 == done.stdout.count("killed with SIGKILL")
    assert "DIFFERS" not in done.stdout
    assert "20,000" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize("count", [15_000, pytest.param(78_638, marks=pytest.mark.long)])
def test_real_trades_are_accounted_for_per_partition(count: int, market_data: Path, tmp_path: Path) -> None:
    """Every trade of the file is in Kafka and in ClickHouse once, and behind the last prices and candles.

    Of a day's 78,638 trades the first ones take a minute less.
    """
    file = tmp_path / "binance_trades.csv.gz"
    with gzip.open(market_file_or_skip(market_data, "binance_trades_20240808.csv.gz"), "rb") as day:
        with gzip.open(file, "wb", compresslevel=1) as first:
            first.writelines(itertools.islice(day, 1 + count))
    done = demo(tmp_path, "--input", str(file))

    assert 0 == done.returncode, done.stdout[-4000:] + done.stderr[-4000:]
    assert f"{count:,}" in done.stdout
    assert "DIFFERS" not in done.stdout
