"""A stretch of the busiest partition, replayed to a topic and read out of ClickHouse: the same bytes three times."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from tradewire.core import Settings
from tradewire.operations.demo.checks import Check, PartitionRow
from tradewire.schemas import Contract, Topic, TopicAdmin
from tradewire.sinks import OffsetRange, Replay, digest_of
from tradewire.sinks.raw_history import RawHistory

_RECORDS_MAX = 5_000


def replay_check(
    settings: Settings, contract: Contract, rows: Sequence[PartitionRow], console: Console
) -> Sequence[Check]:
    """Replays up to 5,000 records from the middle of the busiest partition; says how, and compares the digests."""
    if not rows:
        return ()
    busiest = max(rows, key=lambda row: row.in_kafka)
    lo = max(0, (busiest.in_kafka - _RECORDS_MAX) // 2)
    wanted = OffsetRange(busiest.topic, busiest.partition, lo, min(lo + _RECORDS_MAX, busiest.in_kafka) - 1)
    target = Topic(
        f"replay.{busiest.topic}",
        "replay",
        partitions=contract.topics[busiest.topic].partitions,
        timestamps="CreateTime",
    )
    TopicAdmin(settings.kafka).ensure({target.name: target})
    with Replay(settings) as replay:
        result = replay.to_topic(wanted, target.name, exact=True)
        again = digest_of(replay.records(OffsetRange(target.name, busiest.partition, 0)))
    history = RawHistory(settings.clickhouse)
    try:
        stored = digest_of(history.records(wanted.topic, wanted.partition, lo, wanted.hi or 0))
    finally:
        history.close()
    console.print(
        f"replayed {wanted.topic}[{wanted.partition}] offsets {lo:,} to {wanted.hi:,} to {target.name}: "
        f"{result.digest.records:,} records, {result.digest.bytes:,} bytes, sha256 {result.digest.sha256[:16]}…"
    )
    return (
        Check("replayed bytes: source topic and target topic", result.digest.sha256[:16], again.sha256[:16]),
        Check("replayed bytes: source topic and ClickHouse", result.digest.sha256[:16], stored.sha256[:16]),
    )
