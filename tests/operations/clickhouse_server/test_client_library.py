"""clickhouse-connect, sync and async, as a user meets the endpoint through it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData
from clickhouse_connect.driver.summary import QuerySummary
from tests.operations.clickhouse_server.asking import BR
from tests.operations.clickhouse_server.conftest import Running


@pytest.fixture(scope="module")
def client(server: Running) -> Client:
    made = server.client()
    made.command("CREATE DATABASE IF NOT EXISTS library")
    made.database = "library"
    return made


def test_the_client_knows_server_and_time_zone(client: Client) -> None:
    """And learns that block info and time zones of Native are to be had."""
    assert int(client.server_version.split(".")[0]) >= 26
    assert client.protocol_version > 0
    assert client.ping()


def test_commands_tell_values_from_statements(client: Client) -> None:
    """A read of no rows is an empty value, a control statement a summary."""
    assert client.command("SELECT 13") == 13
    assert client.command("SELECT 13 WHERE 0") == ""
    assert client.command("SHOW POLICIES") == ""
    assert isinstance(client.command("DROP TABLE IF EXISTS nothing"), QuerySummary)
    assert "query_id" in client.query("SET max_threads = 1").first_item


def test_columns_of_a_query_without_rows_are_known(client: Client) -> None:
    """By the probe the library sends for LIMIT 0."""
    assert client.query("SELECT 1 AS a, now() AS b LIMIT 0").column_names == ("a", "b")
    assert "statement" in client.query("SHOW CREATE TABLE system.tables").column_names


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", BR, True, False])
def test_many_rows_survive_both_ways_in_every_compression(server: Running, compress: str | bool) -> None:
    """Of inserts with many blocks every one is stored."""
    client = server.client(compress=compress, database="default")
    client.command("CREATE OR REPLACE TABLE packed (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
    rows = [[i, f"value {i}"] for i in range(100_000)]
    assert client.insert("packed", rows, column_names=["a", "s"]).written_rows == 100_000
    back = client.query("SELECT * FROM packed ORDER BY a").result_rows
    assert len(back) == 100_000
    assert back[-1] == (99_999, "value 99999")


def test_types_come_back_as_they_went_in(client: Client) -> None:
    """The ones the platform stores, and some it does not."""
    client.command(
        "CREATE OR REPLACE TABLE types (i Int64, d Decimal(38, 18), t DateTime64(9, 'UTC'), z DateTime('Asia/Tokyo'),"
        " l LowCardinality(String), n Nullable(Float64), a Array(String), m Map(String, Int32), j JSON)"
        " ENGINE = MergeTree ORDER BY i"
    )
    at = datetime(2024, 8, 8, 12, 30, 15, tzinfo=UTC)
    row = [
        -(2**63),
        Decimal("-12345678901234567890.123456789012345678"),
        at,
        at,
        "x",
        None,
        ["a", "b'\\"],
        {"k": 1},
        {"q": 1},
    ]
    client.insert("types", [row])
    back = client.query("SELECT * FROM types").result_rows[0]
    assert list(back[:2]) == row[:2]
    assert (back[2].replace(tzinfo=UTC), back[3], back[3].utcoffset()) == (at, at, timedelta(hours=9))
    assert list(back[4:]) == row[4:]


def test_a_zone_is_known_in_every_block(client: Client) -> None:
    """The engine leaves the zone of plain DateTime out of Native; the endpoint puts it back, block by block."""
    sql = "SELECT toString(number) AS s, toDateTime(number, 'America/Denver') AS t FROM numbers(200000)"
    with client.query_row_block_stream(sql) as blocks:
        zones = [str(block[-1][1].tzinfo) for block in blocks]
    assert len(zones) > 1
    assert set(zones) == {"America/Denver"}


def test_parameters_are_bound_on_the_server(client: Client) -> None:
    """With everything a string may hold."""
    text = '\\N it\'s\t"quoted"\n空 \\'
    sql = "SELECT {s:String}, {a:Array(String)}, {n:Nullable(Int8)}, {d:DateTime}"
    row = client.query(sql, parameters={"s": text, "a": [text, "b"], "n": None, "d": datetime(2020, 1, 1)}).result_rows[
        0
    ]
    assert row[:3] == (text, [text, "b"], None)


def test_a_failing_stream_raises_the_engines_error(client: Client) -> None:
    """Not a truncated result."""
    sql = "SELECT sleepEachRow(0.01), throwIf(number = 100) FROM numbers(200)"
    settings = {"max_block_size": 1, "wait_end_of_query": 0}
    with pytest.raises(StreamFailureError, match="Code: 395"):
        _ = client.query(sql, settings=settings).result_rows  # read as they are asked for
    with pytest.raises(DatabaseError) as failed:
        client.query("SELECT * FROM not_there")
    assert (failed.value.code, failed.value.name) == (60, "UNKNOWN_TABLE")


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", BR, False])
def test_the_rows_before_a_failure_are_handed_out(server: Running, compress: str | bool) -> None:
    """No encoding holds them back until the error, in whose piece the library would drop them."""
    client = server.client(compress=compress)
    sql = "SELECT number, sleepEachRow(0.02), throwIf(number = 20) FROM numbers(100)"
    rows: list[int] = []
    stream = client.query_rows_stream(sql, settings={"max_block_size": 1})
    with pytest.raises(StreamFailureError, match="Code: 395"), stream:
        rows.extend(row[0] for row in stream)
    assert rows == list(range(len(rows)))
    assert len(rows) > 0


def test_external_data_join_a_query(client: Client) -> None:
    """By form, with parameters in it or in the URL."""
    data = ExternalData(file_name="people.csv", data=b"Ann,1\nBob,2\n", fmt="CSV", structure="name String, id UInt8")
    data.add_file(file_name="ids.csv", data=b"2\n", types="UInt8")
    sql = "SELECT name FROM people JOIN ids ON id = _1 WHERE id > {least:UInt8}"
    assert client.query(sql, parameters={"least": 1}, external_data=data).result_rows == [("Bob",)]
    assert client.raw_query("SELECT count() FROM people", external_data=data) == b"2\n"


def test_external_data_are_read_under_the_settings_of_the_query(client: Client) -> None:
    """Rows that cannot be read are left out when the query allows it, also when it may not write."""
    data = ExternalData(
        file_name="films.csv", data=b"Alien,1979\nHeat,soon\n", fmt="CSV", structure="name String, y Int32"
    )
    with pytest.raises(DatabaseError) as refused:
        client.query("SELECT name FROM films", external_data=data)
    assert refused.value.code == 117
    settings = {"input_format_allow_errors_num": 1, "readonly": 2}
    assert client.query("SELECT name FROM films", external_data=data, settings=settings).result_rows == [("Alien",)]


def test_a_column_may_be_called_like_a_keyword(client: Client) -> None:
    """Also right before the FORMAT that the library adds."""
    sql = "SELECT number AS table, 1 AS from FROM numbers(3) ORDER BY from, table"
    assert client.query(sql).result_rows == [(0, 1), (1, 1), (2, 1)]
    assert client.raw_query("SELECT 7 AS by ORDER BY by", fmt="CSV") == b"7\n"


def test_raw_insert_takes_bytes_and_streams(client: Client) -> None:
    """The sink's way, with its settings."""
    client.command("CREATE OR REPLACE TABLE raw (a Int64) ENGINE = MergeTree ORDER BY a")
    settings = {"async_insert": 0, "insert_deduplication_token": "raw"}
    client.raw_insert("raw", ["a"], b"1\n2\n", settings=settings, fmt="TSV")
    client.raw_insert("raw", ["a"], (b"%d\n" % i for i in range(3, 5)), fmt="TSV")
    assert client.query("SELECT arraySort(groupArray(a)) FROM raw").result_rows == [([1, 2, 3, 4],)]


def test_arrow_and_frames_are_served(client: Client) -> None:
    """In formats of several blocks."""
    assert client.query_arrow("SELECT number FROM numbers(200000)").num_rows == 200_000
    assert len(client.query_df("SELECT number, now() AS t FROM numbers(100000)")) == 100_000


async def test_the_async_client_works_alike(server: Running) -> None:
    """Queries, inserts and streams."""
    client = await clickhouse_connect.get_async_client(host="127.0.0.1", port=server.port)
    try:
        await client.command("CREATE OR REPLACE TABLE from_async (a Int64) ENGINE = MergeTree ORDER BY a")
        await client.insert("from_async", [[i] for i in range(1000)], column_names=["a"])
        assert (await client.query("SELECT sum(a) FROM from_async")).result_rows == [(499_500,)]
        seen = 0
        stream = await client.query_rows_stream("SELECT number FROM numbers(100000)")
        async with stream:
            async for _ in stream:
                seen += 1
        assert seen == 100_000
    finally:
        await client.close()


def test_clients_at_once_with_ddl_do_not_disturb_each_other(server: Running) -> None:
    """Each makes, fills, alters, reads and drops its own table; every count is right."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        name = f"busy{number}"
        try:
            client = server.client()
            client.command(f"CREATE TABLE {name} (a Int64) ENGINE = MergeTree ORDER BY a")
            for done in range(1, 9):
                client.insert(name, [[i] for i in range(100)], column_names=["a"])
                if done % 4 == 0:
                    client.command(f"ALTER TABLE {name} ADD COLUMN c{done} Int8")
                assert client.command(f"SELECT count() FROM {name}") == 100 * done
            client.command(f"DROP TABLE {name} SYNC")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
