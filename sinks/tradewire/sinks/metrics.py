"""What the sink tells Prometheus. Names and labels are part of its interface; no ids in labels."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from tradewire.core.errors import SinkError

ROWS: Final = Counter("tradewire_sink_rows", "Records stored in ClickHouse", ["topic"])
BATCHES: Final = Counter("tradewire_sink_batches", "Batches of one partition stored in ClickHouse", ["topic"])
DEAD_LETTERS: Final = Counter("tradewire_sink_dead_letters", "Records stored as dead letters", ["topic", "reason"])
INTENTS_REPLAYED: Final = Counter(
    "tradewire_sink_intents_replayed", "Batches done again because their sink ended in the middle of them", ["topic"]
)
MENDED: Final = Counter(
    "tradewire_sink_rows_mended", "Rows put in again: ClickHouse remembered the insert without its rows", ["topic"]
)
INSERT_SECONDS: Final = Histogram(
    "tradewire_sink_insert_seconds",
    "Time of one insert of one block",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
INSERT_ERRORS: Final = Counter("tradewire_sink_insert_errors", "Inserts that failed and are tried again")
COMMIT_ERRORS: Final = Counter("tradewire_sink_commit_errors", "Offset commits that failed and are tried again")
LAG: Final = Gauge("tradewire_sink_lag", "Records in Kafka that are not stored yet", ["topic", "partition"])
BUFFERED_BYTES: Final = Gauge("tradewire_sink_buffered_bytes", "Bytes read from Kafka and not stored yet")
PAUSED: Final = Gauge("tradewire_sink_paused", "1 while reading is paused because the buffer is full")


def serve_metrics(port: int) -> None:
    """Answers ``GET /metrics`` on loopback from a daemon thread.

    Raises:
        SinkError: the port is taken.
    """
    try:
        start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise SinkError(f"sink.metrics_port={port} cannot be opened: {error.strerror}; give it another port") from error
