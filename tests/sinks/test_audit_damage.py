"""The audit against the real broker and engine: it is told what is wrong there, and must find that and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from tests.sinks.arena import CATALOGUE, Arena, make_arena
from tests.sinks.samples import record_of
from tests.waiting import wait_until

from tradewire.core import Settings, new_id
from tradewire.schemas import Contract, Topics
from tradewire.sinks.audit import Anomaly, Auditor, AuditRange, AuditReport, Finding, Gap, NotAuditable
from tradewire.sinks.audit.heal import Healed, Healer, plan_repairs
from tradewire.sinks.positions import SinkPositions
from tradewire.sinks.records import Record
from tradewire.sinks.store import Store

pytestmark = pytest.mark.timeout(300)
ORDER = CATALOGUE["readmodel.order.changed"].latest


def audited(arena: Arena, topic: str, **wanted: Any) -> AuditReport:
    """With small buckets, so that there are many."""
    return Auditor(arena.settings, arena.sink_contract(), bucket_offsets=50).run(AuditRange([topic], **wanted))


def findings(report: AuditReport, partition: int = 0) -> list[tuple[str, int, int]]:
    return [(str(found.anomaly), found.lo, found.hi) for found in report.partitions[partition].findings]


_INTRUDER = {"mutations_sync": 2, "insert_deduplicate": 0}


def command(arena: Arena, sql: str) -> None:
    """SQL as an intruder would run it; ``$db`` is the arena's database, ``$events`` the table in it."""
    store = Store(arena.settings.clickhouse)
    database = store.database
    text = sql.replace("$events", f"`{database}`.events").replace("$db", f"`{database}`")
    store._ask(lambda client: client.command(text, settings=_INTRUDER))
    store.close()


def broken(good: Sequence[Record]) -> list[Record]:
    """Records that keep no contract, in turn in five ways; all become dead letters."""
    ways: list[Callable[[Record], Record]] = [
        lambda record: record._replace(value=None),
        lambda record: record._replace(value=b'{"price": 1}'),
        lambda record: record._replace(value=(record.value or b"") + b"\x00"),
        lambda record: record._replace(headers=[]),
        lambda record: record._replace(headers=[("ce_id", b"\xff\xfe"), ("ce_id", None)], key=None),
    ]
    return [ways[at % len(ways)](record) for at, record in enumerate(good)]


def insert_copy(arena: Arena, where: str, offset: int) -> None:
    """A row as it is elsewhere, under an offset that it does not have."""
    row = f"SELECT * FROM $events WHERE {where}"
    command(arena, f"INSERT INTO $events SELECT * REPLACE ({offset} AS offset) FROM ({row})")


def store_all(arena: Arena) -> None:
    with arena.running():
        wait_until(arena.all_stored, within_s=120)


def wait_confirmed(arena: Arena, topic: str, offset: int) -> None:
    positions = SinkPositions.of(arena.settings)
    wait_until(lambda: any(at.stored_to == offset for at in positions.read([topic])), within_s=60)


def test_what_was_stored_whole_is_equal_whatever_the_records_are(arena: Arena) -> None:
    """Events, dead letters, and headers in every variety."""
    topic = arena.topic("market")
    odd = [
        record._replace(headers=[*record.headers, (f"x-{at}", None if at % 3 else b"\xff"), ("x", b""), ("x", b"2")])
        for at, record in enumerate(arena.events(40))
    ]
    arena.send(topic, [*arena.events(300), *broken(arena.events(14)), *odd], 0)
    store_all(arena)
    report = audited(arena, topic)

    assert report.equal
    assert [(354, 354, 14, 0, 354), (0, 0, 0, 0, 0)] == [
        (found.records, found.rows, found.dead_letters, found.lo, found.complete_to) for found in report.partitions
    ]
    assert [{}, {}] == [found.gaps for found in report.partitions]


def damage(arena: Arena, topic: str) -> list[tuple[str, int, int]]:
    """Deletes, doubles and alters rows in every way that a column allows; returns what is to be found."""
    here = f"topic = '{topic}' AND partition = 0"
    mutate = "ALTER TABLE $events"
    command(arena, f"{mutate} DELETE WHERE {here} AND offset BETWEEN 10 AND 12")
    for table in ("market_trade_reported", "market_quote_updated"):
        command(arena, f"ALTER TABLE $db.{table} DELETE WHERE {here} AND offset BETWEEN 10 AND 12")
        command(arena, f"ALTER TABLE $db.{table} DELETE WHERE {here} AND offset = 170")
    command(arena, f"{mutate} DELETE WHERE {here} AND offset = 20")
    command(arena, f"INSERT INTO $events SELECT * FROM $events WHERE {here} AND offset = 30")
    command(arena, f"INSERT INTO $events SELECT * FROM $events WHERE {here} AND offset = 31")
    command(arena, f"INSERT INTO $events SELECT * FROM $events WHERE {here} AND offset = 31")
    altered = {
        60: "value = concat(value, 'x')",
        70: "key = 'other'",
        80: "key = NULL",
        90: "source = 'elsewhere'",
        110: "correlation_id = ''",
        120: "time_ns = time_ns + 1",
        130: "recorded_at = recorded_at + 1",
        140: "header_values = ['x']",
        150: "header_layout = 'vi'",
    }
    for offset, change in altered.items():
        command(arena, f"{mutate} UPDATE {change} WHERE {here} AND offset = {offset}")
    insert_copy(arena, f"{here} AND offset = 5", 5005)
    return [
        ("lost-write", 10, 12),
        ("lost-write", 20, 20),
        ("table-phantom", 20, 20),
        ("duplicate", 30, 31),
        *(("altered", offset, offset) for offset in altered),
        ("table-lost", 170, 170),
        ("phantom", 200, 5005),
    ]


def test_every_damage_is_named_and_healed(arena: Arena) -> None:
    """First only what is lost, then, where deletion is allowed, the rest; each repair is proven by the next audit.

    What lies above Kafka's end is left to a human: a record may come there at any moment.
    """
    topic = arena.topic("market")
    arena.send(topic, arena.events(200), 0)
    store_all(arena)
    assert audited(arena, topic).equal
    expected = damage(arena, topic)
    report = audited(arena, topic)

    assert sorted(expected) == sorted(findings(report))
    assert (False, 10) == (report.equal, report.partitions[0].complete_to)
    healer = Healer(arena.settings, arena.sink_contract())
    (adding,) = plan_repairs(report, delete=False)
    assert Healed(3, 0) == healer.heal(adding)
    left = audited(arena, topic)
    assert sorted(found for found in expected if found[1] != 10) == sorted(findings(left))

    (whole,) = plan_repairs(left, delete=True)
    healer.heal(whole)
    healer.close()
    assert [("phantom", 200, 5005)] == findings(audited(arena, topic))
    command(arena, f"ALTER TABLE $events DELETE WHERE topic = '{topic}' AND offset = 5005")
    assert audited(arena, topic).equal
    assert arena.expected() == arena.stored()


def test_a_range_is_audited_alone(arena: Arena) -> None:
    topic = arena.topic("market")
    arena.send(topic, arena.events(120), 1)
    store_all(arena)
    command(arena, f"ALTER TABLE $events UPDATE key = 'x' WHERE topic = '{topic}' AND offset IN (10, 77)")

    (report,) = audited(arena, topic, partition=1, lo=60, hi=80).partitions
    assert (60, 81, 21) == (report.lo, report.end, report.records)
    assert [("altered", 77, 77)] == findings(audited(arena, topic, partition=1, lo=60, hi=80))
    assert audited(arena, topic, partition=1, lo=11, hi=76).equal


def test_what_the_sink_has_not_confirmed_is_not_judged(arena: Arena) -> None:
    topic = arena.topic("market")
    arena.send(topic, arena.events(60), 0)
    store_all(arena)
    arena.send(topic, arena.events(7), 0)
    (report, _) = audited(arena, topic).partitions

    assert (True, 60, {Gap.NOT_STORED_YET: 7}) == (report.equal, report.end, report.gaps)


def test_aborted_transactions_are_gaps_and_their_records_must_not_be_stored(arena: Arena) -> None:
    topic = arena.topic("market")
    records = arena.events(50)
    producer = Producer({**arena.settings.kafka.client_config(), "transactional.id": f"t-{new_id()}"})
    producer.init_transactions(30)
    for lo, hi, commit in ((0, 20, True), (20, 30, False), (30, 50, True)):
        producer.begin_transaction()
        for record in records[lo:hi]:
            producer.produce(
                topic, record.value, record.key, 0, timestamp=record.timestamp_ms, headers=list(record.headers)
            )
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    with arena.running():
        # The marker behind the last record is confirmed, too, although it is no record.
        wait_confirmed(arena, topic, 53)
    assert [0, 0] == [at.behind for at in SinkPositions.of(arena.settings).read([topic])]
    (report, _) = audited(arena, topic).partitions

    assert (True, 40, 40) == (report.equal, report.records, report.rows)
    assert {Gap.ABORTED: 10, Gap.MARKER: 3} == report.gaps
    for offset in (20, 25):
        insert_copy(arena, f"topic = '{topic}' AND offset = 0", offset)

    found = [name for name in findings(audited(arena, topic)) if not name[0].startswith("table")]
    assert [("phantom", 20, 20), ("aborted-read", 25, 25)] == found
    (repair,) = plan_repairs(audited(arena, topic), delete=True)
    healer = Healer(arena.settings, arena.sink_contract())
    healer.heal(repair)
    healer.close()
    assert audited(arena, topic).equal


def test_what_retention_took_from_kafka_is_told_apart_from_loss(arena: Arena) -> None:
    topic = arena.topic("market")
    arena.send(topic, arena.events(150), 0)
    store_all(arena)
    admin = AdminClient(arena.settings.kafka.client_config())
    for future in admin.delete_records([TopicPartition(topic, 0, 70)]).values():
        future.result(30)
    (report, _) = audited(arena, topic).partitions
    assert (True, 0, 80, {Gap.EXPIRED: 70}) == (report.equal, report.lo, report.records, report.gaps)

    command(arena, f"ALTER TABLE $events DELETE WHERE topic = '{topic}' AND offset IN (33, 100)")
    command(arena, f"INSERT INTO $events SELECT * FROM $events WHERE topic = '{topic}' AND offset = 40")
    report = audited(arena, topic).partitions[0]
    assert {Gap.EXPIRED: 69, Gap.GONE: 1} == report.gaps
    assert {Anomaly.DUPLICATE: 1, Anomaly.LOST_WRITE: 1, Anomaly.TABLE_PHANTOM: 1} == report.anomalies
    assert Finding(40, 40, Anomaly.DUPLICATE, 1) == report.findings[0]


def set_configs(arena: Arena, kind: ResourceType, name: str, **values: str) -> None:
    entries = [
        ConfigEntry(key.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for key, value in values.items()
    ]
    resource = ConfigResource(kind, name, incremental_configs=entries)
    admin = AdminClient(arena.settings.kafka.client_config())
    admin.incremental_alter_configs([resource])[resource].result(30)


@pytest.mark.slow
def test_what_kafkas_cleaner_took_is_no_loss_and_no_phantom(arena: Arena) -> None:
    topic = arena.topic("market")
    declared = arena.topics[topic]
    arena.topics = Topics({**arena.topics, topic: replace(declared, cleanup="compact")})
    set_configs(arena, ResourceType.BROKER, "1", log_cleaner_backoff_ms="200")
    set_configs(
        arena, ResourceType.TOPIC, topic,
        cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01", max_compaction_lag_ms="100",
    )  # fmt: skip
    arena.send(topic, arena.events(100), 0)
    store_all(arena)
    # The active segment is never cleaned: something must come behind it.
    wait_until(lambda: rolled(arena, topic), within_s=120)
    store_all(arena)
    report = audited(arena, topic).partitions[0]

    assert report.equal
    assert report.gaps[Gap.COMPACTED] > 50
    command(arena, f"ALTER TABLE $events DELETE WHERE topic = '{topic}' AND offset >= 99")
    assert ("lost-write", 99) == findings(audited(arena, topic))[0][:2]


def rolled(arena: Arena, topic: str) -> bool:
    """Sends one more record; whether the cleaner has taken most of the first hundred."""
    arena.send(topic, arena.events(1), 0)
    from tradewire.sinks.audit.kafka_reader import KafkaReader

    with KafkaReader(arena.settings, "read_committed") as reader:
        return sum(map(len, reader.read(topic, 0, 0, 100))) < 40


def test_read_models_are_audited_by_their_newest_positions(
    settings: Settings, contract: Contract, tmp_path: Path, database: str
) -> None:
    """On their real topic, which others use as well."""
    topic, run = "readmodel.order.v1", new_id()
    arena = make_arena(settings, contract, tmp_path, new_id()[-12:], database)
    schema_id = contract.schema_ids.id_of(ORDER, topic)
    states = [record_of(ORDER, schema_id, number, subject=f"{run}-{number % 3}") for number in range(9)]
    states.append(states[0]._replace(key=f"{run}-1".encode(), value=None, headers=[]))
    arena.send(topic, states, 0)
    arena.topics = Contract.load(settings, schema_ids=contract.schema_ids).topics
    table = f"`{database}`.readmodel_order"
    newest = SinkPositions.of(arena.settings)

    def confirmed() -> bool:
        return all((at.stored_to or at.end) == at.end for at in newest.read([topic])) and bool(
            arena.query(f"SELECT 1 FROM {table} WHERE startsWith(key, '{run}') AND is_deleted = 1")
        )

    with arena.running(topics=[topic]):
        wait_until(confirmed, within_s=90)
    report = audited(arena, topic, partition=0)
    assert (True, True) == (report.equal, report.partitions[0].compacted)
    assert report.records >= 3

    where = f"topic = '{topic}' AND partition = 0 AND key = '{run}-2'"
    command(arena, f"ALTER TABLE $db.readmodel_order DELETE WHERE {where}")
    damaged = audited(arena, topic, partition=0)
    assert {Anomaly.LOST_WRITE: 1} == damaged.partitions[0].anomalies
    healer = Healer(arena.settings, arena.sink_contract())
    (repair,) = plan_repairs(damaged, delete=False)
    assert Healed(1, 0) == healer.heal(repair)
    healer.close()
    assert audited(arena, topic, partition=0).equal


def test_a_topic_that_does_not_exist_cannot_be_audited(arena: Arena) -> None:
    with pytest.raises(NotAuditable, match=r"not on .*: no\.such\.topic"):
        audited(arena, "no.such.topic")
