"""Row ``replay``: records that only ClickHouse still has, back into a topic, and raw ``produce()`` of ready bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.blocks import ready_blocks
from benchmarks.log import Log, produce_ready
from benchmarks.measure import Options, Stopwatch, expect
from benchmarks.report import RowSpec, Run
from benchmarks.trades import TYPE, ready_records, trades
from tradewire.core import Settings
from tradewire.schemas import Contract, Topic
from tradewire.sinks.replay import OffsetRange, Replay
from tradewire.sinks.store import Store

OURS: Final = "replay"
LIMIT: Final = "raw_produce"
OUT: Final = "bench.replay"
_DATABASE: Final = "bench_replay"
# A run of ours has four queries to begin with and four ends to wait for, the limit one.
_EVENTS_FACTOR: Final = 2


class ReplayStudy:
    """All partitions of a topic that Kafka no longer holds, one after the other, into an empty topic.

    ``exact`` replay: what arrives is the ready record byte for byte, as the limit sends it.
    """

    rows: Sequence[RowSpec] = (RowSpec("replay", OURS, None, LIMIT, bar_vs_limit=0.5),)
    contenders: Sequence[str] = (OURS, LIMIT)
    skipped: Mapping[str, str] = {}
    warm_up: bool = True

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings.model_copy(
            update={"clickhouse": settings.clickhouse.model_copy(update={"database": _DATABASE})}
        )
        contract = Contract.load(settings)
        self._topic = contract.topic_of(TYPE)
        self._out = Topic(OUT, "bench", partitions=contract.topics[self._topic].partitions, timestamps="CreateTime")
        self._log = Log(settings)
        self._store = Store(self._settings.clickhouse)
        self._ready = ready_records(contract, list(trades(options.share(_EVENTS_FACTOR))), topic=self._topic)
        self._log.empty(contract.topics)
        produce_ready(settings, self._topic, self._ready)
        landing, blocks = ready_blocks(self._settings, contract, self._log, self._store, self._topic)
        for number, block in enumerate(blocks):
            self._store.insert_avro(landing, block.body, token=f"{_DATABASE}-{number}")
        self._ends = self._log.ends(self._topic)
        self._log.forget_records(self._topic)
        self._records = {(ready.key, ready.value, tuple(ready.headers)) for ready in self._ready}

    def close(self) -> None:
        self._store.command(f"DROP DATABASE IF EXISTS `{_DATABASE}`")
        self._store.close()
        self._log.close()

    def measure(self, contender: str, number: int) -> Run:
        """Raises NotVerified when a record is missing, there twice, not from ClickHouse, or other bytes than before."""
        self._log.empty({OUT: self._out})
        self._log.ensure(self._out)
        run = self._replay() if contender == OURS else produce_ready(self._settings, OUT, self._ready)
        arrived = list(self._log.read(OUT))
        expect(f"{contender}: records in {OUT}", len(self._ready), len(arrived))
        found = {(message.key(), message.value(), tuple(message.headers())) for message in arrived}
        expect(f"{contender}: records in {OUT} that are not those of before", 0, len(found ^ self._records))
        return run

    def _replay(self) -> Run:
        with Replay(self._settings) as replay:
            watch = Stopwatch()
            results = [
                replay.to_topic(OffsetRange(self._topic, partition, 0, end - 1), OUT, exact=True)
                for partition, end in self._ends.items()
                if end
            ]
            run = watch.run(len(self._ready))
        expect(f"{OURS}: records out of ClickHouse", len(self._ready), sum(result.from_history for result in results))
        return run
