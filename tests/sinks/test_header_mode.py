"""Confluent's header mode: a header names the schema, the value has no frame, and the record is an event as others."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    header_schema_id_serializer,
    record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from tests.schemas.guid_registry import guid_of, guid_registry
from tests.sinks.arena import CATALOGUE, Arena
from tests.sinks.samples import batch_of, data_of, event_of, framed, record_of
from tests.waiting import wait_until

from tradewire.core import Settings
from tradewire.core.settings import RegistrySettings
from tradewire.schemas import Codec, Contract, Header, RegistryIds, SchemaArchive, encode_headers
from tradewire.schemas.schema_keys import SchemaKey
from tradewire.sinks import EventFilter, OffsetRange, Replay
from tradewire.sinks.audit import Auditor, AuditRange
from tradewire.sinks.container import build_block, split_by_schema
from tradewire.sinks.planner import Planner
from tradewire.sinks.protocol import DEAD_SCHEMAS_MAX, Intent
from tradewire.sinks.records import Record
from tradewire.sinks.row_shape import RowShape
from tradewire.sinks.tables import NoTarget, Target

KEY = "__value_schema_id"
TRADE = CATALOGUE["market.trade.reported"].latest
FOREIGN = {
    "type": "record",
    "name": "Elsewhere",
    "namespace": "made.in.a.test",
    "fields": [{"name": "note", "type": "string"}, {"name": "price", "type": "double"}],
}


def named(record: Record, header: bytes | None) -> Record:
    """The same record in header mode."""
    return record._replace(value=(record.value or b"")[5:], headers=[*record.headers, (KEY, header)])


def of_id(schema_id: int) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big")


def test_a_batch_is_sorted_by_what_each_record_says_of_its_schema() -> None:
    """The header wins over whatever the value begins with; of two headers the last counts."""
    guid = uuid.UUID(int=77)
    plain = record_of(TRADE, 7, 0)
    looks_framed = plain._replace(headers=[*plain.headers, (KEY, of_id(8)), (KEY, b"\1" + guid.bytes)])
    records = [plain, named(plain, of_id(7)), named(plain, b"\1" + guid.bytes), looks_framed, plain]
    records += [named(plain, b"\2"), named(plain, None), plain._replace(value=None), named(plain, of_id(7))]

    split = split_by_schema(batch_of(records))

    assert {7: [0, 4], SchemaKey(7, None): [1, 8], SchemaKey(None, guid): [2, 3]} == split.by_schema
    assert [7] == split.tombstones
    assert [(5, "headers"), (6, "headers")] == [found[:2] for found in split.malformed]


def test_rows_of_header_mode_are_those_of_framed_values() -> None:
    """But for the value and the headers as they were; the record inside is the same."""
    framed_shape, shape = (RowShape.of(7, TRADE.type, TRADE.schema, size) for size in (5, 0))
    records = [record_of(TRADE, 7, at) for at in range(20)]
    key = (KEY, of_id(7))
    beside = [record._replace(headers=[*record.headers, key]) for record in records]

    plain = build_block(batch_of(beside), range(20), framed_shape)
    without = build_block(batch_of([named(record, of_id(7)) for record in records]), range(20), shape)

    assert (20, 20, []) == (plain.rows, without.rows, list(without.malformed))
    values = [(record.value or b"") for record in records]
    assert all(value[5:] in without.body and value not in without.body for value in values)


class KnowsNothing:
    """Tables of a registry that has no schema."""

    def target(self, key: object, *, was_known: bool = False) -> Target | NoTarget:
        return NoTarget("unknown schema id", str(key))

    def read_model(self, topic: str) -> None:
        return None


def test_an_intent_can_name_every_guid_that_nobody_knew() -> None:
    """A flood of GUIDs: the batch ends where an offset's metadata would not hold one more; a replay keeps them dead."""
    records = [named(record_of(TRADE, 7, at), b"\1" + uuid.UUID(int=2**127 + at).bytes) for at in range(100)]
    planner = Planner(KnowsNothing(), ())  # type: ignore[arg-type]

    plan, rows = planner.plan(batch_of(records), None)
    intent = Intent(0, rows - 1, rows, dead_schemas=tuple(plan.dead_schemas))

    assert DEAD_SCHEMAS_MAX // 4 == rows == len(plan.malformed)
    assert intent == Intent.decode(intent.encode())
    assert len(intent.encode()) < 4096
    again, _ = planner.plan(batch_of(records[:rows]), intent.dead_schemas)
    assert plan.malformed == again.malformed


def test_a_plan_that_has_to_end_ends_before_the_first_record_of_what_is_left_out() -> None:
    """A framed value of an unknown id comes before the GUIDs: it is in the plan, and the plan is never empty."""
    plain = record_of(TRADE, 7, 0)
    records = [plain, *(named(plain, b"\1" + uuid.UUID(int=2**127 + at).bytes) for at in range(60))]

    plan, rows = Planner(KnowsNothing(), ()).plan(batch_of(records), None)  # type: ignore[arg-type]

    assert 50 == rows
    assert 7 in plan.dead_schemas
    assert list(range(50)) == sorted(found.at for found in plan.malformed)


@pytest.fixture(scope="module")
def guids(settings: Settings, contract: Contract) -> Iterator[str]:
    """The real registry, with a stand-in for the one endpoint that Apicurio lacks."""
    with guid_registry(settings.registry.url) as url:
        yield url


def serialized(url: str, schema: str, number: int, type: str, data: Any) -> Record:
    """As confluent-kafka writes it in header mode."""
    conf = {
        "auto.register.schemas": True,
        "normalize.schemas": False,
        "schema.id.serializer": header_schema_id_serializer,
        "subject.name.strategy": record_subject_name_strategy,
    }
    event = event_of(TRADE, number, type=type, data=data)
    headers: list[Header] = list(encode_headers(event))
    serializer = AvroSerializer(SchemaRegistryClient({"url": url}), schema, conf=conf)
    value = serializer(data, SerializationContext("any", MessageField.VALUE, headers))
    assert [1] == [content[0] for name, content in headers if name == KEY and content is not None]
    return Record(number, 1, event.subject.encode(), value, headers)


def mixed(schema_id: int, url: str) -> Sequence[Record]:
    """Framed, by GUID, by id, of a schema that is none of ours, of a GUID that nobody knows."""
    found: list[Record] = []
    for at in range(0, 40, 5):
        found += [
            record_of(TRADE, schema_id, at),
            serialized(url, TRADE.text, at + 1, TRADE.type, data_of(TRADE, at + 1)),
            named(record_of(TRADE, schema_id, at + 2), of_id(schema_id)),
            serialized(url, json.dumps(FOREIGN), at + 3, "elsewhere.noted", {"note": f"n{at}", "price": 1.5}),
            named(record_of(TRADE, schema_id, at + 4), b"\1" + guid_of("nobody registered this").bytes),
        ]
    return found


@pytest.mark.timeout(300)
def test_records_of_confluents_header_mode_are_events(arena: Arena, guids: str, tmp_path: Any) -> None:
    """In `events`, in the typed table, equal to an audit of every column, decoded by history."""
    schema_id = arena.schema_id(TRADE.type)
    ids = RegistryIds(RegistrySettings(url=guids), SchemaArchive(tmp_path / "schemas"))
    arena.contract = Contract.load(arena.settings, schema_ids=ids, topics=arena.topics)
    topic, database = arena.topic("market"), arena.settings.clickhouse.database
    records = mixed(schema_id, guids)
    arena.send(topic, records, 0)
    with arena.running():
        wait_until(arena.all_stored, within_s=120)

    assert arena.expected() == arena.stored()
    dead = f"SELECT offset, reason FROM {database}.dead_letters WHERE topic = '{topic}' ORDER BY offset"
    assert [(at, "unknown schema id") for at in range(4, 40, 5)] == arena.query(dead)
    typed = f"SELECT offset, price FROM {database}.market_trade_reported WHERE topic = '{topic}' ORDER BY offset"
    trades = [at for at in range(40) if at % 5 < 3]
    assert [(at, data_of(TRADE, at)["price"]) for at in trades] == arena.query(typed)
    foreign = f"SELECT offset, JSONExtractString(payload_text, 'note') FROM {database}.events "
    foreign += f"WHERE topic = '{topic}' AND type = 'elsewhere.noted' ORDER BY offset"
    notes = [(at + 3, f"n{at}") for at in range(0, 40, 5)]
    assert notes == arena.query(foreign)
    assert 2 == arena.query(f"SELECT uniqExact(guid) FROM {database}.schema_guids")[0][0]
    assert [(0, 16), (schema_id, 16)] == arena.query(
        f"SELECT schema_id, count() FROM {database}.events WHERE topic = '{topic}' GROUP BY ALL ORDER BY ALL"
    )

    report = Auditor(arena.settings, arena.sink_contract(), columns=True).run(AuditRange([topic]))
    assert (True, 40) == (report.equal, report.records)
    with arena.history() as history:
        codec = Codec(arena.contract.catalogue, ids)
        page = history.read(codec, EventFilter(topic=topic, type=TRADE.type), limit=100, order="oldest")
    read = {event.position.offset: event.data["price"] for event in page.events if event.position}
    assert {at: data_of(TRADE, at)["price"] for at in trades} == read
    assert framed(TRADE, 7, data_of(TRADE, 1))[5:] == records[1].value
    with arena.history() as history:
        notes_found = history.events(EventFilter(topic=topic, type="elsewhere.noted", payload={"note": "n15"})).events
    assert [(18, 0, "n15")] == [(event.offset, event.schema_id, event.payload["note"]) for event in notes_found]

    with Replay(arena.settings) as replay:
        of_kafka = list(replay.records(OffsetRange(topic, 0, 0)))
        admin = AdminClient(arena.settings.kafka.client_config())
        for future in admin.delete_records([TopicPartition(topic, 0, 40)]).values():
            future.result(30)
        assert of_kafka == list(replay.records(OffsetRange(topic, 0, 0)))
    assert 40 == len(of_kafka)
