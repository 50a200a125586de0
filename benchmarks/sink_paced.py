"""Row ``sink_latency``: from the call that publishes an event to its row being visible to SQL, at 5,000 events/s."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Final

from benchmarks.log import Log
from benchmarks.measure import Options, expect
from benchmarks.processes import contender_process, wait_until
from benchmarks.report import RowSpec, Run
from benchmarks.trades import SOURCE, TYPE, trades
from tradewire.core import Settings
from tradewire.producers import Publisher
from tradewire.schemas import Contract
from tradewire.sinks.store import Store
from tradewire.sinks.tables import Tables

OURS: Final = "sink_latency"
RATE_PER_S: Final = 5_000
_WARM_UP_S: Final = 20
_SECONDS_MAX: Final = 20
_LOOK_EVERY_S: Final = 0.05
_TIMEOUT_S: Final = 90


class Watch:
    """Asks again and again up to which offset each partition is stored, as any client of ClickHouse would see it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopping = threading.Event()
        # Of each partition: times of answers (wall clock, ns) and the last offsets that they showed, both ascending.
        self.seen: dict[int, tuple[list[int], list[int]]] = {}
        self.rows = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    def _run(self) -> None:
        sql = f"SELECT partition, max(offset), count() FROM `{self._store.database}`.events GROUP BY partition"
        while not self._stopping.wait(_LOOK_EVERY_S):
            found = self._store.query(sql)
            now_ns = time.time_ns()
            for partition, offset, _ in found:
                times, offsets = self.seen.setdefault(int(partition), ([], []))
                if not offsets or offset > offsets[-1]:
                    times.append(now_ns)
                    offsets.append(int(offset))
            self.rows = sum(int(row[2]) for row in found)

    def visible_ns(self, partition: int, offset: int) -> int:
        """The arrival of the first answer that showed an offset; partitions are stored in the order of offsets."""
        times, offsets = self.seen[partition]
        return times[bisect_left(offsets, offset)]


class SinkLatencyStudy:
    """The publisher in this process; broker, engine and the sink as it ships beside it.

    An event carries the time when it was due to be published; a call that comes late because of the one before is
    counted from then. The rate of the row is that of publishing, the latencies are its notes.
    """

    rows: Sequence[RowSpec] = (RowSpec(OURS, OURS),)
    contenders: Sequence[str] = (OURS,)
    skipped: Mapping[str, str] = {}
    warm_up: bool = False

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings
        self._say = options.say
        self._contract = Contract.load(settings)
        self._log = Log(settings)
        self._events = min(options.events, _SECONDS_MAX * RATE_PER_S)
        self._trades = list(trades(min(options.events, 50_000)))

    def close(self) -> None:
        self._log.close()

    def measure(self, contender: str, number: int) -> Run:
        """Raises NotVerified when a row is missing, there twice, or not there in time."""
        database = f"bench_{contender}_{number}"
        clickhouse = self._settings.clickhouse.model_copy(update={"database": database})
        settings = self._settings.model_copy(update={"clickhouse": clickhouse})
        self._log.empty(self._contract.topics)
        store, watch = Store(clickhouse), Watch(Store(clickhouse))
        warm_up = min(self._events, _WARM_UP_S * RATE_PER_S)
        env = {"TRADEWIRE_SINK__GROUP": f"bench-{database}", "TRADEWIRE_CLICKHOUSE__DATABASE": database}
        try:
            Tables(store, self._contract.catalogue, self._contract.schema_ids, 10_000).ensure()
            with (
                contender_process(
                    database, ["tradewire.sinks.worker"], settings, settings.local.data_folder, env=env
                ) as child,
                watch.running(),
                Publisher(settings, self._contract, source=SOURCE) as publisher,
            ):
                self._publish(publisher, warm_up)
                wait_until(child, lambda: watch.rows >= warm_up, "through its warm-up", _TIMEOUT_S)
                began_ns, began = time.time_ns(), time.perf_counter()
                self._publish(publisher, self._events)
                seconds = time.perf_counter() - began
                wait_until(child, lambda: watch.rows >= warm_up + self._events, "done", _TIMEOUT_S)
            return self._run(store, watch, began_ns, warm_up, seconds)
        finally:
            store.command(f"DROP DATABASE IF EXISTS `{database}`")
            store.close()

    def _publish(self, publisher: Publisher, count: int) -> None:
        step_ns, due_ns = 1_000_000_000 // RATE_PER_S, time.time_ns()
        for subject, data in islice(cycle(self._trades), count):
            due_ns += step_ns
            wait_ns = due_ns - time.time_ns()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            publisher.publish(TYPE, {**data, "trade_time_ns": due_ns}, subject=subject)

    def _run(self, store: Store, watch: Watch, began_ns: int, warm_up: int, seconds: float) -> Run:
        found = store.query(
            f"SELECT partition, offset, trade_time_ns FROM `{store.database}`.market_trade_reported "
            "WHERE trade_time_ns >= {began:Int64}",
            {"began": began_ns},
        )
        total = store.query(f"SELECT count(), uniqExact(partition, offset) FROM `{store.database}`.events")[0]
        expect("rows and different offsets of events", (warm_up + self._events,) * 2, tuple(total))
        expect("rows of the typed table", self._events, len(found))
        taken = sorted((watch.visible_ns(partition, offset) - due_ns) / 1e6 for partition, offset, due_ns in found)
        notes = {
            f"visible_{name}_ms": round(taken[min(len(taken) - 1, int(len(taken) * share))], 1)
            for name, share in {"p50": 0.5, "p99": 0.99, "max": 1.0}.items()
        }
        self._say("  ".join(f"{name} {value:,.0f}" for name, value in notes.items()))
        return Run(self._events, seconds, None, notes)
