"""Projections of ``events`` that are others than the declared ones are brought over, and answers stay right."""

from __future__ import annotations

import pytest
from tests.sinks.samples import batch_of, record_of
from tests.waiting import wait_until

from tradewire.core.settings import ClickHouseSettings
from tradewire.schemas import Catalogue, FixedIds
from tradewire.sinks.container import build_block
from tradewire.sinks.event_pages import EventFilter
from tradewire.sinks.projections import PROJECTIONS, projection_statements
from tradewire.sinks.row_shape import RowShape
from tradewire.sinks.store import Store
from tradewire.sinks.stored_history import StoredHistory
from tradewire.sinks.tables import Tables

CATALOGUE = Catalogue.load()
TRADE = CATALOGUE["market.trade.reported"].latest
# As databases had it before the time was in its order.
WITHOUT_TIME = "SELECT subject, _part_offset ORDER BY subject"


def kinds(statements: list[str]) -> list[str]:
    return [" ".join(statement.split()[3:5]) for statement in statements]


def test_declared_projections_need_nothing() -> None:
    assert [] == projection_statements("t", PROJECTIONS)


def test_blanks_quotes_and_brackets_make_no_other_projection() -> None:
    written = {name: query.replace("ORDER BY ", "\n    ORDER BY (") + ")" for name, query in PROJECTIONS.items()}
    quoted = {name: query.replace("subject", "`subject`") for name, query in written.items()}

    assert [] == projection_statements("t", quoted)


def test_an_old_form_is_gone_from_every_part_before_the_new_one_has_its_name() -> None:
    statements = projection_statements("t", {**PROJECTIONS, "by_subject": WITHOUT_TIME})

    assert ["DROP PROJECTION", "ADD PROJECTION", "MATERIALIZE PROJECTION"] == kinds(statements)
    assert statements[0].endswith("alter_sync = 2, mutations_sync = 2")
    assert statements[2].endswith("mutations_sync = 0")


def test_a_missing_one_is_made_and_those_of_others_stay() -> None:
    present = {"by_subject": PROJECTIONS["by_subject"], "my_own": "SELECT id ORDER BY id"}

    assert ["ADD PROJECTION", "MATERIALIZE PROJECTION"] == kinds(projection_statements("t", present))


@pytest.fixture
def old(store: Store) -> Store:
    """A database whose ``by_subject`` has the old form, with parts that have it and one that has none."""
    Tables(store, CATALOGUE, FixedIds(), 100).ensure()
    events = f"`{store.database}`.events"
    store.command(f"ALTER TABLE {events} DROP PROJECTION by_subject SETTINGS alter_sync = 2, mutations_sync = 2")
    store.command(f"ALTER TABLE {events} ADD PROJECTION by_subject ({WITHOUT_TIME})")
    shape = RowShape.of(1, TRADE.type, TRADE.schema)
    for first in (0, 100, 200):
        records = [
            record_of(TRADE, 1, offset, subject=f"a-{offset % 9}", time_ns=5_000 - offset)
            for offset in range(first, first + 100)
        ]
        block = build_block(batch_of(records, topic="market.events"), range(100), shape)
        store.insert_avro("landing_market_trade_reported_v1", block.body, token=f"t{first}")
        if first == 100:
            store.command(f"OPTIMIZE TABLE {events} FINAL")
    return store


def test_an_older_database_is_brought_over_with_right_answers_all_the_while(
    old: Store, clickhouse_settings: ClickHouseSettings
) -> None:
    expected = [offset for offset in range(299, -1, -1) if offset % 9 == 4]

    def offsets(history: StoredHistory) -> list[int]:
        found: list[int] = []
        cursor = None
        while True:
            page = history.events(EventFilter(subject="a-4"), order="oldest", limit=10, cursor=cursor)
            found += [event.offset for event in page.events]
            if (cursor := page.cursor) is None:
                return found

    history = StoredHistory.connect(clickhouse_settings.model_copy(update={"database": old.database}))
    assert expected == offsets(history)
    Tables(old, CATALOGUE, FixedIds(), 100).ensure()
    assert expected == offsets(history)

    named = {"database": old.database}
    sql = "SELECT query FROM system.projections WHERE database = {database:String} AND name = 'by_subject'"
    assert PROJECTIONS["by_subject"] == old.query(sql, named)[0][0]
    missing = (
        "SELECT count() FROM system.parts AS part WHERE active AND database = {database:String} AND table = 'events' "
        "AND name NOT IN (SELECT parent_name FROM system.projection_parts_columns WHERE active "
        "AND database = {database:String} AND table = 'events' AND name = 'by_subject' AND column = 'time_ns')"
    )
    wait_until(lambda: old.query(missing, named)[0][0] == 0, within_s=60)
    assert expected == offsets(history)
    history.close()

    mutations = "SELECT count() FROM system.mutations WHERE database = {database:String} AND table = 'events'"
    done = old.query(mutations, named)[0][0]
    Tables(old, CATALOGUE, FixedIds(), 100).ensure()
    assert done == old.query(mutations, named)[0][0]
