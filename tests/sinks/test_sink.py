"""The sink against the real broker and the real engine: what it stores where, and what it does with bad records."""

from __future__ import annotations

import signal
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.sinks.arena import CATALOGUE, Arena, make_arena
from tests.sinks.samples import data_of, record_of
from tests.waiting import http_answers, wait_until

from tradewire.core import Settings, new_id
from tradewire.operations.stack import Child, free_ports, start_child
from tradewire.operations.stack.cluster import local_kafka
from tradewire.schemas import Contract
from tradewire.schemas.headers import Header
from tradewire.sinks.dead_letters import PARKED
from tradewire.sinks.protocol import ForeignCommit, Intent, RecordsGone
from tradewire.sinks.raw_history import RawHistory
from tradewire.sinks.records import Record
from tradewire.sinks.replay import OffsetRange, Replay

pytestmark = pytest.mark.timeout(300)
TRADE = CATALOGUE["market.trade.reported"].latest
ORDER = CATALOGUE["readmodel.order.changed"].latest


def test_events_become_rows_of_events_and_of_their_own_table(arena: Arena) -> None:
    topic = arena.topic("market")
    arena.send(topic, arena.events(500), 0)
    with arena.running():
        wait_until(arena.all_stored, within_s=90)

    assert arena.expected() == arena.stored()
    sql = f"SELECT offset, price, quantity, received_time_ns FROM market_trade_reported WHERE topic = '{topic}'"
    expected = {offset: data_of(TRADE, offset) for offset in range(0, 500, 2)}
    assert {(at, d["price"], d["quantity"], d["received_time_ns"]) for at, d in expected.items()} == set(
        arena.query(sql.replace("FROM ", f"FROM {arena.settings.clickhouse.database}."))
    )


def test_what_was_stored_before_is_not_stored_again_by_the_next_run(arena: Arena) -> None:
    for _ in range(3):
        arena.send(arena.topic("market"), arena.events(50), 1)
        with arena.running():
            wait_until(arena.all_stored, within_s=90)

    assert arena.expected() == arena.stored()


def test_the_group_ends_behind_the_last_record_without_an_intent(arena: Arena) -> None:
    """Lag is zero for every tool that reads group offsets."""
    topic = arena.topic("market")
    arena.send(topic, arena.events(50), 0)
    with arena.running():
        wait_until(arena.all_stored, within_s=90)
    consumer = Consumer({**arena.settings.kafka.client_config(), "group.id": arena.settings.sink.group})
    try:
        (stored,) = consumer.committed([TopicPartition(topic, 0)], timeout=60)
    finally:
        consumer.close()

    assert (50, "") == (stored.offset, stored.metadata or "")


def poison(good: list[Record]) -> list[Record]:
    """Records that keep no contract, between good ones."""
    value = good[0].value or b""

    def header(record: Record, name: str, content: bytes | None) -> Record:
        kept: list[Header] = [(n, v) for n, v in record.headers if n != name]
        return record._replace(headers=kept if content is None else [*kept, (name, content)])

    return [
        good[0]._replace(value=None),
        good[1]._replace(value=b'{"price": 1}'),
        good[2]._replace(value=b""),
        good[3]._replace(value=value[:-2]),
        good[4]._replace(value=value + b"\x00" * 3),
        good[5]._replace(value=b"\x00" + (2**31 - 5).to_bytes(4, "big") + b"\x01"),
        header(good[6], "ce_id", None),
        header(good[7], "ce_id", b"\xff\xfe"),
        header(good[8], "ce_time", b"yesterday"),
        header(good[9], "ce_type", b"trading.order.filled"),
        good[10]._replace(headers=[]),
        good[11]._replace(value=value[:5] + b"\xff" * 900_000),
        # A decimal without a byte and one with 17, which Avro readers take and ClickHouse does not.
        good[12]._replace(value=trade(value[:5], b"", b"\x01")),
        good[13]._replace(value=trade(value[:5], b"\x01", b"\x01" * 17)),
        # A GUID in a header that no registry knows: the value has no frame, or only seems to have one.
        header(good[14], "__value_schema_id", b"\x01" + bytes(16)),
        header(good[15], "__value_schema_id", b"\x01" + bytes(16))._replace(value=value[5:]),
        header(good[16], "ce_tags", b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    ]


def trade(frame: bytes, price: bytes, quantity: bytes) -> bytes:
    """A trade with these bytes as its decimals."""
    decimals = bytes([2 * len(price)]) + price + bytes([2 * len(quantity)]) + quantity
    return frame + b"\x02v\x02s\x02i" + decimals + b"\x00\x02\x00"


def test_records_without_the_contract_become_dead_letters_and_their_neighbours_are_stored(arena: Arena) -> None:
    """Nothing is skipped: every offset is either an event or a dead letter, and its bytes can be had back."""
    topic = arena.topic("market")
    good = arena.events(85, types=["market.trade.reported"])
    bad = poison(arena.events(17, types=["market.trade.reported"]))
    mixed: list[Record] = []
    for at, record in enumerate(good):
        mixed.append(record)
        if at % 5 == 0:
            mixed.append(bad[at // 5])
    arena.send(topic, mixed, 0)
    with arena.running():
        wait_until(arena.all_stored, within_s=90)

    assert arena.expected() == arena.stored()
    with arena.history() as history:
        (count,) = history.counts([topic])
    assert (85, 17) == (count.events, count.dead_letters)
    dead = f"{arena.settings.clickhouse.database}.dead_letters"
    reasons = arena.query(f"SELECT offset, reason FROM {dead} WHERE topic = '{topic}' ORDER BY offset")
    kinds = ["no value", "frame", "frame", "avro", "avro", "unknown schema id", *["headers"] * 5, *["avro"] * 3]
    kinds += ["unknown schema id", "unknown schema id", "headers"]
    assert [(1 + 6 * at, kind) for at, kind in enumerate(kinds)] == reasons
    raw = RawHistory(arena.settings.clickhouse)
    kept = list(raw.records(topic, 0, 0, 200))
    raw.close()
    assert [(r.key, r.value, list(r.headers)) for r in mixed] == [(r.key, r.value, list(r.headers)) for r in kept]


def test_dead_letters_of_workers_are_stored_with_their_origin(arena: Arena) -> None:
    letters = arena.topic("deadletter")
    (record,) = arena.events(1)
    origin: list[Header] = [
        ("__dlq.errors.topic", b"trading.events"),
        ("__dlq.errors.partition", b"3"),
        ("__dlq.errors.offset", b"77"),
        ("__dlq.errors.group", b"tradewire-worker"),
        ("__dlq.errors.message", b"ValueError: no"),
    ]
    arena.send(letters, [record._replace(headers=[*record.headers, *origin], value=None)])
    with arena.running():
        wait_until(arena.all_stored, within_s=90)

    columns = "reason, error, origin_topic, origin_partition, origin_offset, origin_group, value"
    assert [(PARKED, "ValueError: no", "trading.events", 3, 77, "tradewire-worker", None)] == arena.query(
        f"SELECT {columns} FROM {arena.settings.clickhouse.database}.dead_letters WHERE topic = '{letters}'"
    )


def test_read_models_hold_the_newest_state_and_deleted_ones_are_gone(
    settings: Settings, contract: Contract, tmp_path: Path, database: str
) -> None:
    """On their real topic, which others may use as well: only keys of this test are looked at."""
    topic, run = "readmodel.order.v1", new_id()
    arena = make_arena(settings, contract, tmp_path, new_id()[-12:], database)
    arena.contract = contract
    schema_id = contract.schema_ids.id_of(ORDER, topic)
    states = [record_of(ORDER, schema_id, number, subject=f"{run}-{number % 3}") for number in range(9)]
    states.append(Record(9, 1, f"{run}-1".encode(), None, []))
    arena.send(topic, states, 0)
    both = Contract.load(settings, schema_ids=contract.schema_ids)
    arena.topics = both.topics
    arena.sent = {}
    sql = f"SELECT key, offset FROM {database}.readmodel_order FINAL WHERE startsWith(key, '{run}') ORDER BY key"
    with arena.running(topics=[topic]):
        wait_until(lambda: len(arena.query(sql)) == 2, within_s=90)

    rows = arena.query(sql)
    assert [f"{run}-0", f"{run}-2"] == [row[0] for row in rows]
    assert rows[1][1] - rows[0][1] == 2
    assert [(0,)] == arena.query(f"SELECT count() FROM {database}.events")


def test_records_that_retention_took_stop_the_sink_by_name(arena: Arena) -> None:
    """Never a silent skip: the sink had stored 10, Kafka begins at 20."""
    topic = arena.topic("market")
    arena.send(topic, arena.events(10), 0)
    with arena.running():
        wait_until(arena.all_stored, within_s=90)
    arena.send(topic, arena.events(20), 0)
    admin = AdminClient(arena.settings.kafka.client_config())
    for future in admin.delete_records([TopicPartition(topic, 0, 20)]).values():
        future.result(60)

    with pytest.raises(RecordsGone, match=r"stored everything before 10, Kafka begins at 20: 10 offsets are gone"):
        with arena.running() as sink:
            wait_until(lambda: not sink.running, within_s=90)


def test_a_group_of_another_consumer_is_refused(arena: Arena) -> None:
    topic = arena.topic("market")
    consumer = Consumer({**arena.settings.kafka.client_config(), "group.id": arena.settings.sink.group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 0, metadata="theirs")], asynchronous=False)
    consumer.close()

    with pytest.raises(ForeignCommit, match="theirs"):
        with arena.running() as sink:
            wait_until(lambda: not sink.running, within_s=90)


def test_a_process_ends_cleanly_on_sigterm(arena: Arena) -> None:
    arena.send(arena.topic("market"), arena.events(500), 0)
    process = arena.start()
    wait_until(lambda: "assigned" in process.text(), within_s=90, alive=process.process.poll)

    assert process.stop() == 0
    with arena.running():
        wait_until(arena.all_stored, within_s=90)
    assert arena.expected() == arena.stored()


def test_reading_pauses_when_the_buffer_is_full_and_goes_on(
    settings: Settings, contract: Contract, tmp_path: Path, arena_database: str
) -> None:
    """Ten rows may be buffered, hundreds are there: reading stops and goes on all the time, and skips nothing."""
    arena = make_arena(settings, contract, tmp_path, new_id()[-12:], arena_database, batch_rows_max=5)
    for partition in (0, 1):
        arena.send(arena.topic("market"), arena.events(100), partition)
    paused: list[bool] = []
    with arena.running() as sink:
        wait_until(lambda: paused.append(sink._paused) or arena.all_stored(), within_s=120)  # type: ignore[func-returns-value]

    assert arena.expected() == arena.stored()
    assert any(paused)


def commit_intent(arena: Arena, topic: str, intent: Intent) -> None:
    """What a sink leaves behind that ended in the middle of a batch."""
    consumer = Consumer({**arena.settings.kafka.client_config(), "group.id": arena.settings.sink.group})
    at = TopicPartition(topic, 0, intent.lo, metadata=intent.encode())
    consumer.commit(offsets=[at], asynchronous=False)
    consumer.close()


def test_a_schema_unknown_when_its_batch_was_cut_stays_unknown_for_that_batch(arena: Arena) -> None:
    """Otherwise the records of a batch that is done again could become dead letters and events."""
    topic = arena.topic("market")
    arena.send(topic, arena.events(20, types=["market.trade.reported"]))
    commit_intent(arena, topic, Intent(0, 9, 10, dead_schemas=(arena.schema_id("market.trade.reported"),)))
    with arena.running():
        wait_until(arena.all_stored, within_s=90)

    assert arena.expected() == arena.stored()
    with arena.history() as history:
        (count,) = history.counts([topic])
    assert (10, 10) == (count.events, count.dead_letters)


def test_a_flood_of_unknown_schemas_is_cut_into_batches_that_an_intent_can_name(arena: Arena) -> None:
    """Garbage that begins like a frame: each record names another schema."""
    topic = arena.topic("market")
    good = arena.events(500)
    garbage = [
        record._replace(value=b"\x00" + (2**31 - 1 - at).to_bytes(4, "big") + b"x")
        for at, record in enumerate(good[:250])
    ]
    arena.send(topic, [*garbage, *good[250:]])
    with arena.running():
        wait_until(arena.all_stored, within_s=120)

    assert arena.expected() == arena.stored()
    with arena.history() as history:
        (count,) = history.counts([topic])
    assert (250, 250) == (count.events, count.dead_letters)


def test_metrics_are_told_on_their_port(arena: Arena) -> None:
    (port,) = free_ports(1)
    arena.settings = arena.settings.model_copy(
        update={"sink": arena.settings.sink.model_copy(update={"metrics_port": port})}
    )
    topic = arena.topic("market")
    bad = arena.events(1)[0]._replace(value=b"x")
    arena.send(topic, [*arena.events(40), bad])
    process = arena.start()

    def told() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            return str(answer.read().decode())

    wait_until(arena.all_stored, within_s=90, alive=process.process.poll)
    wait_until(lambda: f'tradewire_sink_rows_total{{topic="{topic}"}} 41.0' in told())
    assert f'tradewire_sink_dead_letters_total{{reason="frame",topic="{topic}"}} 1.0' in told()
    assert "tradewire_sink_insert_seconds_count" in told()
    second = arena.start("b")
    assert (1, True) == (second.wait(), f"sink.metrics_port={port} cannot be opened" in second.text())
    assert process.stop() == 0


@pytest.mark.long
def test_a_broker_that_is_killed_is_waited_out(settings: Settings, contract: Contract, tmp_path: Path) -> None:
    """kill -9 of the only broker under load, twice: what it had acknowledged is stored once."""
    with local_kafka(tmp_path / "kafka") as kafka:
        own = settings.model_copy(
            update={"kafka": settings.kafka.model_copy(update={"bootstrap_servers": kafka.bootstrap_servers})}
        )
        arena = make_arena(own, contract, tmp_path, new_id()[-12:], f"test_{new_id().replace('-', '')}")
        try:
            process = arena.start()
            for _ in range(2):
                for partition in (0, 1):
                    arena.send(arena.topic("market"), arena.events(300), partition)
                kafka.kill()
                kafka.start()
            arena.send(arena.topic("market"), arena.events(50), 0)
            wait_until(arena.all_stored, within_s=120, alive=process.process.poll)

            assert process.stop() == 0
            assert arena.expected() == arena.stored()
        finally:
            arena.close()
            arena.drop_database()


def members_of(arena: Arena) -> list[str]:
    """The ids of the group's members: one that was evicted comes back under another."""
    admin, group = AdminClient(arena.settings.kafka.client_config()), arena.settings.sink.group
    return sorted(member.member_id for member in admin.describe_consumer_groups([group])[group].result(30).members)


def rss_kb(pid: int) -> int:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:")))


@pytest.mark.slow
@pytest.mark.chaos
def test_clickhouse_away_is_waited_out(settings: Settings, contract: Contract, tmp_path: Path) -> None:
    """The engine stops under load and is then killed, for longer than the group lets a member be silent or not poll:
    the sink stays in its group, stops reading while its buffer is full, keeps its batch and stores it afterwards.

    The limits are 12 s here: what 20 s do not end, minutes do not (by hand: seven, with the same outcome)."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "tradewire.operations.clickhouse_server", "--port", str(port)]
    command += ["--data", str(tmp_path / "engine")]

    def start() -> Child:
        child = start_child(command, name="clickhouse", log_file=tmp_path / "clickhouse.log")
        wait_until(lambda: http_answers(f"http://127.0.0.1:{port}/ping"), within_s=90, alive=child.poll)
        return child

    engine = start()
    own = settings.model_copy(update={"clickhouse": settings.clickhouse.model_copy(update={"port": port})})
    arena = make_arena(own, contract, tmp_path, new_id()[-12:], "tradewire", poll_interval_ms_max=12_000)
    try:
        arena.send(arena.topic("market"), arena.events(300), 0)
        # Half of it would be over when the machine stands still for three seconds between two heartbeats.
        process = arena.start(session_timeout_ms=12_000)
        wait_until(lambda: "assigned" in process.text(), within_s=90, alive=process.process.poll)
        members = members_of(arena)
        engine.signal(signal.SIGSTOP)
        for partition in (0, 1, 0, 1):
            arena.send(arena.topic("market"), arena.events(300), partition)
        away_since = time.monotonic()
        before_kb = rss_kb(process.process.pid)
        many = arena.events(300) * 15
        arena.send(arena.topic("market"), many, 0)
        # Longer than max.poll.interval.ms: a sink that waited for its insert without polling would be out of its group.
        wait_until(lambda: time.monotonic() - away_since > 7, within_s=90, alive=process.process.poll)
        engine.kill()
        wait_until(
            lambda: time.monotonic() - away_since > 20 and process.text().count("again_in_s") >= 4,
            within_s=90, alive=process.process.poll,
        )  # fmt: skip
        assert members == members_of(arena)
        # librdkafka reads at most 8 MiB ahead for each of the four partitions, the buffer holds two batches.
        assert rss_kb(process.process.pid) - before_kb < 80_000
        engine = start()
        wait_until(arena.all_stored, within_s=90, alive=process.process.poll)

        assert process.stop() == 0
        assert arena.expected() == arena.stored()
        assert process.text().count('"assigned"') == 1
    finally:
        arena.close()
        engine.kill()


def test_a_range_is_the_same_bytes_from_kafka_and_from_clickhouse(arena: Arena) -> None:
    """What replay would give is compared before and after Kafka has lost the first half."""
    topic = arena.topic("market")
    arena.send(topic, arena.events(200), 0)
    with arena.running():
        wait_until(arena.all_stored, within_s=90)
    with Replay(arena.settings) as replay:
        before = list(replay.records(OffsetRange(topic, 0, 0)))
        admin = AdminClient(arena.settings.kafka.client_config())
        for future in admin.delete_records([TopicPartition(topic, 0, 120)]).values():
            future.result(60)

        after = list(replay.records(OffsetRange(topic, 0, 0)))

    assert before == after
