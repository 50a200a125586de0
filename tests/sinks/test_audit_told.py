"""What `tradewire audit` tells of a difference: exit code, report, metrics; and what it then repairs."""

from __future__ import annotations

import json

import pytest
from tests.sinks.arena import CATALOGUE, TYPES, Arena
from tests.sinks.test_audit_damage import command
from tests.waiting import wait_until
from typer import Typer
from typer.testing import CliRunner, Result

from tradewire.operations.commands import audit
from tradewire.schemas import Catalogue, Codec, Contract

pytestmark = pytest.mark.timeout(300)
COMMAND = Typer()
COMMAND.command()(audit.audit)


def told(arena: Arena, *arguments: str) -> Result:
    """The command in this process, as each start of it costs a second."""
    of_partition = ["--topic", arena.topic("market"), "--partition", "0", *arguments]
    return CliRunner().invoke(COMMAND, of_partition, env=arena.environment | {"COLUMNS": "200"})


def test_a_doubled_row_of_a_typed_table_is_told_measured_and_replaced(arena: Arena) -> None:
    """40 events are stored, one of them twice in its table alone; five more have come since."""
    topic = arena.topic("market")
    known = Catalogue({type: CATALOGUE[type] for type in TYPES})
    ids = arena.contract.schema_ids
    arena.sink_contract = lambda: Contract(known, arena.topics, ids, Codec(known, ids))  # type: ignore[method-assign]
    arena.send(topic, arena.events(40), 0)
    with arena.running():
        wait_until(arena.all_stored, within_s=120)
    arena.send(topic, arena.events(5), 0)
    table = "$db.market_trade_reported"
    command(arena, f"INSERT INTO {table} SELECT * FROM {table} WHERE topic = '{topic}' AND offset = 4")

    file = arena.folder / "audit.prom"
    differs = told(arena, "--json", "--metrics-file", str(file))
    assert 1 == differs.exit_code, differs.output
    (found,) = json.loads(differs.stdout)["partitions"]
    assert [{"anomaly": "table-duplicate", "from": 4, "to": 4, "offsets": 1}] == found["findings"]
    assert ({"not-stored-yet": 5}, 4, False) == (found["gaps"], found["complete_to"], found["truncated"])
    where, metrics = f'partition="0",topic="{topic}"', file.read_text().splitlines()
    assert {
        "tradewire_audit_equal 0.0",
        f'tradewire_audit_anomalous_offsets{{anomaly="table-duplicate",{where}}} 1.0',
        f'tradewire_audit_anomalous_offsets{{anomaly="lost-write",{where}}} 0.0',
        f'tradewire_audit_gap_offsets{{gap="not-stored-yet",{where}}} 5.0',
        f"tradewire_audit_records{{{where}}} 40.0",
        f"tradewire_audit_complete_to{{{where}}} 4.0",
    } <= set(metrics)

    adding = told(arena, "--heal", "--yes")
    assert (1, True) == (adding.exit_code, "see --delete" in adding.stderr), adding.output
    healed = told(arena, "--heal", "--delete", "--yes")
    assert (0, True) == (healed.exit_code, "1 inserted, rows of 1 offsets deleted" in healed.stderr), healed.output
    assert [(20, 20)] == arena.query(
        f"SELECT count(), uniqExact(offset) FROM {arena.settings.clickhouse.database}.market_trade_reported "
        f"WHERE topic = '{topic}'"
    )
    waiting = told(arena, "--complete")
    assert (1, True) == (waiting.exit_code, "equal: 40 records" in waiting.stdout), waiting.output
