"""Compacted topics: the newest position of each key, in Kafka and in the table of read models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from tradewire.sinks.audit.findings import Anomaly, Gap, merge
from tradewire.sinks.audit.kafka_reader import KafkaReader, NotAuditable
from tradewire.sinks.audit.partition_audit import Compared
from tradewire.sinks.audit.rebuilt_rows import RebuiltRows
from tradewire.sinks.audit.stored_rows import StoredRows
from tradewire.sinks.positions import PartitionPosition

# About 150 bytes a key.
KEYS_MAX: Final = 10_000_000


def newest_of_keys(messages: Iterable[Any], where: str, keys_max: int = KEYS_MAX) -> dict[bytes, tuple[int, bool]]:
    """Offset of the newest record of each key, and whether it is a tombstone.

    Raises:
        NotAuditable: more keys than memory is to hold.
    """
    newest: dict[bytes, tuple[int, bool]] = {}
    for message in messages:
        newest[message.key() or b""] = (message.offset(), message.value() is None)
        if len(newest) > keys_max:
            raise NotAuditable(f"{where} has more than {keys_max:,} keys: audit it with an external tool")
    return newest


def compare_keys(
    in_kafka: dict[bytes, tuple[int, bool]],
    stored: Iterable[tuple[bytes, int, bool]],
    stored_to: int,
    dead: set[int],
    deleted_to: int = 0,
) -> Compared:
    """Pure but for taking keys out of ``in_kafka``. ``dead`` are offsets that became dead letters instead of rows.

    Below ``deleted_to`` retention has deleted rows. A key whose newest record lies at or above ``stored_to`` on either
    side is still on its way and not judged.
    """
    compared = Compared(records=len(in_kafka))
    found: list[tuple[int, Anomaly]] = []
    for key, offset, deleted in stored:
        compared.rows += 1
        expected = in_kafka.pop(key, None)
        if offset >= stored_to or (expected is not None and expected[0] >= stored_to):
            compared.gaps[Gap.NOT_STORED_YET] += 1
        elif expected is None:
            # The cleaner takes tombstones away in the end; the row that says "deleted" stays.
            if not deleted:
                found.append((offset, Anomaly.PHANTOM))
        elif expected[0] in dead:
            compared.dead_letters += 1
        elif expected[0] > offset:
            found.append((expected[0], Anomaly.LOST_WRITE))
        elif expected[0] < offset:
            found.append((offset, Anomaly.PHANTOM))
        elif expected[1] != deleted:
            found.append((offset, Anomaly.ALTERED))
    for offset, _ in in_kafka.values():
        if offset >= stored_to:
            compared.gaps[Gap.NOT_STORED_YET] += 1
        elif offset in dead:
            compared.dead_letters += 1
        else:
            found.append((offset, Anomaly.LOST_WRITE))
    kept = [(offset, anomaly) for offset, anomaly in found if offset >= deleted_to or anomaly is not Anomaly.LOST_WRITE]
    compared.gaps[Gap.ARCHIVED] += len(found) - len(kept)
    compared.note(merge(kept))
    return compared


def audit_compacted(
    reader: KafkaReader,
    stored: StoredRows,
    position: PartitionPosition,
    table: str,
    on_records: Callable[[int], None],
    rebuilt: RebuiltRows | None = None,
) -> Compared:
    """Compares one partition as a whole: of a compacted topic a range of offsets says nothing.

    ``rebuilt``: every column, too, of the rows whose records Kafka still has.
    """
    topic, partition = position.topic, position.partition
    dead = stored.dead_offsets(topic, partition)

    def messages() -> Iterable[Any]:
        for chunk in reader.read(topic, partition, position.low, position.end):
            yield from chunk
            if chunk and rebuilt is not None:
                rebuilt.add(topic, partition, chunk)
            if chunk:
                on_records(chunk[-1].offset() + 1)

    if rebuilt is not None:
        rebuilt.clear()
    in_kafka = newest_of_keys(messages(), f"{topic}[{partition}]")
    rows = stored.newest_of_keys(table, topic, partition) if stored.has_table(table) else ()
    deleted_to = stored.archived_to(topic, partition, "tables")
    compared = compare_keys(in_kafka, rows, position.stored_to or 0, dead, deleted_to)
    if rebuilt is not None:
        differing = rebuilt.differing(topic, partition, position.low, position.stored_to or position.low)
        compared.note(merge((at, Anomaly.ALTERED) for offsets in differing.values() for at in offsets))
    compared.gaps = Counter({gap: count for gap, count in compared.gaps.items() if count})
    return compared
