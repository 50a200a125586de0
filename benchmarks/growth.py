"""``python -m benchmarks.growth --rows 100000000`` (``make bench SCALE=…``): questions to a history that grows.

Real rows, a simulated hour of trading, go through the landing tables; ClickHouse then copies them with times, ids,
flows and orders of their own; instruments, accounts and strategies stay the same, as they do in a real year. At each
tenfold the same questions are asked over HTTP, each of another flow or aggregate. The exit code is 1 if one is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from rich.console import Console

from benchmarks.disk import disk_table, sizes_by_column, sizes_elsewhere
from benchmarks.servers import REPO, running_engine
from tradewire.core import Settings, StackError, configure_logs
from tradewire.producers.feeds import simulate
from tradewire.schemas import Contract, Event, FixedIds, encode_headers
from tradewire.sinks.container import build_block, split_by_schema
from tradewire.sinks.event_pages import EventFilter
from tradewire.sinks.records import Record, RecordColumns
from tradewire.sinks.store import Store
from tradewire.sinks.stored_history import StoredHistory
from tradewire.sinks.tables import Tables, Target

SLOWER_MAX: Final = 3.0
MS_MAX: Final = 50.0
_DATABASE: Final = "bench_growth"
_SEED_EVENTS: Final = 100_000
_PARTITIONS: Final = 4
# The seed lasts 67 minutes: copies of it lie side by side in time.
_COPY_MS: Final = 70 * 60 * 1000
_ROWS_PER_INSERT: Final = 2_000_000
_QUESTIONS: Final = 60
_WARM_UP: Final = 10
_LOG_S: Final = 3.0
# What a row takes while it is merged with others, of which as many again must fit beside it.
_BYTES_PER_ROW: Final = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """How long one kind of question takes at one size, in milliseconds, and what of it the engine works.

    ``engine_cpu_ms`` is the median of its processor time, from its own log: it hardly moves where the machine has other
    work.
    """

    question: str
    rows: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    engine_cpu_ms: float


class Growth:
    """One database that grows; ``seed`` fills it, ``grow`` copies, ``ask`` measures."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._contract = Contract.load(settings, schema_ids=FixedIds())
        self.store = Store(settings.clickhouse)
        self._tables = Tables(self.store, self._contract.catalogue, self._contract.schema_ids, 10_000)
        self.events = list(simulate(1, _SEED_EVENTS))
        sizes: defaultdict[str, list[str]] = defaultdict(list)
        for event in self.events:
            sizes[event.correlation_id].append(event.id)
        self._flows = [flow for flow, ids in sizes.items() if len(ids) >= 5]
        self._orders = sorted({event.subject for event in self.events if event.type == "trading.order.created"})
        instruments = {event.subject for event in self.events if event.type == "market.trade.reported"}
        self._instruments = sorted(instruments)
        self._copies = 1

    def close(self) -> None:
        self.store.close()

    def seed(self) -> None:
        """The simulated events in their tables, as the sink stores them."""
        self._tables.ensure()
        batches: dict[tuple[str, int], RecordColumns] = {}
        for event in self.events:
            topic = self._contract.topic_of(event.type)
            partition = sum(event.subject.encode()) % _PARTITIONS
            batch = batches.setdefault((topic, partition), RecordColumns(topic, partition))
            batch.add([self._record(event, topic, len(batch))])
        for batch in batches.values():
            for schema_id, indexes in split_by_schema(batch).by_schema.items():
                target = self._tables.target(schema_id)
                assert isinstance(target, Target)
                block = build_block(batch, indexes, target.shape)
                self.store.insert_avro(target.landing, block.body, token=f"{batch.topic}-{batch.partition}-{schema_id}")
        at = self._at
        # Parts of millions of rows come out of merges, which build projections; these come out of inserts.
        self.store.command(f"ALTER TABLE {at}events MODIFY SETTING materialize_projections_on_insert = 1")
        self.store.command(f"CREATE TABLE {at}seed ENGINE = Memory AS SELECT * FROM {at}events")

    def _record(self, event: Event, topic: str, offset: int) -> Record:
        value = self._contract.codec.encode(event.type, event.data, topic)
        headers = [(name, text.encode() if isinstance(text, str) else text) for name, text in encode_headers(event)]
        return Record(offset, event.time_ns // 1_000_000, event.subject.encode(), value, headers)

    def grow(self, rows: int) -> None:
        """Adds copies until the table has so many rows, then waits for merges, ten minutes at most."""
        while self._copies * _SEED_EVENTS < rows:
            more = min(_ROWS_PER_INSERT // _SEED_EVENTS, rows // _SEED_EVENTS - self._copies)
            self.store.command(self._copy_sql(self._copies, self._copies + more))
            self._copies += more
        deadline = time.monotonic() + 600
        while self.store.query("SELECT count() FROM system.merges")[0][0] and time.monotonic() < deadline:
            time.sleep(0.5)

    def _copy_sql(self, first: int, end: int) -> str:
        shift = f"(copy * {_COPY_MS})"
        hexadecimal = "unhex(concat(substring({0}, 1, 8), substring({0}, 10, 4)))"
        moved_ms = f"hex(reinterpretAsUInt64(reverse({hexadecimal})) + {shift})"
        moved = f"lower(concat(leftPad(substring({moved_ms}, 1, 8), 8, '0'), '-', substring({moved_ms}, 9, 4)))"
        id = f"if(length({{0}}) = 36, concat({moved}, substring({{0}}, 14)), {{0}})"
        subject = f"if(match({{0}}, '^[0-9]+$'), toString(toUInt64OrZero({{0}}) + copy * 10000000), {id})"
        columns = ", ".join(
            (
                "offset + copy * per_partition AS offset",
                f"recorded_at + INTERVAL {shift} MILLISECOND AS recorded_at",
                f"stored_at + INTERVAL {shift} MILLISECOND AS stored_at",
                f"time_ns + {shift} * 1000000 AS time_ns",
                "fromUnixTimestamp64Nano(time_ns, 'UTC') AS occurred_at",
                *(f"{id.format(f's.{name}')} AS {name}" for name in ("id", "correlation_id", "causation_id")),
                f"{subject.format('s.subject')} AS subject",
                "subject AS key",
            )
        )
        others = (
            "topic, partition, type, version, schema_id, source, sequence, tags, payload_text, value, header_layout, "
            "header_values"
        )
        names = "offset, recorded_at, stored_at, time_ns, occurred_at, id, correlation_id, causation_id, subject, key"
        at = self._at
        return (
            f"INSERT INTO {at}events ({names}, {others}) SELECT {columns}, {others} FROM (SELECT s.*, "
            f"toInt64(copies.number) AS copy, {_SEED_EVENTS} AS per_partition FROM {at}seed AS s "
            f"CROSS JOIN (SELECT number FROM numbers({first}, {end - first})) AS copies) AS s "
            "SETTINGS max_insert_threads = 1, max_threads = 2, min_insert_block_size_rows = 4000000, "
            "min_insert_block_size_bytes = 0, insert_deduplicate = 0"
        )

    @property
    def _at(self) -> str:
        return f"`{self.store.database}`."

    def ask(self, rows: int) -> list[Answer]:
        """The questions, each of other rows every time.

        Raises:
            AssertionError: an answer does not have what it must have.
        """
        chance = random.Random(rows)
        history = StoredHistory.connect(self._settings.clickhouse)

        def moved(id: str) -> str:
            time_ms = int(id[:8] + id[9:13], 16) + chance.randrange(self._copies) * _COPY_MS
            return f"{time_ms >> 16:08x}-{time_ms & 0xFFFF:04x}{id[13:]}"

        def trace() -> None:
            assert len(history.flow(moved(chance.choice(self._flows))).steps) >= 5

        def aggregate() -> None:
            assert history.events(EventFilter(subject=moved(chance.choice(self._orders))), order="oldest").events

        def instrument() -> None:
            assert len(history.events(EventFilter(subject=chance.choice(self._instruments)), limit=100).events) == 100

        try:
            return [
                self._timed("trace by correlation id", rows, trace),
                self._timed("read by aggregate (order)", rows, aggregate),
                self._timed("newest 100 of an instrument", rows, instrument, questions=8, warm_up=2),
            ]
        finally:
            history.close()

    def _timed(
        self,
        name: str,
        rows: int,
        ask: Callable[[], None],
        *,
        questions: int = _QUESTIONS,
        warm_up: int = _WARM_UP,
    ) -> Answer:
        taken: list[float] = []
        for _ in range(questions + warm_up):
            began = time.perf_counter()
            ask()
            taken.append((time.perf_counter() - began) * 1000)
        taken = taken[warm_up:]
        p95 = quantiles(taken, n=20)[-1]
        cpu = self._engine_cpu_ms(questions)
        return Answer(name, rows, round(median(taken), 2), round(p95, 2), round(max(taken), 2), round(cpu, 2))

    def _engine_cpu_ms(self, questions: int) -> float:
        """Of the latest questions; the engine writes its log once a second."""
        time.sleep(_LOG_S)
        sql = (
            "SELECT median(cpu) FROM (SELECT ProfileEvents['OSCPUVirtualTimeMicroseconds'] / 1000 AS cpu "
            "FROM system.query_log WHERE type = 'QueryFinish' AND query_kind = 'Select' "
            "AND has(tables, {table:String}) ORDER BY event_time_microseconds DESC LIMIT {questions:UInt32})"
        )
        found = self.store.query(sql, {"table": f"{self.store.database}.events", "questions": questions})
        return float(found[0][0])


def verdict(answers: Sequence[Answer]) -> list[str]:
    """What is missed, for the questions that have a bar: the median, least to most rows."""
    missed: list[str] = []
    for question in ("trace by correlation id", "read by aggregate (order)"):
        found = [answer for answer in answers if answer.question == question]
        if not found:
            continue
        slower = found[-1].p50_ms / found[0].p50_ms
        if slower >= SLOWER_MAX:
            missed.append(f"{question}: {slower:.1f} times slower from {found[0].rows:,} to {found[-1].rows:,} rows")
        if found[-1].p50_ms >= MS_MAX:
            missed.append(f"{question}: {found[-1].p50_ms} ms at {found[-1].rows:,} rows")
    return missed


def _sizes(rows: int) -> list[int]:
    """1 M, 10 M, 100 M as far as they go, and the last size that was asked for."""
    return sorted({*(size for size in (1_000_000, 10_000_000, 100_000_000) if size < rows), rows})


def _room(folder: Path, rows: int) -> str | None:
    need, free = rows * _BYTES_PER_ROW, shutil.disk_usage(folder).free
    return f"{need / 1e9:.0f} GB may be needed, {free / 1e9:.0f} are free in {folder}" if need > free * 0.9 else None


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if every bar is held."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    parser.add_argument("--rows", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=REPO / "benchmarks" / "results", help="default: %(default)s")
    given = parser.parse_args(arguments)
    configure_logs("WARNING", "console", component="bench")
    console = Console(width=None if sys.stdout.isatty() else 120)
    answers: list[Answer] = []
    with tempfile.TemporaryDirectory(prefix="tradewire-bench-") as folder:
        if (want := _room(Path(folder), given.rows)) is not None:
            print(f"{want}: set TMPDIR to a folder with more room, or SCALE to fewer rows", file=sys.stderr)
            return 2
        try:
            with running_engine(Path(folder), database=_DATABASE) as settings:
                growth = Growth(settings)
                growth.seed()
                for rows in _sizes(max(given.rows, 2 * _SEED_EVENTS)):
                    began = time.monotonic()
                    growth.grow(rows)
                    console.print(f"{rows:,} rows, made in {time.monotonic() - began:,.0f} s", style="dim")
                    for answer in growth.ask(rows):
                        answers.append(answer)
                        console.print(
                            f"  {answer.question:<28} p50 {answer.p50_ms:>8.1f} ms   p95 {answer.p95_ms:>8.1f} ms   "
                            f"max {answer.max_ms:>8.1f} ms   engine's processor {answer.engine_cpu_ms:>6.1f} ms",
                            highlight=False,
                        )
                columns = sizes_by_column(growth.store)
                elsewhere = sizes_elsewhere(growth.events)
                growth.close()
        except StackError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    console.print(disk_table(columns, elsewhere))
    missed = verdict(answers)
    for line in missed:
        console.print(f"missed: {line}", style="red", highlight=False)
    given.output.mkdir(parents=True, exist_ok=True)
    result = {
        "answers": [asdict(answer) for answer in answers],
        "columns": [asdict(column) for column in columns],
        "elsewhere": elsewhere,
        "missed": missed,
    }
    (given.output / "growth.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
