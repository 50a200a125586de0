"""ClickHouse away for minutes under a steady stream: the longer form of a test in ``test_sink``."""

from __future__ import annotations

import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer
from tests.operations.chaos_parts import Engine
from tests.sinks.arena import Arena, make_arena
from tests.sinks.test_sink import members_of, rss_kb
from tests.waiting import wait_until

from tradewire.core import Settings, new_id
from tradewire.operations.stack import free_ports
from tradewire.schemas import Contract
from tradewire.sinks.audit import Auditor, AuditRange
from tradewire.sinks.positions import SinkPositions

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(1_800)]
_EVENTS_PER_S: Final = 2_000
_STOPPED_S: Final = 90.0
_AWAY_S: Final = 180.0
_PARTITIONS: Final = (0, 1)
_ROWS_MAX: Final = 10_000
# The buffer holds two batches and what one call to Kafka gave too much; of each partition a batch is under way.
_ROWS_HELD: Final = _ROWS_MAX * (2 + len(_PARTITIONS)) + 10_000
# A row takes some 600 bytes; librdkafka reads 8 MiB ahead for each of four partitions and needs as much again for what
# it keeps of each record; two blocks are being sent. The whole stream, held, was half as much again.
_MEMORY_KB_MAX: Final = _ROWS_HELD + 2 * 4 * 8_192 + 32_768


@contextmanager
def stream(arena: Arena) -> Iterator[None]:
    """Publishes all the time, so many a second; at the end all of it is acknowledged and counted in ``arena.sent``."""
    topic, events, stopping = arena.topic("market"), arena.events(1_000), threading.Event()
    producer = Producer({**arena.settings.kafka.client_config(), "enable.idempotence": True, "linger.ms": 20})
    acknowledged = dict.fromkeys(_PARTITIONS, 0)
    failed: list[Any] = []

    def delivered(error: Any, message: Any) -> None:
        if error:
            failed.append(error)
        else:
            acknowledged[message.partition()] += 1

    def publish() -> None:
        began, sent = time.monotonic(), 0
        partitions, records = cycle(_PARTITIONS), cycle(events)
        while not stopping.wait(0.02):
            due = int((time.monotonic() - began) * _EVENTS_PER_S)
            for _ in range(due - sent):
                record = next(records)
                producer.produce(
                    topic, record.value, record.key, next(partitions),
                    headers=list(record.headers), on_delivery=delivered,
                )  # fmt: skip
            sent = due
            producer.poll(0)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(60)
        left = producer.flush(60)
        for partition, count in acknowledged.items():
            arena.sent[topic, partition] = arena.sent.get((topic, partition), 0) + count
    assert (0, []) == (left, failed)


def is_paused(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return "\ntradewire_sink_paused 1.0\n" in answer.read().decode()


def test_clickhouse_away_for_minutes_costs_neither_membership_nor_memory_nor_events(
    settings: Settings, contract: Contract, tmp_path: Path
) -> None:
    """The engine hangs for half of the time and is dead for the other, 15 times as long as the group lets a member
    not poll: the sink keeps its partitions, and of the 360,000 events published meanwhile it holds what its batches
    allow. Afterwards every event is there once, by count and by the audit, and nothing is left to be stored."""
    engine, (metrics_port,) = Engine(tmp_path), free_ports(1)
    engine.start()
    engine.wait_ready()
    own = settings.model_copy(update={"clickhouse": settings.clickhouse.model_copy(update={"port": engine.port})})
    arena = make_arena(
        own, contract, tmp_path, new_id()[-12:], "tradewire",
        poll_interval_ms_max=12_000, batch_rows_max=_ROWS_MAX, batch_age_ms_max=500, metrics_port=metrics_port,
    )  # fmt: skip
    memory_kb: list[int] = []
    try:
        sink = arena.start(session_timeout_ms=12_000)
        wait_until(sink.is_assigned, within_s=120, alive=sink.process.poll)
        members, idle_kb = members_of(arena), rss_kb(sink.process.pid)
        with stream(arena):
            market = [arena.topic("market")]
            stored = SinkPositions.of(arena.settings)
            wait_until(
                lambda: all((at.stored_to or 0) > 10_000 for at in stored.read(market)),
                within_s=120, every_s=0.5, alive=sink.process.poll,
            )  # fmt: skip
            before_kb = rss_kb(sink.process.pid)

            def away_for(seconds: float) -> bool:
                memory_kb.append(rss_kb(sink.process.pid))
                return time.monotonic() - away_since >= seconds

            away_since = time.monotonic()
            engine.child.signal(signal.SIGSTOP)
            wait_until(lambda: away_for(_STOPPED_S), within_s=600, every_s=0.5, alive=sink.process.poll)
            assert is_paused(metrics_port)
            engine.close()
            wait_until(lambda: away_for(_AWAY_S), within_s=600, every_s=0.5, alive=sink.process.poll)
            assert is_paused(metrics_port)
            assert members == members_of(arena)
            behind = sum(at.behind or 0 for at in stored.read(market))
            engine.start()
            back_since = time.monotonic()
            engine.wait_ready()
            wait_until(lambda: not is_paused(metrics_port), within_s=300, every_s=0.5, alive=sink.process.poll)
        wait_until(arena.all_stored, within_s=600, every_s=1, alive=sink.process.poll)
        wait_until(lambda: not any(at.behind for at in stored.read(list(arena.topics))), within_s=120, every_s=0.5)
        print(
            f"{sum(arena.sent.values())} events; behind {behind} after {_AWAY_S:.0f} s, caught up in "
            f"{time.monotonic() - back_since:.0f} s; memory KiB: {idle_kb} idle, {before_kb} before, "
            f"{max(memory_kb)} at most, {rss_kb(sink.process.pid)} now"
        )

        assert behind > 0.5 * _AWAY_S * _EVENTS_PER_S
        assert max(memory_kb) - idle_kb < _MEMORY_KB_MAX
        assert members == members_of(arena)
        assert sink.text().count('"assigned"') == 1
        assert sink.stop() == 0
        assert arena.expected() == arena.stored()
        assert Auditor(arena.settings, arena.sink_contract()).run(AuditRange(market)).equal
    finally:
        arena.close()
        engine.close()
