"""Row ``sink``: the sink process, decode-and-insert-rows, and ClickHouse alone on ready Avro blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from benchmarks.blocks import ready_blocks
from benchmarks.log import Log, produce_ready
from benchmarks.measure import Options, Stopwatch, expect
from benchmarks.processes import contender_process, time_backlog
from benchmarks.report import RowSpec, Run
from benchmarks.trades import TYPE, ready_records, trades
from tradewire.core import Settings
from tradewire.schemas import Contract
from tradewire.sinks.ddl import StoredSchema
from tradewire.sinks.store import Store
from tradewire.sinks.tables import Tables

OURS: Final = "sink"
PEER: Final = "row_insert"
LIMIT: Final = "ready_blocks"
_PEER_SHARE: Final = 0.25
_EVENTS_FACTOR: Final = 2
_WARM_UP: Final = 2_000
_TIMEOUT_S: Final = 120
# Everything of a row that does not depend on when it was produced and stored.
_CONTENT: Final = (
    "topic, partition, offset, type, version, schema_id, id, source, subject, correlation_id, causation_id, sequence, "
    "tags, time_ns, occurred_at, key, value, header_layout, header_values"
)


class SinkStudy:
    """The same records from Kafka to rows of ``events`` and of the typed table. Each run has a database of its own."""

    rows: Sequence[RowSpec] = (RowSpec("sink", OURS, PEER, LIMIT, bar_vs_peer=4.0, bar_vs_limit=0.5),)
    contenders: Sequence[str] = (OURS, PEER, LIMIT)
    skipped: Mapping[str, str] = {}
    warm_up: bool = False

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings
        self._contract = Contract.load(settings)
        self._topic = self._contract.topic_of(TYPE)
        self._log = Log(settings)
        self._options = options
        count = options.share(_EVENTS_FACTOR) + _WARM_UP
        self._trades = list(trades(count))
        self._ready = ready_records(self._contract, self._trades, topic=self._topic)
        self._content: dict[int, tuple[Any, ...]] = {}

    def close(self) -> None:
        self._log.close()

    def measure(self, contender: str, number: int) -> Run:
        """Raises NotVerified when a row is missing, there twice, or differs from what the other contenders stored."""
        database = f"bench_{contender}_{number}"
        clickhouse = self._settings.clickhouse.model_copy(update={"database": database})
        settings = self._settings.model_copy(update={"clickhouse": clickhouse})
        self._log.empty(self._contract.topics)
        store = Store(clickhouse)
        try:
            if contender == LIMIT:
                return self._ready_blocks(settings, store)
            Tables(store, self._contract.catalogue, self._contract.schema_ids, 10_000).ensure()
            count = (
                self._options.share(_PEER_SHARE * _EVENTS_FACTOR) if contender == PEER else len(self._ready) - _WARM_UP
            )
            return self._process(contender, settings, store, count + _WARM_UP)
        finally:
            store.command(f"DROP DATABASE IF EXISTS `{database}`")
            store.close()

    def _process(self, contender: str, settings: Settings, store: Store, count: int) -> Run:
        sql = f"SELECT count() FROM `{store.database}`.events"
        typed = f"SELECT count() FROM `{store.database}`.`{self._table}`"

        def stored(expected: int) -> bool:
            return all(int(store.query(question)[0][0]) >= expected for question in (sql, typed))

        group = f"bench-{store.database}"
        command = ["tradewire.sinks.worker"] if contender == OURS else ["benchmarks.peers.row_insert"]
        env = {"TRADEWIRE_SINK__GROUP": group, "TRADEWIRE_CLICKHOUSE__DATABASE": store.database}
        folder = self._settings.local.data_folder
        with contender_process(store.database, command, settings, folder, env=env) as child:
            run = time_backlog(
                child, settings, self._topic, self._ready[:count], warm_up=_WARM_UP, done=stored, timeout_s=_TIMEOUT_S
            )
        self._verify(contender, store, count)
        return run

    def _ready_blocks(self, settings: Settings, store: Store) -> Run:
        produce_ready(settings, self._topic, self._ready)
        landing, blocks = ready_blocks(settings, self._contract, self._log, store, self._topic)
        watch = Stopwatch()
        for number, block in enumerate(blocks):
            store.insert_avro(landing, block.body, token=f"{store.database}-{number}")
        run = watch.run(len(self._ready))
        self._verify(LIMIT, store, len(self._ready))
        return replace(run, cpu_s=None)

    @property
    def _table(self) -> str:
        latest = self._contract.catalogue[TYPE].latest
        return StoredSchema(TYPE, latest.version, latest.schema).table

    def _verify(self, contender: str, store: Store, count: int) -> None:
        at = f"`{store.database}`."
        rows, places = store.query(f"SELECT count(), uniqExact(partition, offset) FROM {at}events")[0]
        expect(f"{contender}: rows and different offsets of events", (count, count), (rows, places))
        quantity = sum(trade.data["quantity"] for trade in self._trades[:count])
        found = store.query(f"SELECT count(), uniqExact(partition, offset), sum(quantity) FROM {at}`{self._table}`")[0]
        expect(f"{contender}: rows, offsets and quantity of {self._table}", (count, count, quantity), tuple(found))
        content = tuple(store.query(f"SELECT groupBitXor(cityHash64({_CONTENT})) FROM {at}events")[0])
        expect(f"{contender}: content of events", self._content.setdefault(count, content), content)
