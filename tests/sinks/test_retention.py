"""The policy and its arithmetic, without servers; archives as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fastavro
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tradewire.core.errors import ReplayError
from tradewire.sinks.records import Record
from tradewire.sinks.retention.archive import archive_name, read_archive, sum_of, write_archive
from tradewire.sinks.retention.plan import StoredPartition, due_end, pieces
from tradewire.sinks.retention.policy import Policy, PolicyInvalid, Rule

DAY_MS = 86_400_000
TOPICS = ("market.events", "trading.events")


def load(folder: Path, content: Any) -> Policy:
    file = folder / "retention.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return Policy.load(
        file, topics=TOPICS, event_tables={"market_trade_reported"}, model_tables={"readmodel_candle", "flows_state"}
    )


def test_the_built_in_policy_keeps_everything() -> None:
    assert () == Policy.load(None, topics=TOPICS, event_tables=(), model_tables=()).rules


def test_rules_are_defaults_with_what_is_said_of_a_topic(tmp_path: Path) -> None:
    policy = load(
        tmp_path,
        {
            "defaults": {"keep_days": 30},
            "topics": {"market.events": {"keep_days": 1.5, "archive": False}, "trading.events": None},
            "tables": {"market_trade_reported": {"keep_days": 7}, "flows_state": {"keep_days": 2, "archive": False}},
        },
    )

    assert (
        Rule("market.events", "topic", 3 * DAY_MS // 2, False),
        Rule("trading.events", "topic", 30 * DAY_MS, True),
        Rule("market_trade_reported", "table", 7 * DAY_MS, False),
        Rule("flows_state", "table", 2 * DAY_MS, False),
    ) == policy.rules


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1, 2]", "not a retention policy"),
        ("topics: {", "not a retention policy"),
        ({"topic": {}}, r"topic: Extra inputs"),
        ({"topics": {"market.event": {"keep_days": 1}}}, r"topics\.market\.event is not .* mean market\.events"),
        ({"topics": {"market.events": {"keep": 1}}}, r"topics\.market\.events: keep: Extra inputs"),
        ({"topics": {"market.events": {"keep_days": 0}}}, r"keep_days is 0; .* above zero, or forever"),
        ({"topics": {"market.events": {"keep_days": float("nan")}}}, r"keep_days is nan"),
        ({"defaults": {"keep_days": "a year"}}, r"defaults: keep_days"),
        ({"tables": {"events": {"keep_days": 1}}}, r"tables\.events: this table holds the raw bytes of all topics"),
        ({"tables": {"readmodel_candl": {"keep_days": 1}}}, r"tables\.readmodel_candl is not .* readmodel_candle"),
        ({"tables": {"readmodel_candle": {"keep_days": 1}}}, r"read models keep no raw bytes.*`archive: false`"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_by_name(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(PolicyInvalid, match=said) as refused:
        load(tmp_path, content)

    assert "retention.yaml" in str(refused.value)


@pytest.mark.parametrize(
    ("keep_from", "stored_to", "expected"),
    [
        (50, 100, 49),
        (None, 100, 99),
        (None, 80, 79),
        (10, 100, None),
        (50, None, None),
        (50, 30, 29),
    ],
)
def test_a_range_ends_before_what_is_kept_and_before_what_is_unconfirmed(
    keep_from: int | None, stored_to: int | None, expected: int | None
) -> None:
    assert expected == due_end(StoredPartition("t", 0, 90, 10, 99, keep_from), stored_to)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 300))
def test_pieces_cover_a_range_once_and_are_cut_at_the_same_offsets_every_time(lo: int, more: int, size: int) -> None:
    found = list(pieces(lo, lo + more, size))

    assert list(range(lo, lo + more + 1)) == [at for first, last in found for at in range(first, last + 1)]
    assert all((last + 1) % size == 0 for _, last in found[:-1])


RECORDS = [
    Record(3, 1_723_075_200_123, b"k", b"\x00\xff", [("ce_id", b"1"), ("ü", None), ("ü", b"")]),
    Record(5, 1, None, None, []),
    Record(9, -1, b"", b"", [("x", b"\xff")]),
]


def test_an_archive_gives_back_every_byte_and_is_plain_avro(tmp_path: Path) -> None:
    file = tmp_path / archive_name("market.events", 3, 3, 9)
    assert 3 == write_archive(file, "market.events", 3, RECORDS)

    assert RECORDS == list(read_archive(file))
    assert sum_of(RECORDS) == sum_of(read_archive(file))
    with file.open("rb") as stream:
        reader = fastavro.reader(stream)
        assert ("market.events", "3") == (reader.metadata["tradewire.topic"], reader.metadata["tradewire.partition"])
    assert [file] == list(file.parent.iterdir())


def test_names_of_archives_sort_by_offset() -> None:
    names = [archive_name("t", 0, lo, lo + 9) for lo in (0, 10, 100, 99_999_999)]

    assert names == sorted(names)


def test_an_archive_that_fails_leaves_no_file_behind(tmp_path: Path) -> None:
    def records() -> Any:
        yield RECORDS[0]
        raise ReplayError("a row contradicts its layout")

    with pytest.raises(ReplayError):
        write_archive(tmp_path / "a.avro", "t", 0, records())
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_a_damaged_archive_is_named(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "a.avro"
    write_archive(file, "t", 0, [record for _ in range(100) for record in RECORDS])
    raw = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(raw[:-30] if damage == "cut" else raw[:-30] + bytes([raw[-30] ^ 0xFF]) + raw[-29:])

    with pytest.raises(ReplayError, match=r"a\.avro"):
        list(read_archive(file))
