"""A plain Faust agent: one event at a time, a RocksDB table written per event, the read model sent per event.

Told to do nothing it only reads, as the smallest agent of Faust's own documentation does.

Faust's own defaults, but for what makes it comparable: no web server, raw bytes in, offsets committed as often as ours.
"""

from __future__ import annotations

import logging
from typing import Any

import faust

from benchmarks.peers.last_price import decoder, fold, given

app = faust.App(
    given("group"),
    broker=f"kafka://{given('broker')}",
    store="rocksdb://",
    datadir=given("folder"),
    topic_partitions=int(given("partitions")),
    topic_replication_factor=1,
    topic_disable_leader=True,
    broker_commit_interval=float(given("commit_s")),
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
)
trades = app.topic(
    given("topic"), key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", allow_empty=True
)
changed = app.topic(given("out"), key_serializer="raw", value_serializer="json")
NOOP = bool(given("noop"))
table = app.Table("last_price", partitions=int(given("partitions")))
decode = decoder()


@app.agent(trades)
async def last_price(stream: Any) -> None:
    """Decodes, folds, writes the table, sends the read model; then the next event."""
    if NOOP:
        async for _ in stream:
            pass
    async for key, value in stream.items():
        subject = key.decode()
        state = fold(table.get(subject), decode(value))
        table[subject] = state
        await changed.send(key=key, value=state)


if __name__ == "__main__":
    faust.Worker(app, loglevel=logging.WARNING).execute_from_commandline()
