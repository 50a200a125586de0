"""The questions whose answers must agree. Each is asked of two places that know it independently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import Consumer, TopicPartition

from tradewire.core.settings import KafkaSettings

# What the worker says of declared flows is stored as events too. It was not fed, is no step of a flow, and may be there
# twice, under one id, after a worker was killed.
PUBLISHED = "topic != 'flow.events'"


class Client(Protocol):
    """What the checks need of a ClickHouse client."""

    def query(self, query: str, parameters: dict[str, Any] | None = None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of what is expected with what was found."""

    name: str
    expected: object
    found: object

    @property
    def holds(self) -> bool:
        return self.expected == self.found


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """How many events of a partition were published, are in Kafka, and are in ClickHouse once each."""

    topic: str
    partition: int
    published: int
    in_kafka: int
    in_clickhouse: int

    @property
    def holds(self) -> bool:
        return self.published == self.in_kafka == self.in_clickhouse


def partition_rows(
    published: Mapping[tuple[str, int], int],
    in_kafka: Mapping[tuple[str, int], int],
    in_clickhouse: Mapping[tuple[str, int], int],
) -> list[PartitionRow]:
    """Every partition that anybody knows events of, in order; who does not know it counts as 0."""
    places = sorted({place for counts in (published, in_kafka, in_clickhouse) for place, n in counts.items() if n})
    return [
        PartitionRow(*place, published.get(place, 0), in_kafka.get(place, 0), in_clickhouse.get(place, 0))
        for place in places
    ]


def kafka_counts(kafka: KafkaSettings, topics: Mapping[str, int]) -> dict[tuple[str, int], int]:
    """Records per partition by watermarks: exact on topics that are neither compacted nor transactional."""
    consumer = Consumer({**kafka.client_config(), "group.id": "tradewire-demo-counts", "enable.auto.commit": False})
    try:
        counts = {}
        for topic, partitions in topics.items():
            for partition in range(partitions):
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
                counts[topic, partition] = high - low
        return counts
    finally:
        consumer.close()


def clickhouse_counts(client: Client) -> dict[tuple[str, int], int]:
    """Distinct positions per partition in ``events``, of what was published by others than the worker."""
    rows = client.query(
        f"SELECT topic, partition, uniqExact(offset) FROM events WHERE {PUBLISHED} GROUP BY topic, partition"
    ).result_rows
    return {(topic, partition): count for topic, partition, count in rows}


# What must be equal in ClickHouse: the read models of the worker against a fold of the events in SQL.
_EQUAL = (
    ("rows in events are distinct positions", "SELECT count() FROM events",
     "SELECT uniqExact(topic, partition, offset) FROM events"),
    ("event ids are distinct", f"SELECT count() FROM events WHERE {PUBLISHED}",
     f"SELECT uniqExact(id) FROM events WHERE {PUBLISHED}"),
    ("trades behind the last prices", "SELECT count() FROM market_trade_reported",
     "SELECT sum(trade_count) FROM readmodel_last_price FINAL"),
    ("volume behind the candles", "SELECT sum(quantity) FROM market_trade_reported",
     "SELECT sum(volume) FROM readmodel_candle FINAL"),
    ("filled quantity of the orders", "SELECT sum(quantity) FROM trading_order_filled",
     "SELECT sum(filled_quantity) FROM readmodel_order FINAL"),
    ("positions", "SELECT account, symbol, sum(if(side = 'BUY', quantity, -quantity)), sum(fee) "
     "FROM trading_order_filled GROUP BY account, symbol ORDER BY account, symbol",
     "SELECT account, symbol, quantity, fees FROM readmodel_position FINAL "
     "WHERE fill_count > 0 ORDER BY account, symbol"),
    ("flows", "SELECT uniqExact(correlation_id) FROM events", "SELECT count() FROM flows_state FINAL"),
    ("steps of the flows", f"SELECT count() FROM events WHERE {PUBLISHED}",
     "SELECT sum(length(steps) + truncated_count) FROM flows_state FINAL"),
)  # fmt: skip


def read_model_checks(client: Client) -> list[Check]:
    """Read models, flows and uniqueness; a check without data on either side is left out."""
    checks = []
    for name, expected, found in _EQUAL:
        left, right = _rows(client, expected), _rows(client, found)
        if _empty(left) and _empty(right):
            continue
        shown = (left[0][0], right[0][0]) if len(left) == len(right) == 1 and len(left[0]) == 1 else (left, right)
        checks.append(Check(name, *shown))
    return checks


def _rows(client: Client, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in client.query(query).result_rows]


def _empty(rows: Sequence[Iterable[Any]]) -> bool:
    return all(not any(row) for row in rows)
