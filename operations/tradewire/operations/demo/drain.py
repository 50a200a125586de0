"""Waiting until a group has worked through what its topics hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tradewire.core import StackError
from tradewire.core.settings import KafkaSettings

_TIMEOUT_S = 10


def group_lag(kafka: KafkaSettings, group: str, topics: Mapping[str, int]) -> int:
    """Records of the topics (name to partitions) that the group has not committed; reads, and joins nothing."""
    config = {**kafka.client_config(), "group.id": group, "enable.auto.commit": False, "log_level": 2}
    consumer = Consumer(config)
    try:
        places = [TopicPartition(topic, partition) for topic, count in topics.items() for partition in range(count)]
        committed = {(place.topic, place.partition): place.offset for place in consumer.committed(places, _TIMEOUT_S)}
        lag = 0
        for place in places:
            low, high = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
            lag += high - max(low, committed[place.topic, place.partition])
        return lag
    finally:
        consumer.close()


def wait_until_drained(
    kafka: KafkaSettings,
    groups: Mapping[str, Mapping[str, int]],
    *,
    timeout_s: float,
    on_lag: Callable[[Mapping[str, int]], None],
) -> None:
    """Blocks until no group has any lag, twice in a row: the work of one group may be the input of another.

    Raises:
        StackError: some group still lags after ``timeout_s``; says which and how far.
    """
    deadline = time.monotonic() + timeout_s
    quiet = 0
    lags: dict[str, int] = {}
    while quiet < 2:
        try:
            lags = {group: group_lag(kafka, group, topics) for group, topics in groups.items()}
        except KafkaException:  # a coordinator that is only now being elected answers on the next try
            lags = dict.fromkeys(groups, -1)
        on_lag(lags)
        quiet = quiet + 1 if not any(lags.values()) else 0
        if time.monotonic() > deadline:
            behind = ", ".join(f"{group} by {lag:,}" for group, lag in lags.items() if lag)
            raise StackError(f"still behind after {timeout_s:.0f} s: {behind or 'nobody for long enough'}")
        time.sleep(0.2)
