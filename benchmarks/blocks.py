"""Ready Avro blocks of a topic, as a sink would make them that never had to cut one for its age."""

from __future__ import annotations

from benchmarks.log import Log
from tradewire.core import Settings
from tradewire.schemas import Contract
from tradewire.sinks.container import Block, build_block
from tradewire.sinks.records import RecordColumns
from tradewire.sinks.store import Store
from tradewire.sinks.tables import Tables, Target


def ready_blocks(settings: Settings, contract: Contract, log: Log, store: Store, topic: str) -> tuple[str, list[Block]]:
    """The landing table and the blocks of a topic of one event type; makes the tables of the store's database."""
    tables = Tables(store, contract.catalogue, contract.schema_ids, settings.sink.deduplication_window)
    tables.ensure()
    rows_max = settings.sink.batch_rows_max
    blocks: list[Block] = []
    landing = ""
    for partition, messages in log.by_partition(topic).items():
        target = tables.target(int.from_bytes(messages[0].value()[1:5], "big"))
        assert isinstance(target, Target)
        landing = target.landing
        for at in range(0, len(messages), rows_max):
            batch = RecordColumns(topic, partition)
            batch.extend(messages[at : at + rows_max])
            blocks.append(build_block(batch, range(len(batch)), target.shape))
    return landing, blocks
