"""Rows built by concatenation are the rows that an Avro reader sees."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sinks.samples import NOW_NS, batch_of, data_of, record_of

from tradewire.core.errors import MalformedRecord
from tradewire.schemas import Catalogue, EventSchema, Header, decode_headers, format_time_ns
from tradewire.sinks.container import Block, build_block, split_by_schema, unreadable
from tradewire.sinks.layout import plain_layout, restore_headers
from tradewire.sinks.records import Record
from tradewire.sinks.row_shape import RowShape

CATALOGUE = Catalogue.load()
SCHEMAS = [schema for type in CATALOGUE.values() for schema in type.versions]
TRADE = CATALOGUE["market.trade.reported"].latest
SHAPE = RowShape.of(7, TRADE.type, TRADE.schema)
TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def rows_of(block: Block) -> list[dict[str, Any]]:
    if not block.rows:
        return []
    return [dict(row) for row in fastavro.reader(io.BytesIO(block.body))]  # type: ignore[arg-type]


def build(records: Sequence[Record], shape: RowShape = SHAPE) -> tuple[list[dict[str, Any]], Block]:
    block = build_block(batch_of(records), range(len(records)), shape)
    rows = rows_of(block)
    assert len(rows) == block.rows
    return sorted(rows, key=lambda row: number(row["offset_bytes"])), block


def number(packed: bytes) -> int:
    return int.from_bytes(packed, "little", signed=True)


def restored(row: dict[str, Any]) -> list[Header]:
    columns: dict[str, bytes | int] = {
        name: row[name].encode() for name in ("id", "type", "source", "subject", "correlation_id", "causation_id")
    }
    columns["time_ns"] = number(row["time_ns_bytes"])
    if row["sequence_bytes"] is not None:
        columns["sequence"] = number(row["sequence_bytes"])
    return restore_headers(row["header_layout"], row["header_values"], columns)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: f"{schema.type}-v{schema.version}")
def test_the_record_inside_a_row_is_what_was_encoded(schema: EventSchema) -> None:
    """Every schema of the catalogue, several records with other values each."""
    shape = RowShape.of(3, schema.type, schema.schema)
    records = [record_of(schema, 3, offset) for offset in range(5)]

    rows, block = build(records, shape)

    assert not block.malformed
    assert [data_of(schema, offset) for offset in range(5)] == [row["data"] for row in rows]
    assert [record.value for record in records] == [row["value"] for row in rows]
    assert all(row["offset_bytes"] == row["end_offset_bytes"] for row in rows)


def test_the_envelope_is_copied_from_the_headers() -> None:
    record = record_of(TRADE, 7, 41, causation_id="cause", sequence=12, tags={"a": "ü"}, extra=[TRACE])

    (row,), _ = build([record])

    envelope = decode_headers(record.headers)
    assert (envelope.id, envelope.type, envelope.source) == (row["id"], row["type"], row["source"])
    assert (envelope.subject, envelope.correlation_id) == (row["subject"], row["correlation_id"])
    assert (envelope.causation_id, envelope.tags) == (row["causation_id"], row["tags"])
    assert (envelope.time_ns, envelope.sequence) == (number(row["time_ns_bytes"]), number(row["sequence_bytes"]))
    assert ("market.events", 0, 41, 7) == (
        row["topic"],
        row["partition"],
        number(row["offset_bytes"]),
        row["schema_id"],
    )
    assert record.timestamp_ms == number(row["recorded_ms_bytes"])
    assert record.key == row["key"]


def test_usual_headers_take_a_few_letters_and_their_own_values_only() -> None:
    (row,), _ = build([record_of(TRADE, 7, 1, causation_id="c", sequence=3, tags={"a": "b"}, extra=[TRACE])])

    assert row["header_layout"] == "viysturaqgcp"
    assert row["header_values"] == [b'{"a":"b"}', TRACE[1]]


def test_the_same_records_give_the_same_bytes() -> None:
    records = [record_of(TRADE, 7, offset) for offset in range(3_000)]

    assert build(records)[1].body == build(records)[1].body


name = st.sampled_from(
    (
        *("ce_id", "ce_type", "ce_source", "ce_time", "ce_subject", "ce_correlationid", "ce_causationid"),
        *("ce_sequence", "ce_tags", "content-type", "ce_specversion", "traceparent", "x", "", "ü\n", '["'),
    )
)
value = st.one_of(
    st.none(),
    st.binary(max_size=6),
    st.sampled_from(
        (
            *(b"1.0", b"application/avro", TRADE.type.encode(), b'{"a":"b"}', b'{"a":1}', b"[]"),
            *("ü".encode(), b"\xc3", b"\xa9", b"0000000000000000012", b"12", b"-3", b"99999999999999999999"),
            *(b"2024-08-08T00:00:00.123456789Z", b"2024-08-08T02:00:00+02:00", b"2024-08-08T00:00:00.1_3456789Z"),
            *(b"9999-12-31T23:59:59.999999999Z", b"0001-01-01T00:00:00.000000000Z", b"2024-02-31T00:00:00.000000000Z"),
        )
    ),
)


@given(st.lists(st.lists(st.tuples(name, value), max_size=4), max_size=20), st.lists(st.booleans(), min_size=20))
def test_any_headers_come_back_as_they_were_or_are_refused_as_the_contract_refuses_them(
    extras: list[list[Header]], replace: list[bool]
) -> None:
    """Order, repeats and nulls; half of the records have nothing but odd headers."""
    records = []
    for offset, extra in enumerate(extras):
        usual = record_of(TRADE, 7, offset, extra=[] if replace[offset] else extra)
        kept = (
            [header for header in usual.headers if header[0] not in dict(extra)] if replace[offset] else usual.headers
        )
        records.append(usual._replace(headers=[*extra, *kept] if replace[offset] else kept))

    rows, block = build(records)

    refused = {malformed.at for malformed in block.malformed}
    stored = iter(rows)
    for at, record in enumerate(records):
        try:
            envelope = decode_headers(record.headers, fallback_time_ns=record.timestamp_ms * 1_000_000)
            readable = envelope.type == TRADE.type and all(
                -(2**63) <= number < 2**63 for number in (envelope.time_ns, envelope.sequence or 0)
            )
        except MalformedRecord:
            readable = False
        assert readable == (at not in refused)
        if readable:
            row = next(stored)
            assert list(record.headers) == restored(row)
            assert envelope.time_ns == number(row["time_ns_bytes"])
            assert (envelope.id, envelope.subject, envelope.tags) == (row["id"], row["subject"], row["tags"])
            assert (envelope.causation_id or "") == row["causation_id"]


@given(st.lists(st.tuples(st.text(max_size=3), st.one_of(st.none(), st.binary(max_size=3))), max_size=8))
def test_the_plain_layout_keeps_any_headers(headers: list[Header]) -> None:
    layout, values = plain_layout(headers)

    assert headers == restore_headers(layout, values, {})


def test_a_record_without_a_key_has_a_null_key() -> None:
    records = [
        record_of(TRADE, 7, 0),
        record_of(TRADE, 7, 1)._replace(key=None),
        record_of(TRADE, 7, 2)._replace(key=b""),
    ]

    assert [b"aggregate-0", None, b""] == [row["key"] for row in build(records)[0]]


def test_one_bad_record_among_many_is_set_aside_alone() -> None:
    records = [record_of(TRADE, 7, offset) for offset in range(2_500)]
    headers = [(name, b"\xff" if name == "ce_id" else value) for name, value in records[1_300].headers]
    records[1_300] = records[1_300]._replace(headers=headers)

    rows, block = build(records)

    assert [(1_300, "headers")] == [(malformed.at, malformed.reason) for malformed in block.malformed]
    assert [offset for offset in range(2_500) if offset != 1_300] == [number(row["offset_bytes"]) for row in rows]


def test_halves_of_a_character_in_two_records_are_not_taken_for_text() -> None:
    """Joined, the two ids would be valid UTF-8; alone neither is."""
    first, second = record_of(TRADE, 7, 0), record_of(TRADE, 7, 1)
    first = first._replace(headers=[(n, b"a\xc3" if n == "ce_id" else v) for n, v in first.headers])
    second = second._replace(headers=[(n, b"\xa9b" if n == "ce_id" else v) for n, v in second.headers])

    assert [0, 1] == [malformed.at for malformed in build([first, second])[1].malformed]


def test_a_type_that_its_schema_is_not_of_is_refused() -> None:
    _, block = build([record_of(TRADE, 7, 0, type="market.quote.updated")])

    assert "the schema is of market.trade.reported" in block.malformed[0].error


def test_frames_are_sorted_by_schema_and_others_named() -> None:
    records = [record_of(TRADE, 7, offset) for offset in range(5)]
    records[1] = records[1]._replace(value=None)
    records[2] = records[2]._replace(value=b'{"json": 1}')
    records[3] = records[3]._replace(value=b"\x00\x00")

    split = split_by_schema(batch_of(records))

    assert {7: [0, 4]} == split.by_schema
    assert [1] == split.tombstones
    assert {(2, "the value begins with 0x7b"), (3, "the value has 2 bytes")} == {
        (at, error.split(",")[0].split(";")[0]) for at, _, error in split.malformed
    }


def test_bytes_that_do_not_fit_their_schema_are_found() -> None:
    records = [record_of(TRADE, 7, offset) for offset in range(4)]
    whole = records[1].value or b""
    records[1] = records[1]._replace(value=whole[:-1])
    records[3] = records[3]._replace(value=(records[3].value or b"") + b"\x00")

    found = unreadable(batch_of(records), range(4), SHAPE)

    assert [(1, "avro"), (3, "avro")] == [(malformed.at, malformed.reason) for malformed in found]
    assert "1 bytes follow" in found[1].error


def test_a_time_is_read_to_the_nanosecond() -> None:
    times = [NOW_NS, 0, 1, -1, 999_999_999, 2**63 - 1, -(2**63)]
    rows, _ = build([record_of(TRADE, 7, offset, time_ns=time_ns) for offset, time_ns in enumerate(times)])

    assert times == [number(row["time_ns_bytes"]) for row in rows]
    assert [format_time_ns(time).encode() for time in times] == [dict(restored(row))["ce_time"] for row in rows]
