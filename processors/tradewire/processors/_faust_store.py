"""The worker's tables as Faust tables on RocksDB: Faust recovers and assigns them, we write them in whole batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import faust
import rocksdict
from faust.types import TP

from tradewire.processors.tables import Table

# Keys under which Faust keeps its own offsets beside the states.
_FAUSTS_OWN = b"__faust"
# Faust's defaults are for one big table: 2 GiB of block cache and 64 MiB of write buffer per store.
_ROCKSDB_OPTIONS = {
    "driver": "rocksdict",
    "write_buffer_size": 16 * 1024 * 1024,
    "target_file_size_base": 16 * 1024 * 1024,
    "block_cache_size": 32 * 1024 * 1024,
    "bloom_filter_size": 10,
}


def declare_table(app: faust.App, table: Table, partitions: int) -> Any:
    """A Faust table whose changelog is the read model's own topic; keys and values are bytes to Faust."""
    changelog = app.topic(
        table.topic,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=partitions,
        acks=False,
        internal=True,
        allow_empty=True,
        maxsize=131_072,
    )
    return app.Table(
        table.name,
        key_type=bytes,
        value_type=bytes,
        partitions=partitions,
        changelog_topic=changelog,
        options=dict(_ROCKSDB_OPTIONS),
        help=table.type,
    )


def write_states(store: Any, partition: int, states: Sequence[tuple[bytes, bytes | None]], offset: int | None) -> None:
    """Writes states (None: deletes) to Faust's RocksDB ``store``, and where its changelog is up to, all or none."""
    batch = rocksdict.WriteBatch(raw_mode=True)
    for key, value in states:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    if offset is not None:
        batch.put(store.offset_key, str(offset).encode())
    store._db_for_partition(partition).write(batch)


class FaustStore:
    """``StateStore`` on the RocksDB files of Faust's tables.

    The mapping interface of a Faust table costs some 350 µs a write and needs a current event. This writes a batch at a
    time, with the changelog offset in the same atomic write, in the form in which Faust's own recovery writes.
    """

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._tables = tables

    def load(self, table: Table, partition: int, key: bytes) -> bytes | None:
        value: bytes | None = self._tables[table.name].data._db_for_partition(partition).get(key)
        return value

    def load_many(self, table: Table, partition: int, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """As ``load`` for each key, in one look."""
        found: list[bytes | None] = self._tables[table.name].data._db_for_partition(partition).get(list(keys))
        return found

    def scan(self, table: Table, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """All states of a partition, by key."""
        for key, value in self._tables[table.name].data._db_for_partition(partition).items():
            if not key.startswith(_FAUSTS_OWN):
                yield key, value

    def store(
        self, table: Table, partition: int, states: Sequence[tuple[bytes, bytes | None]], offset: int | None
    ) -> None:
        """Writes states (None: deletes) and the offset of the last of them in the changelog, all or none."""
        write_states(self._tables[table.name].data, partition, states, offset)

    def persisted_offset(self, table: Table, partition: int) -> int | None:
        """The changelog offset up to which a partition is in the store."""
        offset: int | None = self._tables[table.name].data.persisted_offset(TP(table.topic, partition))
        return offset
