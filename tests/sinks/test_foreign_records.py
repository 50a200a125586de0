"""Records of other producers that keep another contract: each is stored right, or is a dead letter that says why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.sinks.samples import batch_of, record_of

from tradewire.schemas import Catalogue, FixedIds, Header
from tradewire.sinks.container import build_block, split_by_schema
from tradewire.sinks.row_shape import RowShape
from tradewire.sinks.store import Store
from tradewire.sinks.tables import NoTarget, Tables

TRADE = Catalogue.load()["market.trade.reported"].latest
SHAPE = RowShape.of(7, TRADE.type, TRADE.schema)
# JSON that nests deeper than Python recurses, and half a surrogate pair: both once ended the sink.
ENDLESS_TAGS = b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
HALF_A_PAIR = b'{"a":"\\ud800"}'


def malformed_of(*records: list[Header]) -> tuple[int, list[tuple[int, str]]]:
    made = [record_of(TRADE, 7, offset)._replace(headers=headers) for offset, headers in enumerate(records)]
    block = build_block(batch_of(made), range(len(made)), SHAPE)
    return block.rows, [(malformed.at, malformed.error) for malformed in block.malformed]


def test_an_unframed_value_says_what_its_headers_say_it_is() -> None:
    """The operator reads the fix in the dead letter, not a guess about the first byte."""
    plain = record_of(TRADE, 7, 0)._replace(value=b"\x0cabcdefgh")
    structured = [("content-type", b"Application/CloudEvents+JSON; charset=utf-8")]
    records = [plain._replace(headers=structured), plain]

    errors = [error for _, _, error in split_by_schema(batch_of(records)).malformed]

    assert "structured mode" in errors[0]
    assert "0x0c" in errors[1]


@pytest.mark.parametrize("together", [1, 20])
@pytest.mark.parametrize(
    "header",
    [
        ("ce_specversion", b"0.3"),
        ("content-type", b"application/cloudevents+json"),
        ("ce_tags", ENDLESS_TAGS),
        ("ce_tags", HALF_A_PAIR),
        ("ce_sequence", "١".encode()),
    ],
    ids=["version", "structured", "endless", "surrogate", "digit"],
)
def test_headers_at_fault_are_refused_in_any_company(header: Header, together: int) -> None:
    """Which rows a batch holds besides must not decide whether a record is stored."""
    good = dict(record_of(TRADE, 7, 0, sequence=1, tags={"a": "b"}).headers)
    bad = list((good | dict([header])).items())

    rows, malformed = malformed_of(*[list(good.items())] * together, bad)

    assert (together, [together]) == (rows, [at for at, _ in malformed])


def deep(levels: int) -> Any:
    schema: Any = "long"
    for level in range(levels):
        schema = {"type": "record", "name": f"R{level}", "fields": [{"name": "f", "type": schema}]}
    return schema


@pytest.mark.parametrize(
    "type",
    [
        deep(500),
        {"type": "fixed", "name": "F", "size": "1) ENGINE = Null AS SELECT 1 --"},
        {"type": "fixed", "name": "F", "size": -1},
        "nothing",
        ["long", ["string"]],
    ],
    ids=["deep", "statement", "negative", "unknown", "nested"],
)
def test_a_schema_that_is_none_leaves_the_sink_running(type: Any, store: Store) -> None:
    """Its records become dead letters; nothing that it says becomes part of a statement."""

    class Hostile(FixedIds):
        def schema_of(self, schema_id: int) -> Mapping[str, Any]:
            return {"type": "record", "name": "Hostile", "fields": [{"name": "f", "type": type}]}

    tables = Tables(store, Catalogue({}), Hostile(), 1_000)

    found = tables.target(1)

    assert isinstance(found, NoTarget)
    assert "unsupported schema" == found.reason
