"""A sink that runs meets event types and versions that it was not built with."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.sinks.arena import make_arena
from tests.sinks.test_mixed_versions import ALERT, CREATED, NEW, OLD, record_of
from tests.waiting import wait_until

from tradewire.core import Settings, new_id
from tradewire.schemas import Catalogue, Codec, Contract, RegistryIds


def test_a_running_sink_takes_versions_and_types_that_it_did_not_know(
    settings: Settings, contract: Contract, tmp_path: Path, arena_database: str
) -> None:
    """It knows no alerts, and orders of v1 alone. Both are registered and written while it runs; nobody touches DDL."""
    arena = make_arena(settings, contract, tmp_path, new_id()[-12:], arena_database)
    topic, ids = arena.topic("trading"), RegistryIds(settings.registry)
    knows = Catalogue({CREATED: OLD[CREATED]})
    ids.register(OLD[CREATED].latest, topic)
    theirs = RegistryIds(settings.registry)
    arena.contract = Contract(knows, arena.topics, ids, Codec(knows, ids))
    arena.sink_contract = lambda: arena.contract  # type: ignore[method-assign]
    old, new = Codec(OLD, theirs), Codec(NEW, theirs)
    with arena.running() as sink:
        arena.send(topic, [record_of(old, topic, 0, 1)])
        wait_until(arena.all_stored, within_s=120)
        for type in (CREATED, ALERT):
            theirs.register(NEW[type].latest, topic)
        arena.send(topic, [record_of(new, topic, number, 2) for number in (2, 3, 5)])
        wait_until(arena.all_stored, within_s=120)
        assert sink.running

    database = arena.settings.clickhouse.database
    prices = f"SELECT order_id, version, arrival_price FROM {database}.trading_order_created WHERE topic = '{topic}'"
    assert [("o0", 1, None), ("o3", 2, Decimal("0.03"))] == arena.query(f"{prices} ORDER BY offset")
    alerts = f"SELECT alert_id FROM {database}.risk_alert_raised WHERE topic = '{topic}' ORDER BY offset"
    assert [("o2",), ("o5",)] == arena.query(alerts)
    archived = f"SELECT type, version FROM {database}.schemas FINAL WHERE id IN ({{}})".format(
        ", ".join(str(theirs.id_of(NEW[type].latest, topic)) for type in (CREATED, ALERT))
    )
    assert [(ALERT, 2), (CREATED, 2)] == sorted(arena.query(archived))
    arena.close()
