"""Rows of the worker: with nothing to do, one projection, correlation, all of it; plain Faust, Quix, a bare loop."""

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

OURS: Final = "worker_last_price"
NOOP: Final = "worker_noop"
CORRELATION: Final = "worker_correlation"
EVERYTHING: Final = "worker"
FAUST: Final = "plain_faust"
FAUST_NOOP: Final = "plain_faust_noop"
QUIX: Final = "quix"
LIMIT: Final = "bare_loop"
OUT: Final = "bench.last_price"
READ_MODEL: Final = "readmodel.last_price.v1"
STEPS: Final = "flows.steps"
FLOWS: Final = "flows.state"
# What is slow gets fewer events, or one run of it would take minutes.
_SHARES: Final = {
    OURS: 1.0,
    NOOP: 2.0,
    CORRELATION: 0.5,
    EVERYTHING: 0.5,
    FAUST: 0.08,
    FAUST_NOOP: 0.4,
    QUIX: 0.6,
    LIMIT: 2.0,
}
_DUTIES: Final[Mapping[str, Mapping[str, str]]] = {
    OURS: {"TRADEWIRE_WORKER__PROJECTIONS": '["last_price"]', "TRADEWIRE_WORKER__CORRELATION": "false"},
    # Watches for what does not come: trades are read, and concern nothing that it does.
    NOOP: {"TRADEWIRE_WORKER__PROJECTIONS": "[]", "TRADEWIRE_WORKER__CORRELATION": "false"},
    CORRELATION: {"TRADEWIRE_WORKER__PROJECTIONS": "[]"},
    EVERYTHING: {},
}
_NOTHING_TO_SEE: Final = """\
patterns:
  nothing:
    { count: 2, of: [market.alert.triggered], within: 1 s, raises: risk.alert.raised }
"""
_WARM_UP: Final = 1_000
_TIMEOUT_S: Final = 120


class ProjectionStudy:
    """The last price of 40 instruments out of the same trades, all read models sent and all offsets committed.

    The worker does that and no more by its own settings; it is also measured doing nothing with a trade, correlating
    every trade into a flow, and as it ships, which is both and candles.
    """

    rows: Sequence[RowSpec] = (
        RowSpec("worker_noop", NOOP, FAUST_NOOP, LIMIT),
        RowSpec("worker_correlation", CORRELATION, None, LIMIT),
        RowSpec("projection", OURS, FAUST, LIMIT, bar_vs_peer=5.0),
        RowSpec("projection_quix", OURS, QUIX, LIMIT, bar_vs_peer=1.0),
        RowSpec("worker_everything", EVERYTHING, QUIX, LIMIT),
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
            if not options.ours_alone:
                self._quix = str(quix_python(settings.local.cache_folder))
        except EnvironmentMissing as error:
            self.skipped[QUIX] = str(error)
        (self._folder / "patterns.yaml").write_text(_NOTHING_TO_SEE, encoding="utf-8")
        self.contenders: Sequence[str] = [name for name in _SHARES if name not in self.skipped]

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
        if contender in _DUTIES:
            # The worker makes this one itself and ends when a busy broker does not show it at once.
            for topic in worker_topics(self._contract.topics, group).values():
                self._log.ensure(topic)
        notes: dict[str, float] = {}
        done = self._worker_done(contender, group, notes) if contender in _DUTIES else self._peer_done(contender, group)
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
        if contender in _DUTIES:
            return ["tradewire.processors.worker"]
        return ["benchmarks.peers.bare_loop" if contender == LIMIT else "benchmarks.peers.plain_faust"]

    def _environment(self, contender: str, group: str, folder: Path) -> Mapping[str, str]:
        if contender in _DUTIES:
            patterns = {"TRADEWIRE_WORKER__PATTERNS_FILE": str(self._folder / "patterns.yaml")}
            return {
                "TRADEWIRE_WORKER__GROUP": group,
                "TRADEWIRE_WORKER__DATA_FOLDER": str(folder),
                **_DUTIES[contender],
                **(patterns if contender == NOOP else {}),
            }
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
            "BENCH_NOOP": "yes" if contender == FAUST_NOOP else "",
        }

    def _worker_done(self, contender: str, group: str, notes: dict[str, float]) -> Callable[[int], bool]:
        correlates = contender in (CORRELATION, EVERYTHING)

        def done(expected: int) -> bool:
            if self._log.committed(group, [self._topic]) < expected:
                return False
            if correlates:
                notes.setdefault("folded_at" if expected > _WARM_UP else "warm_up", time.perf_counter())
                # The trades are committed, so all their steps stand: their records are counted, not the steps.
                return self._log.committed(group, [STEPS]) >= self._log.count(STEPS)
            return True

        return done

    def _peer_done(self, contender: str, group: str) -> Callable[[int], bool]:
        def done(expected: int) -> bool:
            if contender in (FAUST, QUIX) and self._log.count(OUT) < expected:
                return False
            return self._log.committed(group, [self._topic]) >= expected

        return done

    def _verify(self, contender: str, count: int, folder: Path) -> None:
        if contender in (CORRELATION, EVERYTHING):
            expect(f"{contender}: flows of one trade each", count, len(self._log.newest_by_key(FLOWS)))
        if contender in (NOOP, FAUST_NOOP, CORRELATION):
            expect(f"{contender}: read models", 0, self._log.count(READ_MODEL) + self._log.count(OUT))
            return
        wanted = {
            subject: (state.price, state.trade_count, state.volume)
            for subject, state in folded(self._trades[:count]).items()
        }
        states: Mapping[str, Any]
        if contender == LIMIT:
            states = json.loads((folder / "states.json").read_text(encoding="utf-8"))
        elif contender in _DUTIES:
            decode = self._contract.codec.decode
            newest = self._log.newest_by_key(READ_MODEL)
            states = {key.decode(): decode(value).data for key, value in newest.items()}
        else:
            states = {key.decode(): json.loads(value) for key, value in self._log.newest_by_key(OUT).items()}
            expect(f"{contender}: read models sent", count, self._log.count(OUT))
        found = {
            subject: (Decimal(state["price"]), state["trade_count"], Decimal(state["volume"]))
            for subject, state in states.items()
        }
        expect(f"{contender}: last price, trades and volume of each instrument", wanted, found)
