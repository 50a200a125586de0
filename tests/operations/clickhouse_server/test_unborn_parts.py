"""An engine that is killed between an insert's token and its part must not take the same insert for done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.operations.clickhouse_server.conftest import Running

from tradewire.operations.clickhouse_server.unborn_parts import _unheld, forget_unborn

_SETTINGS = {"async_insert": 0, "deduplicate_blocks_in_dependent_materialized_views": 1}


def table_of(data: Path, parts: list[str], *logs: str) -> Path:
    folder = data / "store" / "abc" / "abc-d"
    for name in [*parts, "detached", "tmp_insert_all_9_9_0"]:
        (folder / name).mkdir(parents=True)
    (folder / "deduplication_logs").mkdir()
    for number, log in enumerate(logs, start=1):
        (folder / "deduplication_logs" / f"deduplication_log_{number}.txt").write_text(log)
    return folder / "deduplication_logs"


def test_a_token_without_its_part_is_forgotten(tmp_path: Path) -> None:
    """Of five parts one is not there; the others are merged into another, mutated or dropped."""
    logs = table_of(
        tmp_path, ["all_1_4_2", "all_5_5_0_7", "x_6_6_0"],
        "1\tall_1_1_0\ta\n1\tall_3_3_0\tb\n1\tall_5_5_0\tc\n", "1\tall_7_7_0\td\n2\tall_7_7_0\td\n1\tall_8_8_0\te\n",
    )  # fmt: skip

    assert [str(logs.parent / "all_8_8_0")] == forget_unborn(tmp_path)
    assert (logs / "deduplication_log_2.txt").read_text().endswith("\n2\tall_8_8_0\te\n")
    assert [] == forget_unborn(tmp_path)


@pytest.mark.parametrize("log", ["", "1\tall_2_2_0\tto"], ids=["empty", "torn"])
def test_a_log_that_says_nothing_whole_is_left_alone(tmp_path: Path, log: str) -> None:
    logs = table_of(tmp_path, [], log)

    assert [] == forget_unborn(tmp_path)
    assert log == (logs / "deduplication_log_1.txt").read_text()


def test_an_insert_killed_between_its_token_and_its_part_is_stored_when_it_is_sent_again(
    launch: Callable[..., Running],
) -> None:
    """In the table that lacks it alone. The kill is made by hand: the part has its temporary name again."""
    server = launch()
    server.text("CREATE TABLE landing (a Int64) ENGINE = Null")
    for target in ("whole", "torn"):
        server.text(
            f"CREATE TABLE {target} (a Int64) ENGINE = MergeTree ORDER BY a"
            " SETTINGS non_replicated_deduplication_window = 1000"
        )
        server.text(f"CREATE MATERIALIZED VIEW feeds_{target} TO {target} AS SELECT a FROM landing")
    server.text("SYSTEM STOP MERGES")

    def send(token: str) -> None:
        assert server.insert("landing FORMAT TSV", b"1\n2\n", insert_deduplication_token=token, **_SETTINGS).is_success

    send("first")
    send("second")
    with _unheld(server.data) as unheld:
        assert not unheld
    (path,) = server.text("SELECT path FROM system.parts WHERE table = 'torn' AND name = 'all_2_2_0'").split()
    server.kill()
    Path(path).rename(Path(path).with_name("tmp_insert_all_2_2_0"))
    server = launch()
    assert ["2", "4"] == [server.text(f"SELECT count() FROM {table}").strip() for table in ("torn", "whole")]

    for token in ("first", "second", "second"):
        send(token)

    assert ["4", "4"] == [server.text(f"SELECT count() FROM {table}").strip() for table in ("torn", "whole")]
