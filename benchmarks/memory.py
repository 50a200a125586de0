"""``python -m benchmarks.memory [--events 5000000]``: the memory of a process that publishes millions of events.

It takes minutes and is no row of ``make bench``: its figure is a curve. The exit code is 1 if memory grew by more than
a tenth from the first fifth of the events to the last.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from benchmarks.servers import running_servers
from benchmarks.trades import SOURCE, TYPE, trades
from tradewire.core import Settings, configure_logs
from tradewire.producers import Publisher

GROWTH_MAX: Final = 0.10
SAMPLES: Final = 50


def resident_mib(settings: Settings, events: int) -> list[float]:
    """Memory after each fiftieth of the events; handles are dropped, and a full queue is waited for."""
    process, found = psutil.Process(), list(trades(min(events, 50_000)))
    step, curve = max(1, events // SAMPLES), []
    with Publisher(settings, source=SOURCE) as publisher:
        for number, (subject, data) in enumerate(itertools.islice(itertools.cycle(found), events), 1):
            publisher.publish(TYPE, data, subject=subject)
            if not number % step:
                curve.append(process.memory_info().rss / 2**20)
    return curve


def growth(curve: Sequence[float]) -> float:
    """From the median of the first fifth to that of the last, as a share of the first."""
    part = max(1, len(curve) // 5)
    return median(curve[-part:]) / median(curve[:part]) - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if memory stayed flat."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("--events", type=int, default=5_000_000)
    events = parser.parse_args(arguments).events
    configure_logs("WARNING", "console", component="bench")
    with (
        tempfile.TemporaryDirectory(prefix="tradewire-bench-") as folder,
        running_servers(Path(folder), clickhouse=False) as settings,
    ):
        curve = resident_mib(settings, events)
    for number, mib in enumerate(curve, 1):
        print(f"{events * number // len(curve):>12,} events {mib:8.1f} MiB")
    grown = growth(curve)
    print(f"from the first fifth to the last: {grown:+.1%}")
    return int(grown > GROWTH_MAX)


if __name__ == "__main__":
    sys.exit(main())
