"""Columns that are derived from a record: altered alone they leave its hash right, and are found and healed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sinks.arena import CATALOGUE, Arena, make_arena
from tests.sinks.samples import record_of
from tests.sinks.test_audit_damage import broken, command, findings, store_all
from tests.waiting import wait_until

from tradewire.core import Settings, new_id
from tradewire.schemas import Contract, Topics
from tradewire.sinks.audit import Anomaly, Auditor, AuditRange, AuditReport
from tradewire.sinks.audit.findings import classify_columns
from tradewire.sinks.audit.heal import Healer, plan_repairs
from tradewire.sinks.positions import SinkPositions
from tradewire.sinks.replay import OffsetRange, Replay

pytestmark = pytest.mark.timeout(300)
ORDER = CATALOGUE["readmodel.order.changed"].latest


def audited(arena: Arena, topic: str, *, columns: bool = True) -> AuditReport:
    return Auditor(arena.settings, arena.sink_contract(), bucket_offsets=50, columns=columns).run(AuditRange([topic]))


def test_what_is_known_already_and_what_retention_thinned_out_is_not_told_again() -> None:
    differing = {"events": [3, 4, 9], "market_trade_reported": [3, 8]}

    assert [(8, Anomaly.TABLE_ALTERED), (9, Anomaly.ALTERED)] == classify_columns(differing, [(2, 4)], 5)


def test_an_altered_payload_or_typed_column_is_found_and_healed(arena: Arena) -> None:
    """The raw bytes are right: by hash the partition is equal. Dead letters and events of every shape beside them."""
    topic = arena.topic("market")
    arena.send(topic, [*arena.events(200), *broken(arena.events(10))], 0)
    store_all(arena)
    whole = audited(arena, topic)
    assert (True, True, 210) == (whole.equal, whole.columns, whole.records)

    here = f"WHERE topic = '{topic}' AND partition = 0 AND offset"
    changes = {
        10: ("events", "payload_text = replaceOne(payload_text, 'price', 'prise')"),
        20: ("events", "version = version + 1"),
        30: ("events", "tags = map('a', 'b')"),
        40: ("market_trade_reported", "price = price + 1"),
        51: ("market_quote_updated", "symbol = 'X'"),
        60: ("market_trade_reported", "subject = 'else'"),
    }
    for offset, (table, change) in changes.items():
        command(arena, f"ALTER TABLE $db.{table} UPDATE {change} {here} = {offset}")
    command(arena, f"ALTER TABLE $events UPDATE source = 'elsewhere' {here} = 70")
    altered = [("altered", at, at) for at in (10, 20, 30)] + [("table-altered", at, at) for at in (40, 51, 60)]
    report = audited(arena, topic)

    assert [("altered", 70, 70)] == findings(audited(arena, topic, columns=False))
    assert sorted([*altered, ("altered", 70, 70)]) == sorted(findings(report))
    assert 10 == report.partitions[0].complete_to
    (repair,) = plan_repairs(report, delete=True)
    healer = Healer(arena.settings, arena.sink_contract())
    healer.heal(repair)
    healer.close()
    assert audited(arena, topic).equal
    assert arena.expected() == arena.stored()
    with Replay(arena.settings) as replay:
        assert 210 == len(list(replay.records(OffsetRange(topic, 0, 0))))
    left = arena.query(
        f"SELECT name FROM system.databases WHERE name LIKE '{arena.settings.clickhouse.database}_audit%'"
    )
    assert [] == left


def test_a_read_model_whose_columns_were_altered_is_found(
    settings: Settings, contract: Contract, tmp_path: Path, database: str
) -> None:
    """Its table keeps no bytes; what Kafka still has says what the row must be."""
    topic, run = "readmodel.order.v1", new_id()
    arena = make_arena(settings, contract, tmp_path, new_id()[-12:], database)
    arena.topics = Topics({**arena.topics, topic: contract.topics[topic]})
    schema_id = contract.schema_ids.id_of(ORDER, topic)
    arena.send(topic, [record_of(ORDER, schema_id, at, subject=f"{run}-{at % 4}") for at in range(12)], 0)
    with arena.running(topics=[topic]):
        waits_for_keys(arena, database, run)
    assert audited(arena, topic).equal
    where = f"WHERE key = '{run}-2' AND offset = (SELECT max(offset) FROM $db.readmodel_order WHERE key = '{run}-2')"
    command(arena, f"ALTER TABLE $db.readmodel_order UPDATE version = 77 {where}")

    report = audited(arena, topic)
    arena.close()

    assert [("altered", 1)] == [(str(found.anomaly), found.offsets) for found in report.partitions[0].findings]


def waits_for_keys(arena: Arena, database: str, run: str) -> None:
    positions = SinkPositions.of(arena.settings)
    wait_until(
        lambda: (
            all(at.behind == 0 for at in positions.read(["readmodel.order.v1"]))
            and [(4,)]
            == arena.query(f"SELECT uniqExact(key) FROM {database}.readmodel_order WHERE startsWith(key, '{run}')")
        ),
        within_s=120,
    )
