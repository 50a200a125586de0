"""Study ``worker_latency``: from the call that publishes an event to the handler that has it, at a steady rate."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer

from benchmarks.log import Log
from benchmarks.measure import NotVerified, Options, Stopwatch, expect
from benchmarks.processes import contender_process, wait_until
from benchmarks.report import RowSpec, Run
from benchmarks.trades import SOURCE, TYPE, trades
from tradewire.core import Settings
from tradewire.processors.worker import worker_topics
from tradewire.producers import Publisher
from tradewire.schemas import Contract

WORKER: Final = "worker_handler"
SUBSCRIBER: Final = "subscriber_handler"
EVERYTHING: Final = "worker_everything_paced"
RATE_PER_S: Final = 5_000
# Read models, the group's table of partitions and the caches of the interpreter are made in these.
_WARM_UP_S: Final = 2
_TIMEOUT_S: Final = 60
_BROKER_WARM_UPS: Final = 3
_EVENTS_THAT_COUNT: Final = 20_000
_HANDLERS_ALONE: Final = {
    "TRADEWIRE_WORKER__PROJECTIONS": "[]",
    "TRADEWIRE_WORKER__CORRELATION": "false",
    "TRADEWIRE_WORKER__HANDLERS": '["benchmarks.peers.noted_handler"]',
}


class WorkerLatencyStudy:
    """Trades published 5,000 times a second by the clock, and one process that reads them, of each of these kinds:

    a Faust worker that is there for one handler; a ``Subscriber`` with the same handler; the worker as it ships, which
    folds everything and correlates, where the begin of an event's fold counts.

    Each event's time is that of the call that published it; the reader's process notes the time at which it has each
    event (``peers.noted_handler``, ``peers.watched_worker``). Both read the same clock of the same machine.

    The broker is warmed up first, by the same events and a bare consumer, and then by a round that does not count: in
    its first minute its JVM compiles what it runs often, and takes one of two processors for that.
    """

    rows: Sequence[RowSpec] = (
        RowSpec("worker_latency", WORKER),
        RowSpec("subscriber_latency", SUBSCRIBER),
        RowSpec("worker_latency_everything", EVERYTHING),
    )
    contenders: Sequence[str] = (WORKER, SUBSCRIBER, EVERYTHING)
    skipped: Mapping[str, str] = {}

    def __init__(self, settings: Settings, options: Options) -> None:
        # Where figures count. A quick run only shows that it works.
        self.warm_up = options.events >= _EVENTS_THAT_COUNT
        self._settings = settings
        self._say = options.say
        self._contract = Contract.load(settings)
        self._topic = self._contract.topic_of(TYPE)
        self._log = Log(settings)
        self._trades = list(trades(_WARM_UP_S * RATE_PER_S + options.share(0.5)))
        self._folder = settings.local.data_folder / "worker_latency"
        self._folder.mkdir(exist_ok=True)
        self._is_warm = False

    def measure(self, contender: str, number: int) -> Run:
        """Raises NotVerified when the reader did not have every event, or had one twice."""
        if self.warm_up and not self._is_warm:
            self._is_warm = True
            self._warm_broker()
        self._log.empty(self._contract.topics)
        group = f"bench-{contender}-{number}"
        for topic in worker_topics(self._contract.topics, group).values():
            self._log.ensure(topic)
        times = self._folder / f"{group}.times"
        with contender_process(
            group, [_MODULES[contender]], self._settings, self._folder, env=self._environment(contender, group, times)
        ) as child:
            with Publisher(self._settings, self._contract, source=SOURCE) as publisher:
                publisher.publish(TYPE, self._trades[0].data, subject=self._trades[0].subject)
                publisher.flush()
                wait_until(child, lambda: self._log.committed(group, [self._topic]) >= 1, "ready", _TIMEOUT_S)
                watch = self._publish(publisher)
                publisher.flush()
            run = watch.run(len(self._trades) - 1)
            count = len(self._trades)
            wait_until(child, lambda: self._log.committed(group, [self._topic]) >= count, "done", _TIMEOUT_S)
        notes = latencies(times, _WARM_UP_S * RATE_PER_S, count)
        self._say("  ".join(f"{name} {value:,.1f}" for name, value in notes.items()))
        return Run(run.events, run.seconds, None, notes)

    def _warm_broker(self) -> None:
        ended = threading.Event()
        consumer = Consumer(
            {
                **self._settings.kafka.client_config(),
                "group.id": "bench-warm-up",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([self._topic])

        def read() -> None:
            while not ended.is_set():
                consumer.poll(0.1)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        with Publisher(self._settings, self._contract, source=SOURCE) as publisher:
            for _ in range(_BROKER_WARM_UPS):
                self._publish(publisher)
        ended.set()
        reader.join()
        consumer.close()

    def _environment(self, contender: str, group: str, times: Path) -> Mapping[str, str]:
        if contender == SUBSCRIBER:
            return {"BENCH_GROUP": group, "BENCH_TIMES": str(times)}
        return {
            "TRADEWIRE_WORKER__GROUP": group,
            "TRADEWIRE_WORKER__DATA_FOLDER": str(self._folder / group),
            "BENCH_TIMES": str(times),
            **(_HANDLERS_ALONE if contender == WORKER else {}),
        }

    def _publish(self, publisher: Publisher) -> Stopwatch:
        publish, clock = publisher.publish, time.perf_counter_ns
        watch, due, step = Stopwatch(), clock(), 1_000_000_000 // RATE_PER_S
        for subject, data in self._trades[1:]:
            due += step
            wait_ns = due - clock()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            publish(TYPE, data, subject=subject, time_ns=time.time_ns())
        return watch

    def close(self) -> None:
        self._log.close()


_MODULES: Final = {
    WORKER: "tradewire.processors.worker",
    SUBSCRIBER: "benchmarks.peers.noted_handler",
    EVERYTHING: "benchmarks.peers.watched_worker",
}


def latencies(file: Path, warm_up: int, count: int) -> dict[str, float]:
    """Milliseconds from publishing to fold, of what was folded after the first ``warm_up`` events.

    Raises:
        NotVerified: it is not the latencies of ``count`` events.
    """
    found = array("q")
    if not file.exists():
        raise NotVerified(f"{file.name}: the worker wrote no times")
    found.frombytes(file.read_bytes())
    expect("folded events", count, len(found))
    rest = sorted(found[warm_up:])
    at = {"event_to_handler_p50_ms": 0.5, "event_to_handler_p99_ms": 0.99, "event_to_handler_p999_ms": 0.999}
    notes = {name: round(rest[min(len(rest) - 1, int(len(rest) * share))] / 1e6, 2) for name, share in at.items()}
    return notes | {"event_to_handler_max_ms": round(rest[-1] / 1e6, 2)}
