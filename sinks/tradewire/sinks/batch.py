"""One batch on its way into ClickHouse: which inserts it is, and doing them until all are done."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tradewire.core import get_logger
from tradewire.core.errors import ClickHouseUnavailable
from tradewire.core.failpoints import failpoint
from tradewire.sinks import metrics
from tradewire.sinks.container import Block, Malformed, Split, WriterKey, build_block, group_name, key_name, unreadable
from tradewire.sinks.dead_letters import DEAD_COLUMNS, DELETED_COLUMNS, PARKED, TABLE, build_dead, build_deleted
from tradewire.sinks.mending import mend
from tradewire.sinks.protocol import Intent
from tradewire.sinks.records import RecordColumns
from tradewire.sinks.store import BlockRefused, Store
from tradewire.sinks.tables import NoTarget, Target

_log = get_logger(__name__)
_BACKOFF_S_MIN = 0.1
_BACKOFF_S_MAX = 5.0
# How long an insert of a sink that is gone may go on before it is killed.
_SETTLE_MS = 10_000


@dataclass(slots=True)
class Plan:
    """The records of a batch by where they go. Made before the intent, so that what is unknown then is part of it."""

    groups: dict[WriterKey, list[int]] = field(default_factory=dict)
    targets: dict[WriterKey, Target] = field(default_factory=dict)
    deleted: list[int] = field(default_factory=list)
    deleted_table: str | None = None
    malformed: list[Malformed] = field(default_factory=list)
    dead_schemas: list[int | str] = field(default_factory=list)


def plan_parked(batch: RecordColumns) -> Plan:
    """The plan of a topic of dead letters: all of them are rows of ``dead_letters``."""
    return Plan(malformed=[Malformed(index, PARKED, "") for index in range(len(batch))])


def plan_batch(
    batch: RecordColumns,
    split: Split,
    resolved: Mapping[WriterKey, Target | NoTarget],
    read_model: str | None,
) -> Plan:
    """Sorts a batch by target. ``read_model`` is the table of a compacted topic: no value means deleted there."""
    plan = Plan(malformed=split.malformed)
    for key, indexes in split.by_schema.items():
        found = resolved[key]
        if isinstance(found, Target):
            plan.groups[key] = indexes
            plan.targets[key] = found
        else:
            plan.dead_schemas.append(key_name(key))
            plan.malformed += [Malformed(index, found.reason, found.error) for index in indexes]
    for index in split.tombstones:
        if read_model is not None and batch.keys[index]:
            plan.deleted.append(index)
        else:
            plan.malformed.append(
                Malformed(index, "no value", "the record has no value: a tombstone on a topic of events?")
            )
    plan.deleted_table = read_model
    return plan


@dataclass(slots=True)
class Job:
    """A batch whose intent is stored. ``cancelled`` ends its retries; whoever owns the partition then does it again."""

    batch: RecordColumns
    intent: Intent
    plan: Plan
    replayed: bool
    cancelled: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)
    done_groups: set[WriterKey] = field(default_factory=set)
    settled: bool = False
    begun: bool = False


def write(job: Job, store: Store) -> None:
    """Does every insert of the batch that is not done yet.

    The same batch is always the same inserts with the same tokens: after a failure or a crash, doing it again adds
    nothing that is there already. A batch that was tried before is then looked at, row by row (``mend``).

    Raises:
        ClickHouseUnavailable, BlockRefused: what was done stays done and is not done again for this job.
    """
    batch, intent, plan = job.batch, job.intent, job.plan
    tried_before, job.begun = job.replayed or job.begun, True
    if job.replayed and not job.settled:
        store.settle(intent.token_prefix(batch.topic, batch.partition), wait_ms=_SETTLE_MS)
        job.settled = True
    for key in sorted(plan.groups, key=str):
        if key not in job.done_groups:
            plan.malformed += _write_group(job, key, store)
            job.done_groups.add(key)
            failpoint("sink.mid_insert")
    if plan.deleted and plan.deleted_table is not None:
        token = intent.token(batch.topic, batch.partition, "deleted", len(plan.deleted))
        _insert(store, plan.deleted_table, build_deleted(batch, plan.deleted), token, DELETED_COLUMNS)
    if plan.malformed:
        rows, body = build_dead(batch, sorted(plan.malformed))
        _insert(store, TABLE, body, intent.token(batch.topic, batch.partition, "dead", rows), DEAD_COLUMNS)
        for malformed in plan.malformed:
            metrics.DEAD_LETTERS.labels(batch.topic, malformed.reason).inc()
    if tried_before:
        mend(job, store)
    metrics.ROWS.labels(batch.topic).inc(len(batch))
    metrics.BATCHES.labels(batch.topic).inc()
    failpoint("sink.after_insert")


def _write_group(job: Job, key: WriterKey, store: Store) -> list[Malformed]:
    """Inserts the records of one schema id; returns those that are at fault instead."""
    batch, target, indexes = job.batch, job.plan.targets[key], job.plan.groups[key]
    block = build_block(batch, indexes, target.shape)
    at_fault: list[Malformed] = []
    try:
        _insert_block(job, key, block, store)
    except BlockRefused:
        at_fault = unreadable(batch, indexes, target.shape)
        known = {malformed.at for malformed in at_fault}
        at_fault += _refused(batch, [at for at in indexes if at not in known], target, store)
        if not at_fault:
            raise
        known = {malformed.at for malformed in at_fault}
        block = build_block(batch, [at for at in indexes if at not in known], target.shape)
        _insert_block(job, key, block, store)
    return [*at_fault, *block.malformed]


def _insert_block(job: Job, key: WriterKey, block: Block, store: Store) -> None:
    if block.rows:
        token = job.intent.token(job.batch.topic, job.batch.partition, group_name(key), block.rows)
        _insert(store, job.plan.targets[key].landing, block.body, token)


def _refused(batch: RecordColumns, indexes: Sequence[int], target: Target, store: Store) -> list[Malformed]:
    """The records that ClickHouse itself cannot read, found by halving: it is stricter than Avro readers."""
    block = build_block(batch, indexes, target.shape)
    error = store.refusal(target.landing, block.body) if block.rows else None
    if error is None:
        return []
    if len(indexes) == 1:
        return [Malformed(indexes[0], "avro", error)]
    half = len(indexes) // 2
    return [
        *_refused(batch, indexes[:half], target, store),
        *_refused(batch, indexes[half:], target, store),
    ]


def _insert(store: Store, table: str, body: bytes, token: str, columns: Sequence[str] | None = None) -> None:
    with metrics.INSERT_SECONDS.time():
        store.insert_avro(table, body, token=token, columns=columns)


def _let_go(error: BaseException) -> None:
    """Empties the frames of a failure. It is in a circle with them, and they hold the block: each attempt would keep
    its own megabytes until garbage is collected, which a sink hardly ever does."""
    chain: list[BaseException] = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None and before not in chain:
        chain.append(before)
    for failure in chain:
        traceback.clear_frames(failure.__traceback__)


class Inserter:
    """Threads that insert batches, each until it is done. Kafka is polled meanwhile.

    While the engine works on the batch of one thread the next builds its block. Batches of one partition never come
    here two at a time, so that their order is kept; those of different partitions may end in any order.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        """A thread per store."""
        self._threads = [
            threading.Thread(target=self._run, args=(store,), name=f"tradewire-sink-inserter-{number}", daemon=True)
            for number, store in enumerate(stores)
        ]
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self.failure: BaseException | None = None

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float) -> None:
        """Waits for the threads to end, as long as the timeout in all."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def idle(self) -> bool:
        """Whether some thread has nothing to do."""
        return self._waiting < len(self._threads)

    @property
    def waiting(self) -> int:
        """Batches handed over and not done."""
        return self._waiting

    def submit(self, job: Job) -> None:
        with self._lock:
            self._waiting += 1
        self._jobs.put(job)

    def close(self) -> None:
        """Ends the threads after the batches that are not cancelled."""
        for _ in self._threads:
            self._jobs.put(None)

    def _run(self, store: Store) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                self._until_done(job, store)
                with self._lock:
                    self._waiting -= 1
        except BaseException as error:  # the loop must not wait for ever for a thread that is gone
            self.failure = error
        finally:
            store.close()

    def _until_done(self, job: Job, store: Store) -> None:
        backoff_s = _BACKOFF_S_MIN
        while not job.cancelled.is_set():
            started = time.monotonic()
            try:
                write(job, store)
            except (ClickHouseUnavailable, BlockRefused) as error:
                metrics.INSERT_ERRORS.inc()
                _log.warning(
                    "insert_failed",
                    topic=job.batch.topic,
                    partition=job.batch.partition,
                    lo=job.intent.lo,
                    hi=job.intent.hi,
                    error=str(error),
                    again_in_s=backoff_s,
                )
                _let_go(error)
                job.cancelled.wait(backoff_s)
                backoff_s = min(backoff_s * 2, _BACKOFF_S_MAX)
                continue
            job.finished.set()
            _log.debug(
                "batch_stored",
                topic=job.batch.topic,
                partition=job.batch.partition,
                lo=job.intent.lo,
                hi=job.intent.hi,
                rows=len(job.batch),
                seconds=round(time.monotonic() - started, 4),
            )
            return
