"""Inserts that come late, a window of tokens that is too small, members that come and go: against real parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.sinks.arena import Arena, make_arena
from tests.waiting import wait_until

from tradewire.core import ClickHouseUnavailable, Settings, new_id
from tradewire.schemas import Contract
from tradewire.sinks import sink
from tradewire.sinks.audit import Anomaly, Auditor, AuditRange
from tradewire.sinks.audit.heal import Healer, plan_repairs
from tradewire.sinks.store import Store

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
Insert = tuple[str, bytes, str, Any]


@contextmanager
def watched_inserts(monkeypatch: pytest.MonkeyPatch, *, held: bool) -> Iterator[list[Insert]]:
    """Every insert of the sinks of this process; ``held``: sent and never seen to be done, as by a sink that dies."""
    seen: list[Insert] = []
    real = Store.insert_avro

    def insert_avro(store: Store, table: str, body: bytes, *, token: str, columns: Any = None) -> None:
        seen.append((table, bytes(body), token, columns))
        if held:
            raise ClickHouseUnavailable("no answer has come")
        real(store, table, body, token=token, columns=columns)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "insert_avro", insert_avro)
        yield seen


def arrive(arena: Arena, inserts: list[Insert]) -> None:
    store = Store(arena.settings.clickhouse)
    for table, body, token, columns in inserts:
        store.insert_avro(table, body, token=token, columns=columns)
    store.close()


def test_inserts_of_a_dead_sink_that_arrive_late_add_nothing(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had sent them when it died; its successor made the same ones from the intents, byte for byte, and went on."""
    topic = arena.topic("market")
    arena.send(topic, [*arena.events(150), *(record._replace(value=b"x") for record in arena.events(7))], 0)
    monkeypatch.setattr(sink, "_DRAIN_S", 1.0)
    with watched_inserts(monkeypatch, held=True) as late:
        with arena.running():
            wait_until(lambda: late, within_s=90)
        assert {} == arena.stored()
    arena.send(topic, arena.events(100), 0)
    with watched_inserts(monkeypatch, held=False) as made, arena.running():
        wait_until(arena.all_stored, within_s=90)
    before = arena.stored()
    assert arena.expected() == before
    assert {insert[:3] for insert in late} <= {insert[:3] for insert in made}

    arrive(arena, late)
    arrive(arena, made[::-1])

    assert before == arena.stored()


def test_a_window_of_tokens_that_is_too_small_is_found_by_the_audit(
    settings: Settings, contract: Contract, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An insert older than the three remembered tokens arrives again: its rows are doubled, found and healed."""
    arena = make_arena(
        settings, contract, tmp_path, new_id()[-12:], database, batch_rows_max=20, deduplication_window=3
    )
    topic = arena.topic("market")
    arena.send(topic, arena.events(200, types=["market.trade.reported"]), 0)
    with watched_inserts(monkeypatch, held=False) as made, arena.running():
        wait_until(arena.all_stored, within_s=90)
    assert arena.expected() == arena.stored()
    rows = int(made[0][2].rsplit(":", 1)[1])
    assert len(made) > 5

    arrive(arena, made[:1])

    auditor = Auditor(arena.settings, arena.sink_contract())
    report = auditor.run(AuditRange([topic], partition=0))
    assert {Anomaly.DUPLICATE: rows} == dict(report.partitions[0].anomalies)
    assert (0, rows - 1) == (report.partitions[0].findings[0].lo, report.partitions[0].findings[0].hi)
    healer = Healer(arena.settings, arena.sink_contract())
    for repair in plan_repairs(report, delete=True):
        healer.heal(repair)
    healer.close()
    arena.close()
    assert auditor.run(AuditRange([topic], partition=0)).equal
    assert arena.expected() == arena.stored()


def test_a_storm_of_rebalances_loses_and_doubles_nothing(arena: Arena) -> None:
    """One sink stays while four others come and go under load, one of them by kill -9."""
    topic = arena.topic("market")

    def send() -> None:
        for partition in (0, 1):
            arena.send(topic, arena.events(120), partition)

    with arena.running():
        for number in range(3):
            send()
            with arena.running():
                send()
            if number % 2:
                killed = arena.start(f"killed-{number}")
                wait_until(killed.is_assigned, within_s=90, alive=killed.process.poll)
                send()
                killed.process.kill()
        wait_until(arena.all_stored, within_s=120)

    assert arena.expected() == arena.stored()
    consumed = arena.query(
        f"SELECT count(), uniqExact(partition, offset) FROM {arena.settings.clickhouse.database}.events "
        f"WHERE topic = '{topic}'"
    )
    assert [(sum(arena.sent.values()), sum(arena.sent.values()))] == consumed


def test_a_partition_that_left_while_reading_was_paused_is_read_again_when_it_comes_back(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    """librdkafka keeps a pause over revocation and assignment; whoever resumes meanwhile resumes only what it has."""
    monkeypatch.setattr(sink, "_REVOKE_WAIT_S", 0.2)
    topic, limits = arena.topic("market"), arena.settings.sink.model_copy(update={"batch_rows_max": 20})
    arena.settings = arena.settings.model_copy(update={"sink": limits})
    for partition in (0, 1):
        arena.send(topic, arena.events(100), partition)
    with arena.running() as first, ExitStack() as others:
        with watched_inserts(monkeypatch, held=True):
            wait_until(lambda: first._paused and len(first._partitions) == 4, within_s=90)
            second = others.enter_context(arena.running())
            wait_until(lambda: 0 < len(second._partitions) < 4 and len(first._partitions) < 4, within_s=90)
            moved = list(second._partitions)
            assert first._paused
        wait_until(lambda: not first._paused and arena.all_stored(), within_s=90)
        others.close()
        wait_until(lambda: len(first._partitions) == 4, within_s=90)
        for at in moved:
            arena.send(at[0], arena.events(20), at[1])
        wait_until(arena.all_stored, within_s=90)

    assert arena.expected() == arena.stored()
