"""Rows that ClickHouse took for stored and has not: found by their offsets, put in again.

MergeTree writes the token of a block into its deduplication log before it gives the block's part its name
(``MergeTreeSink::finishDelayedChunk``; seen with engine 26.9). Whoever kills the engine between the two leaves a token
without rows: the insert that is repeated, as the protocol has it, is dropped as one that is there already. The views of
one insert do this apart, so ``events`` may lack what the typed table has. Nothing but the rows themselves tells.

So a batch that was tried before is looked at when all its inserts have been answered, and what its tables lack is
inserted under further tokens, counted up from 1 for whoever does the batch. They are the same for all: what a zombie
sends late is dropped as an insert of the batch itself would be. Nothing is ever deleted here, which a zombie could
do after its time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tradewire.core import get_logger
from tradewire.sinks import metrics
from tradewire.sinks.container import build_block, group_name
from tradewire.sinks.dead_letters import DEAD_COLUMNS, DELETED_COLUMNS, TABLE, build_dead, build_deleted
from tradewire.sinks.store import Store

if TYPE_CHECKING:
    from tradewire.sinks.batch import Job

_log = get_logger(__name__)
# Each needs an engine that is killed in the same moment once more.
MENDS_MAX: Final = 20


def rows_of(job: Job) -> Mapping[str, Sequence[int]]:
    """The records of a batch, by their place, that each table is to have rows of. Pure.

    Of a compacted topic it is the newest record of each key: ClickHouse may have merged the others away.
    """
    plan, batch = job.plan, job.batch
    dead = {malformed.at for malformed in plan.malformed}
    events: dict[str, set[int]] = {}
    compacted: dict[str, set[int]] = {}
    for key, indexes in plan.groups.items():
        feeds = plan.targets[key].feeds
        for table in feeds:
            of_keys = compacted if "events" not in feeds else events
            of_keys.setdefault(table, set()).update(index for index in indexes if index not in dead)
    if plan.deleted and plan.deleted_table is not None:
        compacted.setdefault(plan.deleted_table, set()).update(plan.deleted)
    if dead:
        events[TABLE] = dead
    newest = {
        table: set({batch.keys[index] or b"": index for index in sorted(indexes)}.values())
        for table, indexes in compacted.items()
    }
    return {table: sorted(indexes) for table, indexes in (events | newest).items()}


def mend(job: Job, store: Store) -> None:
    """Inserts the rows of a batch that its tables do not have although every insert of it was answered.

    Only for a batch that was tried before: for any other the answer of its inserts is proof.

    Raises:
        ClickHouseUnavailable: do the batch again.
        BlockRefused: as ``write``.
    """
    wanted = rows_of(job)
    for number in range(1, MENDS_MAX + 1):
        lost = {table: missing for table, rows in wanted.items() if (missing := _missing(job, store, table, rows))}
        if not lost:
            return
        metrics.MENDED.labels(job.batch.topic).inc(sum(map(len, lost.values())))
        reason = "ClickHouse remembered the inserts without their rows: was it killed?"
        _log.warning(
            "rows_mended", **_named(job), rows={table: len(rows) for table, rows in lost.items()}, reason=reason
        )
        for table, missing in lost.items():
            _insert(job, store, table, set(missing), f"mend-{number}:{table}:")
    reason = "inserts are answered and their rows are not there: does something delete them? Run `tradewire audit`"
    _log.error("rows_missing", **_named(job), reason=reason)


def _missing(job: Job, store: Store, table: str, indexes: Sequence[int]) -> Sequence[int]:
    batch, intent = job.batch, job.intent
    offsets = store.offsets_in(table, batch.topic, batch.partition, intent.lo, intent.hi)
    found = set(offsets)
    if len(found) < len(offsets) and job.plan.deleted_table is None:
        # Later releases of ClickHouse write rows first and then the token: killed in between, they insert twice.
        reason = (
            "ClickHouse has rows of this batch more than once: `tradewire audit` names them, and heals them if told"
        )
        _log.error("rows_doubled", **_named(job), table=table, rows=len(offsets) - len(found), reason=reason)
    return [index for index in indexes if batch.offsets[index] not in found]


def _named(job: Job) -> Mapping[str, Any]:
    batch, intent = job.batch, job.intent
    return {"topic": batch.topic, "partition": batch.partition, "lo": intent.lo, "hi": intent.hi}


def _insert(job: Job, store: Store, table: str, missing: Collection[int], prefix: str) -> None:
    batch, plan = job.batch, job.plan

    def token(group: int | str, rows: int) -> str:
        return prefix + job.intent.token(batch.topic, batch.partition, group, rows)

    if table == TABLE:
        rows, body = build_dead(batch, sorted(bad for bad in plan.malformed if bad.at in missing))
        store.insert_avro(table, body, token=token("dead", rows), columns=DEAD_COLUMNS)
        return
    for key in sorted(plan.groups, key=str):
        target = plan.targets[key]
        indexes = [index for index in plan.groups[key] if index in missing]
        if table in target.feeds and indexes:
            block = build_block(batch, indexes, target.shape)
            landing = store.landing_of(target.landing, table, target.feeds[table])
            store.insert_avro(landing, block.body, token=token(group_name(key), block.rows))
    deleted = [index for index in plan.deleted if index in missing]
    if deleted and table == plan.deleted_table:
        store.insert_avro(
            table, build_deleted(batch, deleted), token=token("deleted", len(deleted)), columns=DELETED_COLUMNS
        )
