"""The pure core of the audit, and the one hash that both sides compute."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tradewire.core.settings import ClickHouseSettings
from tradewire.schemas.headers import SEQUENCE_DIGITS, Header, format_time_ns
from tradewire.sinks.audit import Anomaly, Finding, Gap
from tradewire.sinks.audit.buckets import Buckets, BucketSum, differing, stretches
from tradewire.sinks.audit.compacted import compare_keys, newest_of_keys
from tradewire.sinks.audit.findings import StoredRow, classify, classify_tables, joined, merge, ranges, without
from tradewire.sinks.audit.heal import plan_repairs
from tradewire.sinks.audit.kafka_reader import NotAuditable
from tradewire.sinks.audit.report import AuditReport, PartitionReport, counted
from tradewire.sinks.audit.row_hash import record_hash, row_hash_sql
from tradewire.sinks.layout import COLUMN, CONSTANT, LETTERS, TEXT_COLUMNS, VALUE, layout_text, plain_layout
from tradewire.sinks.positions import PartitionPosition
from tradewire.sinks.store import connect

ROWS = st.dictionaries(st.integers(0, 60), st.integers(0, 2**64 - 1), max_size=40)


def stored_rows(rows: dict[int, int]) -> list[StoredRow]:
    return [StoredRow(offset, hash, "events") for offset, hash in rows.items()]


def sums(rows: list[tuple[int, int]]) -> dict[int, BucketSum]:
    buckets = Buckets(10)
    buckets.add(rows)
    return dict(buckets.take())


@given(ROWS, st.randoms(use_true_random=False))
def test_equal_rows_have_equal_sums_in_any_order(rows: dict[int, int], chance: object) -> None:
    shuffled = list(rows.items())
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert differing(sums(sorted(rows.items())), sums(shuffled)) == []


@given(ROWS.filter(bool), st.data())
def test_one_damage_shows_in_its_bucket_alone(rows: dict[int, int], data: st.DataObject) -> None:
    offset = data.draw(st.sampled_from(sorted(rows)))
    damage = data.draw(st.sampled_from(["lost", "doubled", "tripled", "altered"]))
    damaged = [(at, hash) for at, hash in rows.items() if at != offset]
    damaged += {
        "lost": [],
        "doubled": [(offset, rows[offset])] * 2,
        "tripled": [(offset, rows[offset])] * 3,
        "altered": [(offset, rows[offset] ^ 1)],
    }[damage]

    assert [offset // 10] == differing(sums(list(rows.items())), sums(damaged))


def test_a_loss_beside_a_duplicate_is_seen_although_the_counts_are_equal() -> None:
    assert [0] == differing(sums([(1, 5), (2, 6)]), sums([(1, 5), (1, 5)]))


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 7), st.integers(1, 5))
def test_stretches_cover_a_range_once_and_are_cut_at_bucket_borders(lo: int, more: int, width: int, count: int) -> None:
    found = list(stretches(lo, lo + more, width, count))

    assert list(range(lo, lo + more)) == [at for first, end in found for at in range(first, end)]
    assert all(end % (width * count) == 0 for _, end in found[:-1])


@given(ROWS)
def test_what_is_equal_has_no_findings(rows: dict[int, int]) -> None:
    assert [] == classify(rows, stored_rows(rows))


def test_each_anomaly_has_its_name() -> None:
    in_kafka = {1: 11, 2: 12, 3: 13, 4: 14, 5: 15}
    stored = stored_rows({1: 11, 3: 99, 4: 14, 5: 15, 6: 16, 7: 17}) + stored_rows({4: 14}) + stored_rows({5: 0})

    assert [
        (2, Anomaly.LOST_WRITE),
        (3, Anomaly.ALTERED),
        (4, Anomaly.DUPLICATE),
        (5, Anomaly.ALTERED),
        (5, Anomaly.DUPLICATE),
        (6, Anomaly.ABORTED_READ),
        (7, Anomaly.PHANTOM),
    ] == classify(in_kafka, stored, uncommitted={1, 2, 3, 4, 5, 6})


def test_every_event_is_in_one_typed_table_once() -> None:
    assert [
        (1, Anomaly.TABLE_LOST),
        (2, Anomaly.TABLE_DUPLICATE),
        (4, Anomaly.TABLE_PHANTOM),
    ] == classify_tables({1, 2, 3}, [2, 2, 3, 4])


@given(st.sets(st.integers(0, 50)))
def test_ranges_hold_the_same_offsets(offsets: set[int]) -> None:
    found = ranges(sorted(offsets))

    assert sorted(offsets) == [at for lo, hi in found for at in range(lo, hi + 1)]
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(found))


RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))), max_size=8)


def offsets_of(found: list[tuple[int, int]]) -> set[int]:
    return {at for lo, hi in found for at in range(lo, hi + 1)}


@given(RANGES, RANGES)
def test_ranges_without_others_hold_what_is_in_the_first_alone(
    found: list[tuple[int, int]], taken: list[tuple[int, int]]
) -> None:
    assert offsets_of(found) - offsets_of(taken) == offsets_of(without(found, taken))
    assert ranges(sorted(offsets_of(found))) == joined(found)


def test_a_repair_of_a_lost_history_costs_no_memory_per_offset() -> None:
    lost = [Finding(lo, lo + 10**9, Anomaly.LOST_WRITE, 10**9 + 1) for lo in range(0, 10**13, 10**12)]
    (repair,) = plan_repairs(report_of(*lost), delete=True)

    assert 10 == len(repair.insert)


def test_neighbours_with_the_same_anomaly_are_one_finding() -> None:
    found = merge([(1, Anomaly.ALTERED), (2, Anomaly.ALTERED), (2, Anomaly.DUPLICATE), (4, Anomaly.ALTERED)])

    assert [
        Finding(1, 2, Anomaly.ALTERED, 2),
        Finding(2, 2, Anomaly.DUPLICATE, 1),
        Finding(4, 4, Anomaly.ALTERED, 1),
    ] == found


def test_read_models_are_compared_by_the_newest_position_of_a_key() -> None:
    in_kafka = {
        b"same": (10, False),
        b"deleted": (11, True),
        b"older here": (12, False),
        b"newer here": (13, False),
        b"not deleted here": (14, True),
        b"lost": (15, False),
        b"dead": (16, False),
        b"not yet": (25, False),
        b"here already": (17, False),
    }
    stored = [
        (b"same", 10, False),
        (b"deleted", 11, True),
        (b"older here", 2, False),
        (b"newer here", 18, False),
        (b"not deleted here", 14, False),
        (b"unknown", 9, False),
        (b"deleted long ago", 1, True),
        (b"dead", 3, False),
        (b"here already", 26, False),
    ]

    compared = compare_keys(in_kafka, stored, stored_to=20, dead={16})

    assert [
        Finding(9, 9, Anomaly.PHANTOM, 1),
        Finding(12, 12, Anomaly.LOST_WRITE, 1),
        Finding(14, 14, Anomaly.ALTERED, 1),
        Finding(15, 15, Anomaly.LOST_WRITE, 1),
        Finding(18, 18, Anomaly.PHANTOM, 1),
    ] == sorted(compared.findings)
    assert (2, 1) == (compared.gaps[Gap.NOT_STORED_YET], compared.dead_letters)


class Message:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return b""

    def offset(self) -> int:
        return 1


def test_more_keys_than_memory_may_hold_are_refused() -> None:
    with pytest.raises(NotAuditable, match=r"t\[0\] has more than 2 keys"):
        newest_of_keys([Message(b"a"), Message(b"b"), Message(b"c")], "t[0]", keys_max=2)


def report_of(*findings: Finding, compacted: bool = False) -> AuditReport:
    position = PartitionPosition("t", 0, 0, 100, 100)
    anomalies = counted(findings)
    return AuditReport(
        [
            PartitionReport(
                position=position, lo=0, end=100, records=100, rows=100, dead_letters=0, gaps={},
                findings=findings, anomalies=anomalies, truncated=False, compacted=compacted,
            )
        ],
        1.0,
    )  # fmt: skip


def test_everything_below_the_first_finding_is_complete() -> None:
    (partition,) = report_of(Finding(40, 41, Anomaly.ALTERED, 2), Finding(60, 60, Anomaly.LOST_WRITE, 1)).partitions

    assert (False, 40) == (partition.equal, partition.complete_to)
    assert 100 == report_of().partitions[0].complete_to


def test_a_repair_without_deletion_only_adds() -> None:
    report = report_of(
        Finding(1, 2, Anomaly.LOST_WRITE, 2),
        Finding(5, 5, Anomaly.DUPLICATE, 1),
        Finding(7, 8, Anomaly.LOST_WRITE, 2),
        Finding(8, 8, Anomaly.TABLE_PHANTOM, 1),
        Finding(9, 9, Anomaly.PHANTOM, 1),
        Finding(100, 200, Anomaly.PHANTOM, 3),
    )
    (adding,) = plan_repairs(report, delete=False)
    (whole,) = plan_repairs(report, delete=True)

    assert ([(1, 2), (7, 7)], [], []) == (adding.insert, adding.replace, adding.delete)
    assert {Anomaly.DUPLICATE: 1, Anomaly.TABLE_PHANTOM: 1, Anomaly.PHANTOM: 4, Anomaly.LOST_WRITE: 1} == adding.left
    assert ([(1, 2), (7, 7)], [(5, 5), (8, 8)], [(9, 9)]) == (whole.insert, whole.replace, whole.delete)
    assert {Anomaly.PHANTOM: 3} == whole.left


@pytest.fixture(scope="module")
def client(clickhouse_settings: ClickHouseSettings) -> Iterator[Client]:
    made = connect(clickhouse_settings)
    yield made
    made.close()


def clickhouse_hash(
    client: Client, key: bytes | None, value: bytes | None, layout: str, values: list[bytes], layouts: list[str]
) -> int:
    """The expression over one row made of literals."""

    def text(raw: bytes | None) -> str:
        return "CAST(NULL, 'Nullable(String)')" if raw is None else f"CAST(unhex('{raw.hex()}'), 'Nullable(String)')"

    envelope = ", ".join(f"'{column} ü' AS {column}" for column in TEXT_COLUMNS.values())
    array = ", ".join(f"unhex('{raw.hex()}')" for raw in values)
    row = (
        "SELECT toInt64(5) AS offset, toInt64(1723075200123) AS recorded_ms, "
        f"{text(key)} AS key, {text(value)} AS value, "
        f"unhex('{layout.encode().hex()}') AS header_layout, CAST([{array}], 'Array(String)') AS header_values, "
        f"{envelope}, CAST(42, 'Nullable(Int64)') AS sequence, toInt64(1723075200123456789) AS time_ns"
    )
    return int(client.query(f"SELECT {row_hash_sql(layouts)} FROM ({row})").result_rows[0][0])


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=40),
    st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=8)), max_size=5),
)
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_record_has_the_same_hash_in_python_and_in_clickhouse(
    client: Client, key: bytes | None, value: bytes | None, headers: list[Header]
) -> None:
    """With an expression made for its layout, and with the one that reads any layout."""
    expected = record_hash(5, 1723075200123, key, value, headers)
    layout, values = plain_layout(headers)

    assert expected == clickhouse_hash(client, key, value, layout, values, [layout])
    assert expected == clickhouse_hash(client, key, value, layout, values, [])


def test_headers_out_of_columns_have_the_same_hash_in_python_and_in_clickhouse(client: Client) -> None:
    entries = list(LETTERS)
    contents = {
        **{name: f"{column} ü" for name, column in TEXT_COLUMNS.items()},
        "ce_time": format_time_ns(1723075200123456789),
        "ce_sequence": f"{42:0{SEQUENCE_DIGITS}d}",
    }
    headers: list[Header] = []
    values: list[bytes] = []
    for name, kind, *constant in entries:
        if kind == VALUE:
            values.append(name.upper().encode())
        content = {VALUE: name.upper(), CONSTANT: "".join(constant), COLUMN: contents.get(name, "")}[kind]
        headers.append((name, content.encode()))
    layout = layout_text(entries)
    expected = record_hash(5, 1723075200123, b"k", b"v", headers)

    assert not layout.startswith("[")
    assert expected == clickhouse_hash(client, b"k", b"v", layout, values, [layout])
    assert expected == clickhouse_hash(client, b"k", b"v", layout, values, ["", layout])
    assert expected == clickhouse_hash(client, b"k", b"v", layout, values, [])
    assert expected != clickhouse_hash(client, b"k", b"v", layout, [*values, b"more"], [layout])


@pytest.mark.parametrize("field", ["offset", "timestamp", "key", "value", "header name", "header value", "null"])
def test_every_part_of_a_record_counts(field: str) -> None:
    record = {"offset": 1, "timestamp_ms": 2, "key": b"k", "value": b"v", "headers": [("n", b"h")]}
    altered = dict(record)
    altered |= {
        "offset": {"offset": 3},
        "timestamp": {"timestamp_ms": 3},
        "key": {"key": b""},
        "value": {"value": b"w"},
        "header name": {"headers": [("m", b"h")]},
        "header value": {"headers": [("n", b"i")]},
        "null": {"headers": [("n", None)]},
    }[field]

    assert record_hash(**record) != record_hash(**altered)  # type: ignore[arg-type]
