"""``python -m benchmarks.sink_memory [--events 10000000]``: the memory of a sink process over millions of events.

It takes minutes and is no row of ``make bench``: its figure is a curve. The topic is always some hundred thousand
events ahead, so that buffers are as full as they become. The exit code is 1 if memory grew by more than a tenth from
the first fifth of the events to the last.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import psutil
from confluent_kafka import Producer

from benchmarks.measure import NotVerified
from benchmarks.memory import GROWTH_MAX, SAMPLES, growth
from benchmarks.processes import contender_process
from benchmarks.servers import running_servers
from benchmarks.trades import TYPE, ready_records, trades
from tradewire.core import Settings, configure_logs
from tradewire.producers.publisher import producer_config
from tradewire.schemas import Contract
from tradewire.sinks.store import Store
from tradewire.sinks.tables import Tables

_DATABASE: Final = "bench_sink_memory"
_AHEAD: Final = 300_000
# Until the buffers have been full once.
_WARM_UP: Final = 300_000
_SILENCE_S: Final = 120


def resident_mib(settings: Settings, events: int) -> tuple[list[float], float]:
    """Memory after each fiftieth of the events, which follow a warm-up, and events stored per second.

    Raises:
        NotVerified: the sink ended, or stored nothing for two minutes.
    """
    clickhouse = settings.clickhouse.model_copy(update={"database": _DATABASE})
    settings = settings.model_copy(update={"clickhouse": clickhouse})
    contract, store = Contract.load(settings), Store(clickhouse)
    Tables(store, contract.catalogue, contract.schema_ids, settings.sink.deduplication_window).ensure()
    topic = contract.topic_of(TYPE)
    ready = cycle(ready_records(contract, list(trades(100_000)), topic=topic))
    producer = Producer(producer_config(settings.kafka, settings.publisher))
    step, produced, stored = max(1, events // SAMPLES), 0, 0
    curve: list[float] = []
    env = {"TRADEWIRE_CLICKHOUSE__DATABASE": _DATABASE}
    with contender_process(
        _DATABASE, ["tradewire.sinks.worker"], settings, settings.local.data_folder, env=env
    ) as child:
        process, began = psutil.Process(child.pid), time.perf_counter()
        moved = began
        while stored < events + _WARM_UP:
            more = min(_AHEAD - (produced - stored), events + _WARM_UP - produced)
            for key, value, headers in islice(ready, max(0, more)):
                while True:
                    try:
                        producer.produce(topic, value, key, headers=headers)
                        break
                    except BufferError:
                        producer.poll(0.05)
            producer.flush(60)
            produced += max(0, more)
            found = int(store.query(f"SELECT count() FROM `{_DATABASE}`.events")[0][0])
            if found > stored:
                moved = time.perf_counter()
            if child.poll() is not None or time.perf_counter() - moved > _SILENCE_S:
                raise NotVerified(f"{found} of {events} events are stored:\n{child.log_tail()}")
            stored = found
            while len(curve) < (stored - _WARM_UP) // step:
                curve.append(process.memory_info().rss / 2**20)
            time.sleep(0.05)
        seconds = time.perf_counter() - began
    store.close()
    return curve, (events + _WARM_UP) / seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if memory stayed flat."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink_memory")
    parser.add_argument("--events", type=int, default=10_000_000)
    events = parser.parse_args(arguments).events
    configure_logs("WARNING", "console", component="bench")
    with (
        tempfile.TemporaryDirectory(prefix="tradewire-bench-") as folder,
        running_servers(Path(folder), clickhouse=True) as settings,
    ):
        curve, per_s = resident_mib(settings, events)
    for number, mib in enumerate(curve, 1):
        print(f"{events * number // len(curve):>12,} events {mib:8.1f} MiB")
    grown = growth(curve)
    print(f"{per_s:,.0f} events/s with the producer beside; from the first fifth to the last: {grown:+.1%}")
    return int(grown > GROWTH_MAX)


if __name__ == "__main__":
    sys.exit(main())
