"""An engine that is killed between the token of an insert and its rows, and what a batch's tables are to have."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from structlog.testing import capture_logs
from tests.sinks.samples import batch_of, record_of
from tests.waiting import http_answers, wait_until

from tradewire.core.settings import ClickHouseSettings
from tradewire.operations.stack import Child, free_ports, start_child
from tradewire.schemas import Catalogue, FixedIds
from tradewire.sinks.batch import Job, Plan, write
from tradewire.sinks.container import Malformed, build_block
from tradewire.sinks.mending import rows_of
from tradewire.sinks.protocol import Intent
from tradewire.sinks.row_shape import RowShape
from tradewire.sinks.store import Store
from tradewire.sinks.tables import Tables, Target

CATALOGUE = Catalogue.load()
TRADE = CATALOGUE["market.trade.reported"].latest
TRADE_TABLE = "market_trade_reported"
SHAPE = RowShape.of(7, TRADE.type, TRADE.schema)


def test_rows_whose_token_outlived_a_killed_engine_are_put_in_again_and_once(tmp_path: Path) -> None:
    """Between the two is a moment that no test can hit: a part is taken away that the deduplication log names, which is
    what a kill leaves there. Of three tables that an insert fills one has its rows and is given none."""
    (port,) = free_ports(1)

    def start() -> Child:
        command = [sys.executable, "-m", "tradewire.operations.clickhouse_server", "--port", str(port)]
        command += ["--data", str(tmp_path / "engine")]
        child = start_child(command, name="clickhouse", log_file=tmp_path / "clickhouse.log")
        wait_until(lambda: http_answers(f"http://127.0.0.1:{port}/ping"), within_s=90, alive=child.poll)
        return child

    engine = start()
    store, ids = Store(ClickHouseSettings(port=port)), FixedIds()
    try:
        schema_id = ids.id_of(TRADE, "market.events")
        tables = Tables(store, Catalogue({TRADE.type: CATALOGUE[TRADE.type]}), ids, 1_000)
        tables.ensure()
        target = tables.target(schema_id)
        assert isinstance(target, Target)
        records = [record_of(TRADE, schema_id, number) for number in range(6)]

        def job(*, replayed: bool) -> Job:
            plan = Plan({schema_id: [0, 1, 2, 3, 4]}, {schema_id: target}, malformed=[Malformed(5, "avro", "cut off")])
            return Job(batch_of(records), Intent(0, 5, 6), plan, replayed)

        def offsets(table: str) -> list[int]:
            return sorted(store.offsets_in(table, "market.events", 0, 0, 5))

        write(job(replayed=False), store)
        parts = store.query(
            "SELECT path FROM system.parts WHERE database = {database:String} AND table IN ('events', 'dead_letters') "
            "AND active",
            {"database": store.database},
        )
        engine.kill()
        for number, (path,) in enumerate(parts):
            shutil.move(path.rstrip("/"), tmp_path / f"part-{number}")
        engine = start()
        assert ([], [], [0, 1, 2, 3, 4]) == (offsets("events"), offsets("dead_letters"), offsets(TRADE_TABLE))

        for _ in range(2):
            write(job(replayed=True), store)
            assert [0, 1, 2, 3, 4] == offsets("events") == offsets(TRADE_TABLE)
            assert [5] == offsets("dead_letters")

        # What a release of ClickHouse that writes rows before their token would leave.
        block = build_block(batch_of(records), [0, 1], target.shape)
        store.insert_avro(target.landing, block.body, token="another")
        with capture_logs() as logs:
            write(job(replayed=True), store)
        assert {"events": 2, TRADE_TABLE: 2} == {line["table"]: line["rows"] for line in logs}
        assert {"rows_doubled"} == {line["event"] for line in logs}
    finally:
        store.close()
        engine.stop(20)


def test_each_table_is_to_have_the_rows_that_the_plan_gives_it() -> None:
    """A record at fault is a dead letter alone, also one that was in a group until ClickHouse refused it."""
    target = Target("landing", SHAPE, {"typed": "", "events": ""})
    plan = Plan({7: [0, 2, 3]}, {7: target}, malformed=[Malformed(1, "no frame", ""), Malformed(3, "avro", "")])
    job = Job(batch_of([record_of(TRADE, 7, number) for number in range(4)]), Intent(0, 3, 4), plan, replayed=True)

    assert {"typed": [0, 2], "events": [0, 2], "dead_letters": [1, 3]} == rows_of(job)


def test_of_a_compacted_topic_the_newest_record_of_each_key_is_enough() -> None:
    """ClickHouse merges the rows of one key into the newest; a deletion is a row like any."""
    records = [record_of(TRADE, 7, number, subject="ab"[number % 2]) for number in range(4)]
    records += [record_of(TRADE, 7, 4, subject="c"), record_of(TRADE, 7, 5, subject="c")]
    batch = batch_of(records)
    plan = Plan({7: [0, 1, 2, 3, 4]}, {7: Target("landing", SHAPE, {"read_model": ""})}, [5], "read_model")

    assert {"read_model": [2, 3, 5]} == rows_of(Job(batch, Intent(0, 5, 6), plan, replayed=True))
