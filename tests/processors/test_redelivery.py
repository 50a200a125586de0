"""Effectively once, as a model: whatever a crash leaves written, folding on from it ends as if nothing had happened."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.processors.pure import PureWorker, Record, pure_contract
from tests.processors.workload import Workload

from tradewire.processors.flow_runs import next_deadline
from tradewire.processors.folds import Folds
from tradewire.processors.patterns import Patterns
from tradewire.processors.records import Forward
from tradewire.processors.states import BatchStates, StateCache
from tradewire.processors.tables import FILLS_TOPIC, FLOW, STEPS_TOPIC, TABLES, TIMER, Table

CONTRACT = pure_contract()
# The prices of the workload jump: there are alerts enough.
PATTERNS = Patterns.load(CONTRACT.catalogue, Path(__file__).with_name("all_patterns.yaml"))
# Short, so that candles close often.
INTERVAL_MS = 100
SOURCES = ("market.events", "trading.events", STEPS_TOPIC, FILLS_TOPIC)
TOLD = ("flow.events", "market.events")


class ModelWorker:
    """The engine's steps over lists and dicts: what is delivered stands, what is in memory goes with a crash."""

    def __init__(self) -> None:
        self.folds = Folds(CONTRACT, source="worker", candle_interval_ms=INTERVAL_MS, patterns=PATTERNS)
        self.logs: dict[str, list[Record]] = defaultdict(list)
        self.changelog: dict[tuple[str, str], bytes] = {}
        self.committed: dict[str, int] = defaultdict(int)
        self.caches: dict[tuple[str, int], StateCache] = {}
        self.number = 0

    def load(self, table: Table, partition: int, key: str) -> Any:
        value = self.changelog.get((table.name, key))
        return None if value is None else self.folds.decode(table, value)

    def write(self, topic: str, key: bytes | None, value: bytes | None, headers: Any) -> None:
        log = self.logs[topic]
        log.append(Record(topic, 0, len(log), 1_700_000_000_000, key, value, tuple(headers)))

    def deliver(self, write: Any) -> None:
        if isinstance(write, Forward):
            self.write(write.topic, write.key, write.value, write.headers)
        else:
            table, key, value = write
            self.changelog[table.name, key] = value

    def run_batch(self, topic: str, rows: int, crash: random.Random | None) -> None:
        """One batch of ``topic``. With ``crash`` a part of its writes is delivered: of each topic the first so many.

        Deferred states are written when all else is confirmed.
        """
        start = self.committed[topic]
        records = self.logs[topic][start : start + rows]
        self.number += 1
        # A cache of one state: everything falls out of memory as soon as it may.
        states = BatchStates(self.number, self.caches, self.load, 1)
        for record in records:
            self.folds.fold(self.folds.read(record), states)
        waves: tuple[dict[str, list[Any]], ...] = (defaultdict(list), defaultdict(list))
        for record in (*self.folds.step_records(states.steps), *states.forwards):
            waves[0][record.topic].append(record)
        for (table, _), changes in states.changes.items():
            for key, change in changes.items():
                waves[table.deferred][table.topic].append((table, key, self.folds.encode(table, change.state)))
        for wave in waves:
            whole = True
            for writes in wave.values():
                delivered = len(writes) if crash is None else crash.randint(0, len(writes))
                whole = whole and delivered == len(writes)
                for write in writes[:delivered]:
                    self.deliver(write)
            if not whole:
                break
        if crash is not None:
            self.caches = {}
            return
        for cache in self.caches.values():
            cache.stored(self.number)
        self.committed[topic] = start + len(records)

    def behind(self) -> list[str]:
        return [topic for topic in SOURCES if self.committed[topic] < len(self.logs[topic])]


def _plain(table: Table, state: Any) -> dict[str, Any]:
    data = dict(table.data_of(state))
    if table.name == "flow":
        # Where its steps lie on flows.steps depends on what a crash repeated there.
        data.pop("applied")
        for step in data["steps"]:
            if step["event_type"] == "market.alert.triggered":
                step["offset"] = 0
    return data


def _waits(model: ModelWorker, correlation_id: str) -> bool:
    return next_deadline(model.load(FLOW, 0, correlation_id).runs) is not None


def _ids(log: list[Record]) -> set[bytes]:
    return {dict(record.headers)["ce_id"] or b"" for record in log}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1_000), st.data())
def test_any_batches_and_any_crashes_end_in_the_states_of_an_undisturbed_run(seed: int, data: st.DataObject) -> None:
    workload = Workload(seed)
    # Few, so that candles of one symbol follow each other and fills meet in one position.
    workload.symbols = workload.symbols[:2]
    events = list(workload.events(40, orders_share=0.3))
    pure, model = PureWorker(CONTRACT, INTERVAL_MS, PATTERNS), ModelWorker()
    pure.folds = model.folds
    written = [pure.write(pure.record_of(event)) for event in events]
    for record in written:
        model.write(record.topic, record.key, record.value, record.headers)
    pure.take(written)
    crashes = 0
    while behind := model.behind():
        crash = data.draw(st.none() | st.randoms(use_true_random=False)) if crashes < 8 else None
        crashes += crash is not None
        model.run_batch(data.draw(st.sampled_from(behind)), data.draw(st.integers(1, 15)), crash)
    for table in TABLES:
        keys = {key for name, key in model.changelog if name == table.name}
        if table is TIMER:
            # One whose flow waits for nothing is a leftover; there is none where all its steps were in one record.
            keys = {key for key in keys if _waits(model, key)}
            assert keys == {key for key in pure.states[TIMER.name] if _waits(model, key)}
        else:
            assert keys == set(pure.states[table.name])
        for key in keys:
            found = _plain(table, model.load(table, 0, key))
            expected = _plain(table, pure.states[table.name][key])
            if table.name == "last_price" and found["candle"]:
                assert found["candle"] == expected["candle"]
            assert found == expected, f"{table.name} {key}"
    for topic in TOLD:
        assert _ids(pure.logs[topic]) == _ids(model.logs[topic]), "said under other ids, or not at all"
