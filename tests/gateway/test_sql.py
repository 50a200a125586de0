"""SQL over HTTP reads and cannot write; values keep their digits; limits hold; refusals keep the engine's code."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tests.gateway.test_publishing import trade
from tests.waiting import wait_until

from tradewire.gateway.services import QUERIES_AT_ONCE
from tradewire.sinks.questions import beginning

pytestmark = pytest.mark.usefixtures("sink")


def ask(client: httpx.Client, sql: str, **rest: Any) -> dict[str, Any]:
    response = client.post("/sql", json={"sql": sql, **rest})
    assert 200 == response.status_code, response.text
    answer: dict[str, Any] = response.json()
    return answer


def refused(client: httpx.Client, status: int, sql: str, **rest: Any) -> dict[str, Any]:
    response = client.post("/sql", json={"sql": sql, **rest})
    assert status == response.status_code, response.text
    assert "application/problem+json" == response.headers["content-type"]
    problem: dict[str, Any] = response.json()
    return problem


def test_rows_come_as_json_with_columns_and_types(client: httpx.Client) -> None:
    """Decimals are strings, integers of any size are exact, times keep their nanoseconds, NaN is a string."""
    answer = ask(
        client,
        "SELECT toDecimal128('61837.630000000000000001', 18) AS price, 9223372036854775807 AS big, "
        "toDateTime64('2024-08-08 12:00:00.123456789', 9, 'UTC') AS at, nan AS none, 0.1 AS ratio, NULL AS missing, "
        "unhex('ff') AS bytes, [1, 2] AS numbers;",
    )

    assert [
        [
            "61837.630000000000000001",
            9223372036854775807,
            "2024-08-08 12:00:00.123456789",
            "nan",
            0.1,
            None,
            "�",
            [1, 2],
        ]
    ] == answer["rows"]
    assert {"name": "price", "type": "Decimal(38, 18)"} == answer["columns"][0]
    assert (1, False) == (answer["row_count"], answer["truncated"])


def test_the_database_is_the_one_of_history(client: httpx.Client) -> None:
    """A table needs no prefix."""
    assert [[0]] == ask(client, "SELECT count() FROM events WHERE id = 'no such id'")["rows"]


def test_parameters_are_values_never_text(client: httpx.Client) -> None:
    """A quote in a parameter is a quote; a decimal keeps its digits; a percent sign in the query is not a format."""
    answer = ask(
        client,
        "SELECT {name:String} AS name, {price:Decimal(38, 18)} AS price, {ids:Array(String)} AS ids, '%s' AS percent, "
        "{n:Nullable(Int64)} AS n, {flag:Bool} AS flag",
        parameters={
            "name": "a'; DROP TABLE events --",
            "price": "61837.630000000000000001",
            "ids": ["a'b", "c"],
            "n": None,
            "flag": True,
        },
    )

    assert [["a'; DROP TABLE events --", "61837.630000000000000001", ["a'b", "c"], "%s", None, True]] == answer["rows"]


def test_a_json_number_as_parameter_keeps_its_digits(client: httpx.Client) -> None:
    """Its text goes to the engine as it was written."""
    body = '{"sql": "SELECT {p:Decimal(38, 18)} AS p", "parameters": {"p": 61837.630000000000000001}}'

    answer = client.post("/sql", content=body).json()

    assert [["61837.630000000000000001"]] == answer["rows"]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO events (id) VALUES ('x')",
        "CREATE TABLE t (x Int8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE t (x Int8)",
        "DROP TABLE events",
        "ALTER TABLE events DELETE WHERE 1",
        "TRUNCATE TABLE events",
        "KILL QUERY WHERE 1",
        "BACKUP TABLE events TO Disk('x', 'y')",
        "SYSTEM SHUTDOWN",
        "SET readonly = 0",
        "GRANT ALL ON *.* TO default",
        "/* SELECT */ DROP TABLE events",
        "-- SELECT\nOPTIMIZE TABLE events",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM executable('id', 'TSV', 'x String')",
        "SELECT 1 INTO OUTFILE '/tmp/tradewire-never'",
        "selec 1",
    ],
)
def test_what_does_more_than_read_is_403(client: httpx.Client, sql: str) -> None:
    """Statements that write, kill, change settings, open files or addresses."""
    problem = refused(client, 403, sql)

    assert "/problems/read-only" == problem["type"]


def test_the_engine_itself_refuses_to_write(client: httpx.Client) -> None:
    """The list of allowed beginnings is not what protects the tables: behind it the engine says READONLY."""
    problem = refused(client, 403, "SELECT * FROM file('/etc/passwd', 'LineAsString')")

    assert 164 == problem["code"]
    assert "readonly" in problem["detail"]


def test_more_rows_than_allowed_are_cut_and_it_is_said(client: httpx.Client) -> None:
    """By the setting, or by the request below it; exactly, not by blocks."""
    everything = ask(client, "SELECT number FROM numbers(1000000)")
    some = ask(client, "SELECT number FROM numbers(1000000)", rows_max=3)
    enough = ask(client, "SELECT number FROM numbers(3)", rows_max=3)

    assert (1_000, True) == (everything["row_count"], everything["truncated"])
    assert ([[0], [1], [2]], True) == (some["rows"], some["truncated"])
    assert ([[0], [1], [2]], False) == (enough["rows"], enough["truncated"])


def test_a_query_that_takes_too_long_is_stopped(client: httpx.Client) -> None:
    """After gateway.sql_seconds_max, with the engine's code for it."""
    problem = refused(client, 422, "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)")

    assert "/problems/query-over-limit" == problem["type"]
    assert problem["code"] in (159, 160)


def test_queries_do_not_hold_up_publishing(client: httpx.Client) -> None:
    """While more queries run than have threads, events are taken and liveness is answered at once."""
    slow = {"sql": "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"}

    def answered_beside_them() -> bool:
        """Each query ends after two seconds: where the machine stood still for longer, nothing has been seen."""
        with ThreadPoolExecutor(QUERIES_AT_ONCE + 2) as pool:
            queries = [pool.submit(client.post, "/sql", json=slow) for _ in range(QUERIES_AT_ONCE + 2)]
            wait_until(lambda: all(query.running() or query.done() for query in queries))
            live = client.get("/health/live")
            posted = client.post("/events", json=trade())
            still_running = sum(not query.done() for query in queries)
            answers = {query.result().status_code for query in queries}
        assert (200, 201) == (live.status_code, posted.status_code)
        assert {422} == answers
        return still_running >= 2

    wait_until(answered_beside_them)


def test_an_answer_that_is_too_large_is_refused(client: httpx.Client) -> None:
    """Memory of the gateway is bounded by bytes, not only by rows."""
    by_the_engine = refused(client, 422, "SELECT repeat('x', 1000000 - number) FROM numbers(100)")
    # One constant for all rows is small to the engine and large as JSON.
    by_the_gateway = refused(client, 422, "SELECT repeat('x', 1000000) FROM numbers(100)")

    assert 396 == by_the_engine["code"]
    assert "/problems/query-over-limit" == by_the_engine["type"] == by_the_gateway["type"]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT (1", 62),
        ("SELECT nothing FROM events", 47),
        ("SELECT 1 FROM nowhere", 60),
        ("SELECT 1; SELECT 2", 62),
        ("SELECT {missing:String}", 456),
        ("SELECT 1 FORMAT CSV", 62),
    ],
)
def test_what_the_engine_cannot_do_keeps_its_code(client: httpx.Client, sql: str, code: int) -> None:
    """And its words, without the addresses and versions around them."""
    problem = refused(client, 400, sql)

    assert ("/problems/query-failed", code) == (problem["type"], problem["code"])
    assert problem["detail"] and "http://" not in problem["detail"] and "version" not in problem["detail"]


@pytest.mark.parametrize(
    ("body", "at", "said"),
    [
        ({}, "/sql", "is missing"),
        ({"sql": 1}, "/sql", "must be a string"),
        ({"sql": " "}, "/sql", "is empty"),
        ({"sql": "SELECT 1", "rows_max": 0}, "/rows_max", "from 1 to 1000"),
        ({"sql": "SELECT 1", "rows_max": 1_001}, "/rows_max", "from 1 to 1000"),
        ({"sql": "SELECT 1", "rows_max": True}, "/rows_max", "from 1 to 1000"),
        ({"sql": "SELECT 1", "parameters": []}, "/parameters", "must be an object"),
        ({"sql": "SELECT {a:String}", "parameters": {"a": {}}}, "/parameters/a", "must be a string"),
        ({"sql": "SELECT %(a)s", "parameters": {"a": "x"}}, "/parameters/a", "has no {a:Type}"),
        ({"sql": "SELECT 1", "format": "CSV"}, "/format", "is not in the schema"),
        ([], "", "must be an object"),
    ],
)
def test_a_bad_body_names_the_field(client: httpx.Client, body: Any, at: str, said: str) -> None:
    """Before anything is asked of the engine."""
    response = client.post("/sql", content=json.dumps(body))

    assert 422 == response.status_code, response.text
    problem = response.json()
    assert [at] == [error["pointer"] for error in problem["errors"]]
    assert said in problem["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("select 1", "SELECT"),
        ("  ((SELECT 1))", "SELECT"),
        ("-- a\n/* b */ # c\n WITH 1 AS x SELECT x", "WITH"),
        ("/* SELECT */ DROP", "DROP"),
        ("/* /* nested */ SELECT */ DROP", "SELECT"),
        ("", ""),
        ("123", ""),
        ("--", ""),
    ],
)
def test_the_beginning_is_found_behind_comments_and_brackets(sql: str, word: str) -> None:
    """A nested comment ends at its first end here, and the engine then sees a query that begins otherwise: readonly."""
    assert word == beginning(sql)
