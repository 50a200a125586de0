"""Rows ``projection`` and ``projection_quix``: the worker, a plain Faust agent, Quix Streams, a bare consume loop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from benchmarks.log import Log
from benchmarks.measure import Options, expect
from benchmarks.peers.environment import EnvironmentMissing, quix_python
from benchmarks.processes import contender_process, time_backlog
from benchmarks.report import RowSpec, Run
from benchmarks.trades import TYPE, folded, ready_records, trades
from tradewire.core import Settings
from tradewire.processors.worker import COMMIT_INTERVAL_S, worker_topics
from tradewire.schemas import Contract, Topic

OURS: Final = "worker"
FAUST: Final = "plain_faust"
QUIX: Final = "quix"
LIMIT: Final = "bare_loop"
OUT: Final = "bench.last_price"
READ_MODEL: Final = "readmodel.last_price.v1"
STEPS: Final = "flows.steps"
FLOWS: Final = "flows.state"
# A plain agent gets fewer events, or one run of it would take minutes.
_SHARES: Final = {OURS: 1.0, FAUST: 0.08, QUIX: 0.5, LIMIT: 2.0}
_WARM_UP: Final = 1_000
_TIMEOUT_S: Final = 120


class ProjectionStudy:
    """The last price of 40 instruments out of the same trades, all read models sent and all offsets committed.

    The worker is measured as it ships: besides the last price it folds candles and correlates every trade into a flow.
    """

    rows: Sequence[RowSpec] = (
        RowSpec("projection", OURS, FAUST, LIMIT, bar_vs_peer=5.0),
        RowSpec("projection_quix", OURS, QUIX, LIMIT, bar_vs_peer=1.0),
    )
    warm_up: bool = False

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings
        self._contract = Contract.load(settings)
        self._topic = self._contract.topic_of(TYPE)
        self._out = Topic(OUT, "bench", partitions=self._contract.topics[self._topic].partitions)
        self._log = Log(settings)
        self._options = options
        self._trades = list(trades(_WARM_UP + options.share(max(_SHARES.values()))))
        self._ready = ready_records(self._contract, self._trades, topic=self._topic)
        self._folder = settings.local.data_folder / "projection"
        self._folder.mkdir(exist_ok=True)
        (self._folder / "trade.avsc").write_text(self._contract.catalogue[TYPE].latest.text, encoding="utf-8")
        self.skipped: dict[str, str] = {}
        try:
            self._quix = str(quix_python(settings.local.cache_folder))
        except EnvironmentMissing as error:
            self.skipped[QUIX] = str(error)
        self.contenders: Sequence[str] = [name for name in (OURS, FAUST, QUIX, LIMIT) if name not in self.skipped]

    def close(self) -> None:
        self._log.close()

    def measure(self, contender: str, number: int) -> Run:
        """Raises NotVerified when a final state is not that of the same fold made here."""
        self._log.empty({**self._contract.topics, OUT: self._out})
        self._log.ensure(self._out)
        count = _WARM_UP + self._options.share(_SHARES[contender])
        group = f"bench-{contender}-{number}"
        folder = self._folder / group
        folder.mkdir()
        if contender == OURS:
            # The worker makes this one itself and ends when a busy broker does not show it at once.
            for topic in worker_topics(self._contract.topics, group).values():
                self._log.ensure(topic)
        notes: dict[str, float] = {}
        done = self._worker_done(group, notes) if contender == OURS else self._peer_done(contender, group)
        command, env = self._command(contender), self._environment(contender, group, folder)
        records = self._ready[:count]
        with contender_process(group, command, self._settings, self._folder, env=env) as child:
            run = time_backlog(
                child, self._settings, self._topic, records, warm_up=_WARM_UP, done=done, timeout_s=_TIMEOUT_S
            )
            ended = time.perf_counter()
        if "folded_at" in notes:
            alone_s = run.seconds - (ended - notes["folded_at"])
            run = replace(run, notes={"trades_committed_per_s": round(run.events / alone_s, 1)})
        self._verify(contender, count, folder)
        return run

    def _command(self, contender: str) -> Sequence[str]:
        if contender == QUIX:
            return [self._quix, "-m", "benchmarks.peers.quix_last_price"]
        return {
            OURS: ["tradewire.processors.worker"],
            FAUST: ["benchmarks.peers.plain_faust"],
            LIMIT: ["benchmarks.peers.bare_loop"],
        }[contender]

    def _environment(self, contender: str, group: str, folder: Path) -> Mapping[str, str]:
        if contender == OURS:
            return {"TRADEWIRE_WORKER__GROUP": group, "TRADEWIRE_WORKER__DATA_FOLDER": str(folder)}
        return {
            "BENCH_BROKER": self._settings.kafka.bootstrap_servers,
            "BENCH_GROUP": group,
            "BENCH_TOPIC": self._topic,
            "BENCH_OUT": OUT,
            "BENCH_FOLDER": str(folder),
            "BENCH_PARTITIONS": str(self._out.partitions),
            "BENCH_SCHEMA": str(self._folder / "trade.avsc"),
            "BENCH_STATES": str(folder / "states.json"),
            "BENCH_COMMIT_S": str(COMMIT_INTERVAL_S),
        }

    def _worker_done(self, group: str, notes: dict[str, float]) -> Callable[[int], bool]:
        def done(expected: int) -> bool:
            if self._log.committed(group, [self._topic]) < expected:
                return False
            notes.setdefault("folded_at" if expected > _WARM_UP else "warm_up", time.perf_counter())
            return self._log.committed(group, [STEPS]) >= expected

        return done

    def _peer_done(self, contender: str, group: str) -> Callable[[int], bool]:
        def done(expected: int) -> bool:
            if contender != LIMIT and self._log.count(OUT) < expected:
                return False
            return self._log.committed(group, [self._topic]) >= expected

        return done

    def _verify(self, contender: str, count: int, folder: Path) -> None:
        wanted = {
            subject: (state.price, state.trade_count, state.volume)
            for subject, state in folded(self._trades[:count]).items()
        }
        states: Mapping[str, Any]
        if contender == LIMIT:
            states = json.loads((folder / "states.json").read_text(encoding="utf-8"))
        elif contender == OURS:
            decode = self._contract.codec.decode
            newest = self._log.newest_by_key(READ_MODEL)
            states = {key.decode(): decode(value).data for key, value in newest.items()}
            expect(f"{OURS}: flows of one trade each", count, len(self._log.newest_by_key(FLOWS)))
        else:
            states = {key.decode(): json.loads(value) for key, value in self._log.newest_by_key(OUT).items()}
            expect(f"{contender}: read models sent", count, self._log.count(OUT))
        found = {
            subject: (Decimal(state["price"]), state["trade_count"], Decimal(state["volume"]))
            for subject, state in states.items()
        }
        expect(f"{contender}: last price, trades and volume of each instrument", wanted, found)
