"""Studies ``publish_latency`` and ``publish_wire``: how long a call takes at a steady rate, and the bytes in Kafka."""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.log import Log
from benchmarks.measure import Options, Stopwatch, expect
from benchmarks.report import RowSpec, Run
from benchmarks.trades import SOURCE, TYPE, trades
from tradewire.core import Settings
from tradewire.producers import Publisher
from tradewire.schemas import Contract

PACED: Final = "publish_paced"
RATE_PER_S: Final = 5_000
CODECS: Final = ("none", "lz4", "zstd")


class LatencyStudy:
    """``publish`` called 5,000 times a second by the clock; p50, p99, p99.9 and the longest call are in the details.

    A call that comes late because the one before it took long is called at once: nothing is left out of the figures.
    """

    rows: Sequence[RowSpec] = (RowSpec("publish_latency", PACED),)
    contenders: Sequence[str] = (PACED,)
    skipped: Mapping[str, str] = {}
    warm_up: bool = True

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings
        self._say = options.say
        self._contract = Contract.load(settings)
        self._trades = list(trades(options.share(0.5)))

    def measure(self, contender: str, number: int) -> Run:
        """Raises NotVerified when an event was not confirmed."""
        calls = array("q")
        with Publisher(self._settings, self._contract, source=SOURCE) as publisher:
            publish, clock = publisher.publish, time.perf_counter_ns
            publish(TYPE, self._trades[0].data, subject=self._trades[0].subject)
            publisher.flush()
            watch, due, step = Stopwatch(), clock(), 1_000_000_000 // RATE_PER_S
            for subject, data in self._trades[1:]:
                due += step
                wait_ns = due - clock()
                if wait_ns > 0:
                    time.sleep(wait_ns / 1e9)
                began = clock()
                publish(TYPE, data, subject=subject)
                calls.append(clock() - began)
            publisher.flush()
            run = watch.run(len(calls))
            expect("confirmed events", (len(self._trades), 0), (publisher.outcome.published, publisher.outcome.unknown))
        notes = percentiles(calls)
        self._say("  ".join(f"{name} {value:,.1f}" for name, value in notes.items()))
        return Run(run.events, run.seconds, run.cpu_s, notes)

    def close(self) -> None:
        """Nothing is left open."""


def percentiles(calls_ns: Sequence[int]) -> dict[str, float]:
    """Call times in microseconds: half, 99 and 99.9 of a hundred were no longer."""
    found = sorted(calls_ns)
    at = {"call_p50_us": 0.5, "call_p99_us": 0.99, "call_p999_us": 0.999}
    return {name: found[min(len(found) - 1, int(len(found) * share))] / 1000 for name, share in at.items()} | {
        "call_max_us": found[-1] / 1000
    }


class WireStudy:
    """The same trades with every compression; ``bytes_per_event`` is what the broker's segments have grown by.

    A batch is stored as it came over the wire, so the log's growth is what was sent, without the requests' own headers.
    """

    rows: Sequence[RowSpec] = tuple(
        RowSpec(f"publish_wire_{codec}", codec, CODECS[0] if codec != CODECS[0] else None) for codec in CODECS
    )
    contenders: Sequence[str] = CODECS
    skipped: Mapping[str, str] = {}
    warm_up: bool = True

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings
        self._say = options.say
        self._contract = Contract.load(settings)
        self._topic = self._contract.topic_of(TYPE)
        self._log = Log(settings)
        self._trades = list(trades(options.share()))

    def measure(self, contender: str, number: int) -> Run:
        """Raises NotVerified when the topic has not grown by exactly the events."""
        limits: Any = self._settings.publisher.model_copy(update={"compression": contender})
        settings = self._settings.model_copy(update={"publisher": limits})
        records, size = self._log.count(self._topic), self._bytes()
        with Publisher(settings, self._contract, source=SOURCE) as publisher:
            watch = Stopwatch()
            for subject, data in self._trades:
                publisher.publish(TYPE, data, subject=subject)
            publisher.flush()
            run = watch.run(len(self._trades))
        expect(f"records in {self._topic}", len(self._trades), self._log.count(self._topic) - records)
        each = (self._bytes() - size) / len(self._trades)
        self._say(f"{contender}: {each:.1f} bytes an event")
        return Run(run.events, run.seconds, run.cpu_s, {"bytes_per_event": round(each, 1)})

    def _bytes(self) -> int:
        folder: Path = self._settings.local.data_folder
        return sum(file.stat().st_size for file in folder.rglob(f"{self._topic}-*/*.log"))

    def close(self) -> None:
        self._log.close()
