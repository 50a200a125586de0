"""Tables made of schemas, in the real engine: every type is stored, a repeated token adds nothing."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from tests.sinks.samples import batch_of, data_of, event_of, framed, record_of
from tests.waiting import wait_until

from tradewire.core.errors import ClickHouseUnavailable, SinkError, UnknownSchemaId
from tradewire.schemas import Catalogue, EventSchema, FixedIds, encode_headers
from tradewire.sinks.columns import UnsupportedSchema, columns_of
from tradewire.sinks.container import build_block
from tradewire.sinks.ddl import (
    StoredSchema,
    TableOptions,
    base_statements,
    column_name,
    schema_statements,
    stored_schemas,
)
from tradewire.sinks.records import Record
from tradewire.sinks.row_shape import RowShape
from tradewire.sinks.store import BlockRefused, Store, query_id_of
from tradewire.sinks.tables import NoTarget, Tables, Target, stored_schema_of

CATALOGUE = Catalogue.load()
TRADE = CATALOGUE["market.trade.reported"].latest
WINDOW = 1_000
# A breaking version that gave a field another type.
RENAMED = {("trading.order.rejected", 2): {"reason": "reason_v2"}}


@pytest.fixture
def tables(store: Store) -> Tables:
    """All tables of the catalogue."""
    made = Tables(store, CATALOGUE, FixedIds(), WINDOW)
    made.ensure()
    return made


def count(store: Store, table: str) -> int:
    return int(store.query(f"SELECT count() FROM `{store.database}`.`{table}`")[0][0])


def plain(value: Any) -> Any:
    """Data as the payload column shows them: decimals as text without closing zeros, nulls left out."""
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None and inner != {}}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def stored_data(store: Store, stored: StoredSchema, offset: int) -> dict[str, Any]:
    renamed = RENAMED.get((stored.type, stored.version), {})
    names = ", ".join(f"`{renamed.get(name, column_name(name))}`" for name in columns_of(stored.schema))
    rows = store.query(f"SELECT {names} FROM `{store.database}`.`{stored.table}` WHERE offset = {offset}")
    (row,) = rows
    return dict(zip(columns_of(stored.schema), row, strict=True))


def as_read(value: Any) -> Any:
    """Data as clickhouse-connect gives them back: records are dicts, a null record is None."""
    if isinstance(value, dict):
        return {key: as_read(inner) for key, inner in value.items()}
    return [as_read(inner) for inner in value] if isinstance(value, list) else value


def test_every_type_goes_through_its_landing_table_into_its_tables(store: Store, tables: Tables) -> None:
    """Each schema of the catalogue: typed columns and payload hold the data that were encoded, to the last digit."""
    for number, stored in enumerate(stored_schemas(CATALOGUE), start=1):
        schema = next(v for v in CATALOGUE[stored.type].versions if v.version == stored.version)
        shape = RowShape.of(number, stored.type, stored.schema)
        records = [record_of(schema, number, 1_000 * number + at, tags={"n": "1"}, sequence=at) for at in range(3)]
        batch = batch_of(records, topic=stored.topic or f"{stored.type.split('.')[0]}.events")
        block = build_block(batch, range(3), shape)
        store.insert_avro(stored.landing, block.body, token=f"{stored.landing}:1")
        for record in records:
            data = data_of(schema, record.offset)
            if stored.topic is None:
                assert as_read(data) == as_read(stored_data(store, stored, record.offset)), stored.type
                sql = f"SELECT payload_text FROM `{store.database}`.events WHERE offset = {record.offset}"
                assert plain(data) == plain(json.loads(store.query(sql)[0][0])), stored.type
    events = [stored for stored in stored_schemas(CATALOGUE) if stored.topic is None]
    assert 3 * len(events) == count(store, "events")


def test_read_models_keep_the_newest_row_of_a_key_and_are_no_events(store: Store, tables: Tables) -> None:
    schema = CATALOGUE["readmodel.order.changed"].latest
    shape = RowShape.of(9, schema.type, schema.schema)
    records = [record_of(schema, 9, offset, subject="order-1") for offset in (5, 6, 7)]
    block = build_block(batch_of(records, topic="readmodel.order.v1"), range(3), shape)
    store.insert_avro("landing_readmodel_order_changed_v1", block.body, token="1")

    rows = store.query(f"SELECT offset, order_id FROM `{store.database}`.readmodel_order FINAL")

    assert [(7, data_of(schema, 7)["order_id"])] == [tuple(row) for row in rows]
    assert 0 == count(store, "events")


def test_a_repeated_token_adds_no_row_in_any_target(store: Store, tables: Tables) -> None:
    """A block larger than the engine's usual block of rows: it must stay one block to be one token."""
    rows = 70_000
    shape = RowShape.of(3, TRADE.type, TRADE.schema)
    event = event_of(TRADE, 1)
    headers, value = encode_headers(event), framed(TRADE, 3, event.data)
    batch = batch_of([Record(offset, 1, b"k", value, headers) for offset in range(rows)])
    block = build_block(batch, range(rows), shape)

    for _ in range(3):
        store.insert_avro("landing_market_trade_reported_v1", block.body, token="v1:1:market.events:0:0-69999:3:70000")

    assert (rows, rows) == (count(store, "events"), count(store, "market_trade_reported"))
    sql = (
        "SELECT `table` AS name, count() FROM system.parts WHERE active AND database = {database:String} GROUP BY name"
    )
    assert {("events", 1), ("market_trade_reported", 1)} == {
        tuple(row) for row in store.query(sql, {"database": store.database})
    }


def test_a_token_remembered_only_by_one_target_still_completes_the_other(store: Store, tables: Tables) -> None:
    """A crash between the two targets of one insert: the repetition fills what is missing and nothing twice."""
    shape = RowShape.of(3, TRADE.type, TRADE.schema)
    block = build_block(batch_of([record_of(TRADE, 3, offset) for offset in range(10)]), range(10), shape)
    view = "landing_market_trade_reported_v1_to_table"
    create = store.query(f"SELECT create_table_query FROM system.tables WHERE name = '{view}' "
                         f"AND database = '{store.database}'")[0][0]  # fmt: skip
    store.command(f"DROP VIEW `{store.database}`.{view} SYNC")
    store.insert_avro("landing_market_trade_reported_v1", block.body, token="t")
    assert (10, 0) == (count(store, "events"), count(store, "market_trade_reported"))
    store.command(create)

    store.insert_avro("landing_market_trade_reported_v1", block.body, token="t")

    assert (10, 10) == (count(store, "events"), count(store, "market_trade_reported"))


@pytest.mark.parametrize("change", ["shorter", "longer", "garbage"])
def test_a_block_with_a_record_of_the_wrong_length_is_refused_whole(store: Store, tables: Tables, change: str) -> None:
    records = [record_of(TRADE, 3, offset) for offset in range(200)]
    value = records[77].value or b""
    wrong = {"shorter": value[:-3], "longer": value + b"\x02\x02", "garbage": value[:5] + b"\xff" * 40}[change]
    records[77] = records[77]._replace(value=wrong)
    block = build_block(batch_of(records), range(200), RowShape.of(3, TRADE.type, TRADE.schema))

    with pytest.raises(BlockRefused):
        store.insert_avro("landing_market_trade_reported_v1", block.body, token="t")

    assert (0, 0) == (count(store, "events"), count(store, "market_trade_reported"))


def test_a_later_version_adds_its_columns(store: Store, tables: Tables) -> None:
    fields = [*TRADE.schema["fields"], {"name": "maker_fee", "type": ["null", "string"], "default": None}]
    later = EventSchema(TRADE.type, 2, {**TRADE.schema, "fields": fields}, TRADE.file)
    stored = StoredSchema(later.type, 2, later.schema)
    for statement in schema_statements(store.database, stored, TableOptions(WINDOW)):
        store.command(statement.sql)
    old = build_block(batch_of([record_of(TRADE, 3, 0)]), [0], RowShape.of(3, TRADE.type, TRADE.schema))
    new = build_block(batch_of([record_of(later, 4, 1)]), [0], RowShape.of(4, TRADE.type, later.schema))

    store.insert_avro("landing_market_trade_reported_v1", old.body, token="1")
    store.insert_avro("landing_market_trade_reported_v2", new.body, token="2")

    sql = f"SELECT offset, version, maker_fee FROM `{store.database}`.market_trade_reported ORDER BY offset"
    assert [(0, 1, None), (1, 2, data_of(later, 1)["maker_fee"])] == [tuple(row) for row in store.query(sql)]


def test_a_schema_outside_the_catalogue_gets_tables_and_is_archived(store: Store) -> None:
    ids = FixedIds()
    schema = {"type": "record", "name": "Thing", "namespace": "elsewhere", "fields": [{"name": "n", "type": "long"}]}
    theirs = EventSchema("elsewhere.thing.happened", 1, schema, TRADE.file)
    ids.id_of(theirs, "x")
    tables = Tables(store, Catalogue({}), ids, WINDOW)
    tables.ensure()

    target = tables.target(1)

    assert isinstance(target, Target)
    block = build_block(batch_of([record_of(theirs, 1, 0)]), [0], target.shape)
    store.insert_avro(target.landing, block.body, token="t")
    assert [("elsewhere.thing.happened", data_of(theirs, 0)["n"])] == [
        tuple(row) for row in store.query(f"SELECT type, payload.n::Int64 FROM `{store.database}`.events")
    ]
    assert [(1, json.dumps(schema, separators=(",", ":")))] == [
        tuple(row) for row in store.query(f"SELECT id, schema FROM `{store.database}`.schemas")
    ]


def test_a_schema_that_is_in_no_registry_is_read_from_the_archive(store: Store, tables: Tables) -> None:
    store.keep_schema(77, TRADE.type, 1, TRADE.text)

    assert isinstance(Tables(store, CATALOGUE, FixedIds(), WINDOW).target(77), Target)


def test_an_unknown_schema_id_has_no_target(tables: Tables) -> None:
    found = tables.target(4711)

    assert isinstance(found, NoTarget)
    assert "4711" in found.error


def test_a_schema_id_that_was_known_when_its_batch_was_cut_is_never_given_up(tables: Tables) -> None:
    """Its records may be stored already: as dead letters they would be there twice."""
    with pytest.raises(UnknownSchemaId):
        tables.target(4711, was_known=True)


def test_an_unknown_schema_id_is_waited_for_and_then_given_up(store: Store) -> None:
    """A registry's replica may lag, and one may be restored: not at once a dead letter, and not for ever a wait."""
    ids = FixedIds()
    only_trades = Catalogue({TRADE.type: CATALOGUE[TRADE.type]})
    patient = Tables(store, only_trades, ids, WINDOW, unknown_wait_s=3_600)
    patient.ensure()
    with pytest.raises(UnknownSchemaId):
        patient.target(1)
    ids.id_of(TRADE, "market.events")
    assert isinstance(patient.target(1), Target)

    quick = Tables(store, only_trades, ids, WINDOW, unknown_wait_s=0.2)
    given_up: list[NoTarget] = []

    def asked() -> bool:
        with suppress(UnknownSchemaId):
            found = quick.target(2)
            assert isinstance(found, NoTarget)
            given_up.append(found)
        return bool(given_up)

    assert not asked()
    wait_until(asked, within_s=30)


@pytest.mark.parametrize(
    ("avro", "said"),
    [
        (["null", {"type": "array", "items": "string"}], "no null Array"),
        (["string", "long"], "union of 2"),
        ("null", "null"),
    ],
    ids=["null array", "union", "null"],
)
def test_what_is_no_column_is_named(avro: Any, said: str) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "deep", "type": avro}]}

    with pytest.raises(UnsupportedSchema, match=f"deep: .*{said}"):
        columns_of(schema)


def test_a_record_that_holds_itself_is_named() -> None:
    node = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}

    with pytest.raises(UnsupportedSchema, match="holds itself"):
        columns_of({"type": "record", "name": "R", "fields": [{"name": "node", "type": node}]})


def test_a_field_named_like_an_envelope_column_is_renamed(store: Store, tables: Tables) -> None:
    fields = [{"name": "source", "type": "string"}, {"name": "offset", "type": "long"}]
    schema = {"type": "record", "name": "Odd", "fields": fields}
    stored = StoredSchema("odd.name.used", 1, schema)
    for statement in schema_statements(store.database, stored, TableOptions(WINDOW)):
        store.command(statement.sql)
    theirs = EventSchema(stored.type, 1, schema, TRADE.file)
    block = build_block(batch_of([record_of(theirs, 1, 5)]), [0], RowShape.of(1, None, schema))
    store.insert_avro(stored.landing, block.body, token="t")

    sql = f"SELECT source, offset, data_source, data_offset FROM `{store.database}`.odd_name_used"
    data = data_of(theirs, 5)
    assert [("test", 5, data["source"], data["offset"])] == [tuple(row) for row in store.query(sql)]


def test_tables_may_be_made_again(store: Store, tables: Tables) -> None:
    Tables(store, CATALOGUE, FixedIds(), WINDOW).ensure()

    for sql in base_statements(store.database, TableOptions(WINDOW)).values():
        store.command(sql)


def test_every_target_remembers_tokens_and_none_is_partitioned(store: Store, tables: Tables) -> None:
    """The engine's default window is none; an insert over two of its partitions would not be all or nothing."""
    rows = store.query(
        "SELECT name, engine_full, partition_key FROM system.tables WHERE database = {database:String} "
        "AND engine LIKE '%MergeTree' AND name NOT LIKE 'schema%'",
        {"database": store.database},
    )

    assert len(rows) > 50
    assert [] == [name for name, full, _ in rows if f"non_replicated_deduplication_window = {WINDOW}" not in full]
    assert [] == [name for name, _, partition_key in rows if partition_key]


def test_tables_of_an_older_sink_are_not_written_to(store: Store) -> None:
    """Its ``events`` would take rows without their payload."""
    store.command(f"CREATE DATABASE IF NOT EXISTS `{store.database}`")
    store.command(f"CREATE TABLE `{store.database}`.events (offset Int64) ENGINE = MergeTree ORDER BY offset")

    with pytest.raises(SinkError, match="older sink"):
        Tables(store, CATALOGUE, FixedIds(), WINDOW).ensure()


def test_an_insert_that_a_dead_sink_left_running_is_waited_for_or_killed(store: Store) -> None:
    """It would otherwise arrive after the same batch was done again."""
    token = f"v1:1:{store.database}:0:0-9:"
    store.command(f"CREATE DATABASE `{store.database}`")
    store.command(f"CREATE TABLE `{store.database}`.slow (n UInt64) ENGINE = MergeTree ORDER BY n")
    left = Store(store._settings)
    sql = f"INSERT INTO `{store.database}`.slow SELECT sleepEachRow(0.2) FROM numbers(600) SETTINGS max_block_size = 1"

    def insert() -> None:
        with pytest.raises(ClickHouseUnavailable):
            left._ask(lambda client: client.command(sql, settings={"query_id": query_id_of(token + "3:10")}))

    thread = threading.Thread(target=insert)
    thread.start()
    wait_until(lambda: store._running(query_id_of(token)), within_s=30)

    store.settle(token, wait_ms=200)

    thread.join(30)
    assert not thread.is_alive()
    assert not store._running(query_id_of(token))


def test_nothing_is_waited_for_when_nothing_is_left(store: Store) -> None:
    store.settle("v1:1:nobody:0:0-9:", wait_ms=0)


def test_an_engine_that_is_away_is_named(store: Store) -> None:
    away = Store(store._settings.model_copy(update={"port": 1}))

    with pytest.raises(ClickHouseUnavailable, match=r"127\.0\.0\.1:1 "):
        away.command("SELECT 1")


def test_a_versions_schema_is_told_from_another_form_of_the_same_type() -> None:
    """Another text of the same meaning is that version; other fields are none of them."""
    same = {**TRADE.schema, "doc": "another"}
    other = {**TRADE.schema, "fields": TRADE.schema["fields"][:-1]}

    assert ("market.trade.reported", 1, None) == _key(stored_schema_of(CATALOGUE, 5, TRADE.schema))
    assert ("market.trade.reported", 1, None) == _key(stored_schema_of(CATALOGUE, 5, same))
    assert ("market.trade.reported", 0, 5) == _key(stored_schema_of(CATALOGUE, 5, other))


def _key(stored: StoredSchema) -> tuple[str, int, int | None]:
    return stored.type, stored.version, stored.schema_id
