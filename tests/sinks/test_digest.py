"""Records as files and digests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewire.core.errors import ReplayError
from tradewire.sinks.digest import (
    REPLAY_HEADER,
    Digester,
    canonical,
    digest_of,
    from_line,
    read_file,
    to_line,
    without_replay_id,
)
from tradewire.sinks.records import Record, RecordColumns
from tradewire.sinks.replay import segments

contents = st.one_of(st.none(), st.binary(max_size=8))
headers = st.lists(st.tuples(st.text(max_size=4), contents), max_size=4)
records = st.builds(Record, st.integers(0, 2**62), st.integers(-1, 2**40), contents, contents, headers)


@given(st.text(max_size=5), st.integers(0, 100), records)
def test_a_line_keeps_every_byte(topic: str, partition: int, record: Record) -> None:
    line = to_line(topic, partition, record)

    assert "\n" not in line
    assert (topic, partition, record) == from_line(line)


@given(records, records)
def test_records_have_the_same_canonical_bytes_only_when_they_are_equal(one: Record, other: Record) -> None:
    same = (one.key, one.value, one.headers) == (other.key, other.value, other.headers)

    assert same == (canonical(*one[2:]) == canonical(*other[2:]))


def test_a_digest_depends_on_order_and_tells_null_from_empty() -> None:
    a, b = Record(0, 0, b"a", None, []), Record(1, 0, b"b", b"", [])

    assert digest_of([a, b]) == digest_of([a._replace(offset=7, timestamp_ms=9), b])
    assert digest_of([a, b]) != digest_of([b, a])
    assert digest_of([a]) != digest_of([a._replace(value=b"")])


def test_the_mark_of_a_replay_can_be_taken_off() -> None:
    record = Record(0, 0, b"k", b"v", [("a", b"1")])

    assert record == without_replay_id(record._replace(headers=[*record.headers, (REPLAY_HEADER, b"x")]))


LINE = to_line("t", 0, Record(0, 0, b"k", None, []))


@pytest.mark.parametrize("line", ["{}", "not json", '{"topic":1}', LINE.replace("aw==", "!")])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "replay.jsonl"
    file.write_text(f"{LINE}\n{line}\n")
    lines = read_file(file)
    next(lines)

    with pytest.raises(ReplayError, match=r"replay\.jsonl:2"):
        next(lines)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 60))
def test_the_hand_over_leaves_no_offset_out_and_gives_none_twice(lo: int, more: int, low: int) -> None:
    found = segments(lo, lo + more, low)

    assert list(range(lo, lo + more + 1)) == [at for segment in found for at in range(segment.lo, segment.hi + 1)]
    assert all((at < low) == (segment.source == "history") for segment in found for at in (segment.lo, segment.hi))


@given(st.lists(records, max_size=12), st.booleans())
def test_a_digest_of_columns_is_that_of_the_records(found: list[Record], alike: bool) -> None:
    """Also where neighbours have the same header names, and are handled together."""
    if alike:
        found = [record._replace(headers=[("a", record.key), ("b", record.value)]) for record in found]
    columns = RecordColumns("t", 0)
    columns.add(found[:5])
    columns.add(found[5:])
    digester = Digester()

    digester.add_columns(columns)

    assert digest_of(found) == digester.digest()
    assert found == [record._replace(headers=list(record.headers)) for record in columns.records()]
