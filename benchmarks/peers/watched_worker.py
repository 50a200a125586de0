"""The worker as it ships, which notes for each trade the nanoseconds from its ``ce_time`` to the begin of its fold."""

from __future__ import annotations

import atexit
import sys
import time
from array import array
from pathlib import Path

from benchmarks.peers.last_price import given
from benchmarks.trades import TYPE
from tradewire.processors import worker
from tradewire.processors.folds import Folds, States
from tradewire.processors.records import Read


def main() -> int:
    """Runs the worker; writes the times as 64-bit integers when it ends."""
    times = array("q")
    fold, clock = Folds.fold, time.time_ns

    def noted(self: Folds, read: Read, states: States) -> None:
        if read.envelope is not None and read.envelope.type == TYPE:
            times.append(clock() - read.envelope.time_ns)
        fold(self, read, states)

    Folds.fold = noted  # type: ignore[method-assign]
    atexit.register(lambda: Path(given("times")).write_bytes(times.tobytes()))
    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
