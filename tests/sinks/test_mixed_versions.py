"""A deployment: services of v1 write, the schemas of v2 are registered, both write; sink, SQL, history and replay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from tests.schemas.versions import before
from tests.sinks.arena import Arena, make_arena
from tests.sinks.samples import NOW_NS
from tests.topics import make_topic
from tests.waiting import wait_until

from tradewire.core import Settings, new_id
from tradewire.schemas import Catalogue, Codec, Contract, Event, NewerVersion, RegistryIds, encode_headers
from tradewire.sinks import EventFilter, OffsetRange, Record, Replay
from tradewire.sinks.typed_columns import column_names, takes

NEW = Catalogue.load()
OLD = before(NEW)
CREATED, REJECTED, ALERT = "trading.order.created", "trading.order.rejected", "risk.alert.raised"
TYPES = (CREATED, REJECTED, ALERT)
ROUNDS = 20


def data_of(type: str, number: int, version: int) -> dict[str, Any]:
    base = {"order_id": f"o{number}", "account": "a", "symbol": "BTCUSDT", "venue": "v"}
    if type == CREATED:
        newer = {"arrival_price": Decimal(number).scaleb(-2)} if version == 2 else {}
        return base | {"quantity": Decimal(number + 1), "side": "BUY"} | newer
    if type == REJECTED:
        why = {"reason": "OTHER", "text": "no"} if version == 2 else {"reason": "no funds"}
        return base | why | {"rejected_by": "RISK"}
    action = "ORDERS_CANCELLED" if version == 2 else "NONE"
    return {"alert_id": f"o{number}", "rule": "r", "message": "m", "action": action}


@dataclass
class Deployment:
    """One topic that was written to by both generations, and stored by a sink of each."""

    arena: Arena
    topic: str
    codec: Codec
    old_codec: Codec
    versions: list[int]


def record_of(codec: Codec, topic: str, number: int, version: int) -> Record:
    type = TYPES[number % len(TYPES)]
    event = Event(
        id=f"e{number}",
        type=type,
        data=data_of(type, number, version),
        source="test",
        subject=f"o{number}",
        time_ns=NOW_NS + number,
        correlation_id=f"flow-{number}",
    )
    value = codec.encode(type, event.data, topic)
    return Record(number, NOW_NS // 1_000_000, event.subject.encode(), value, encode_headers(event))


def store_all(arena: Arena, catalogue: Catalogue, ids: RegistryIds) -> None:
    """Runs a sink that was built with a catalogue until everything sent is stored."""
    arena.contract = Contract(catalogue, arena.topics, ids, Codec(catalogue, ids))
    arena.sink_contract = lambda: arena.contract  # type: ignore[method-assign]
    with arena.running():
        wait_until(arena.all_stored, within_s=120)


@pytest.fixture(scope="module")
def deployment(
    settings: Settings, contract: Contract, tmp_path_factory: pytest.TempPathFactory, arena_database: str
) -> Iterator[Deployment]:
    """v1 is registered, written and stored; then v2 is registered, and an old and a new service write in turn."""
    arena = make_arena(settings, contract, tmp_path_factory.mktemp("mixed"), new_id()[-12:], arena_database)
    topic = arena.topic("trading")
    ids = RegistryIds(settings.registry)
    old, new = Codec(OLD, ids), Codec(NEW, ids)
    for type in TYPES:
        ids.register(OLD[type].latest, topic)
    versions = [1] * ROUNDS
    arena.send(topic, [record_of(old, topic, number, 1) for number in range(ROUNDS)])
    store_all(arena, OLD, ids)
    for type in TYPES:
        ids.register(NEW[type].latest, topic)
    versions += [1 + number // len(TYPES) % 2 for number in range(ROUNDS, 3 * ROUNDS)]
    mixed = enumerate(versions[ROUNDS:], start=ROUNDS)
    arena.send(topic, [record_of((old, new)[version - 1], topic, number, version) for number, version in mixed])
    store_all(arena, NEW, ids)
    try:
        yield Deployment(arena, topic, new, old, versions)
    finally:
        arena.close()


def numbers(deployment: Deployment, type: str, version: int | None = None) -> list[int]:
    at = TYPES.index(type)
    return [n for n, v in enumerate(deployment.versions) if n % len(TYPES) == at and version in (None, v)]


def table(deployment: Deployment, columns: str, name: str) -> list[tuple[Any, ...]]:
    database = deployment.arena.settings.clickhouse.database
    return deployment.arena.query(f"SELECT {columns} FROM `{database}`.{name} ORDER BY offset")


def test_every_record_of_both_versions_is_an_event(deployment: Deployment) -> None:
    """None is a dead letter; ``version`` is the one that was written."""
    assert deployment.arena.expected() == deployment.arena.stored()
    assert deployment.versions == [row[0] for row in table(deployment, "version", "events")]


def test_a_new_field_is_a_column_that_old_rows_have_empty(deployment: Deployment) -> None:
    """The table was made when there was only v1."""
    rows = table(deployment, "offset, version, arrival_price", "trading_order_created")

    expected = [(n, deployment.versions[n]) for n in numbers(deployment, CREATED)]
    assert [(n, v, Decimal(n).scaleb(-2) if v == 2 else None) for n, v in expected] == rows


def test_a_new_symbol_is_a_text_like_the_others(deployment: Deployment) -> None:
    rows = table(deployment, "version, action", "risk_alert_raised")

    assert {(1, "NONE"), (2, "ORDERS_CANCELLED")} == set(rows)
    assert len(numbers(deployment, ALERT)) == len(rows)


def test_a_field_whose_type_a_breaking_version_changed_has_a_column_of_its_own(deployment: Deployment) -> None:
    """Both versions are in one table, so that a count is over all; what v1 said stays under its name."""
    rows = table(deployment, "version, reason, reason_v2, text, rejected_by", "trading_order_rejected")

    assert {(1, "no funds", "", None, "RISK"), (2, "", "OTHER", "no", "RISK")} == set(rows)
    assert len(numbers(deployment, REJECTED)) == len(rows)


def test_a_database_that_grew_has_the_columns_of_a_new_one(deployment: Deployment, store: Any) -> None:
    """Upgraded or made today: the same tables, but for the order of columns."""
    from tradewire.schemas import FixedIds
    from tradewire.sinks.tables import Tables

    Tables(store, NEW, FixedIds(), 1_000).ensure()
    sql = "SELECT table, name, type, default_expression FROM system.columns WHERE database = '{}' ORDER BY table, name"
    grown = deployment.arena.query(sql.format(deployment.arena.settings.clickhouse.database))

    assert [tuple(row) for row in store.query(sql.format(store.database))] == grown


def test_history_gives_what_was_written_and_reads_it_as_the_newest(deployment: Deployment) -> None:
    """``events`` is evidence; ``read`` is what a consumer of today would have got, page by page."""
    with deployment.arena.history() as history:
        wanted = EventFilter(type=REJECTED, topic=deployment.topic)
        stored = history.events(wanted, limit=100, order="oldest").events
        read: list[Event] = []
        cursor = None
        while True:
            page = history.read(deployment.codec, wanted, limit=7, order="oldest", cursor=cursor)
            read += page.events
            cursor = page.cursor
            if cursor is None:
                break
        as_old = history.read(deployment.old_codec, EventFilter(type=CREATED, topic=deployment.topic), limit=100)
        with pytest.raises(NewerVersion, match="this reader knows v1, the record is v2"):
            history.read(deployment.old_codec, wanted, limit=100)

    assert {("no funds", None), ("OTHER", "no")} == {(e.payload["reason"], e.payload.get("text")) for e in stored}
    assert numbers(deployment, REJECTED) == [event.position.offset for event in read if event.position]
    assert [deployment.versions[n] for n in numbers(deployment, REJECTED)] == [event.version for event in read]
    texts = {1: ("RISK_LIMIT", "no funds"), 2: ("OTHER", "no")}
    assert [texts[event.version or 0] for event in read] == [(e.data["reason"], e.data["text"]) for e in read]
    assert (True, {1, 2}) == (
        all("arrival_price" not in event.data for event in as_old.events),
        {event.version for event in as_old.events},
    )


def test_a_replay_is_byte_exact_over_both_versions(deployment: Deployment) -> None:
    """Nothing is upcast on the way: the copy holds the bytes of either version."""
    target = f"{deployment.topic}.copy"
    make_topic(deployment.arena.settings.kafka, target, config={"message.timestamp.type": "CreateTime"})
    with Replay(deployment.arena.settings) as replay:
        replay.to_topic(OffsetRange(deployment.topic, 0, 0), target, exact=True)
        source = list(replay.records(OffsetRange(deployment.topic, 0, 0)))
        copy = list(replay.records(OffsetRange(target, 0, 0)))

    assert source == copy
    ids = {record.value[1:5] for record in copy if record.value}
    assert 2 * len(TYPES) == len(ids)
    assert deployment.versions == [deployment.codec.decode(record.value).version for record in copy]


def present(**columns: str) -> Mapping[str, str]:
    return columns


@pytest.mark.parametrize(
    ("fields", "columns", "breaking", "expected"),
    [
        ({"a": "Int64"}, {}, False, {"a": "a"}),
        ({"a": "Int64"}, {"a": "Int64"}, True, {"a": "a"}),
        ({"a": "Int32"}, {"a": "Int64"}, False, {"a": "a"}),
        ({"a": "Int32"}, {"a": "Int64"}, True, {"a": "a_v3"}),
        ({"a": "Int64"}, {"a": "Int32"}, False, {"a": "a_v3"}),
        ({"a": "Int64"}, {"a": "Int32", "a_v2": "Int64"}, False, {"a": "a_v2"}),
        ({"a": "Int32"}, {"a": "Int32", "a_v2": "Int64"}, False, {"a": "a_v2"}),
        ({"a": "String"}, {"a": "Int32", "a_v3": "Int64"}, False, {"a": "a_v3_"}),
        ({"a": "Int64", "a_v3": "Int64"}, {"a": "String"}, False, {"a": "a_v3_", "a_v3": "a_v3"}),
        ({"a": "Int64", "a_v2": "Int64"}, {"a": "Int64", "a_v2": "Int64"}, False, {"a": "a", "a_v2": "a_v2"}),
        ({"a": "LowCardinality(String)"}, {"a": "String"}, False, {"a": "a"}),
        ({"a": "LowCardinality(String)"}, {"a": "String"}, True, {"a": "a_v3"}),
    ],
)
def test_a_field_goes_to_the_newest_column_that_takes_its_values(
    fields: dict[str, str], columns: dict[str, str], breaking: bool, expected: dict[str, str]
) -> None:
    assert expected == column_names(fields, columns, "v3", breaking=breaking)


@pytest.mark.parametrize(
    ("column", "type", "expected"),
    [
        ("Nullable(String)", "String", True),
        ("String", "Nullable(String)", False),
        ("Nullable(Decimal(38, 18))", "Nullable(Decimal(18, 18))", True),
        ("Decimal(38, 18)", "Decimal(38, 8)", False),
        ("Decimal(9, 2)", "Decimal(18, 2)", False),
        ("LowCardinality(Nullable(String))", "LowCardinality(String)", True),
        ("Tuple(a String, b Int64)", "Tuple(`a` LowCardinality(String), `b` Int64)", True),
        ("Map(String, Decimal(38, 18))", "Map(String, Decimal(38, 18))", True),
        ("Float64", "Int64", False),
        ("Int64", "DateTime64(3, 'UTC')", False),
    ],
)
def test_a_column_takes_a_type_when_no_value_changes(column: str, type: str, expected: bool) -> None:
    assert expected is takes(column, type)
