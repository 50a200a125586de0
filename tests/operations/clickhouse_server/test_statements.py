"""What the endpoint reads out of a statement before the engine does. Pure: no server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewire.operations.clickhouse_server.errors import ClickHouseError
from tradewire.operations.clickhouse_server.processes import rewrite
from tradewire.operations.clickhouse_server.sql import Kind, classify, tokens


@given(st.binary(max_size=200))
def test_tokens_lie_in_order_inside_any_bytes(sql: bytes) -> None:
    """Whatever bytes come, no token overlaps another and each is what lies at its place."""
    end = 0
    for token in tokens(sql):
        assert token.start >= end
        assert sql[token.start : token.end] == token.text
        end = token.end


@pytest.mark.parametrize(
    ("sql", "head", "format", "tail"),
    [
        (b"SELECT 1", b"SELECT 1", None, b""),
        (b"SELECT 1 FORMAT JSON", b"SELECT 1 ", "JSON", b""),
        (b"SELECT 1 FORMAT JSON;", b"SELECT 1 ", "JSON", b""),
        (
            b"SELECT 1 format `CSV` SETTINGS max_threads = 1 -- end",
            b"SELECT 1 ",
            "CSV",
            b" SETTINGS max_threads = 1 -- end",
        ),
        (b"SELECT 'x FORMAT CSV'", b"SELECT 'x FORMAT CSV'", None, b""),
        (b"SELECT 1 AS format", b"SELECT 1 AS format", None, b""),
        (b"SELECT * FROM format t", b"SELECT * FROM format t", None, b""),
        (b"SELECT (SELECT 1 FORMAT CSV)", b"SELECT (SELECT 1 FORMAT CSV)", None, b""),
        (b"SELECT 1 /* FORMAT CSV */", b"SELECT 1 /* FORMAT CSV */", None, b""),
        (b"SELECT 1 AS table ORDER BY table FORMAT JSON", b"SELECT 1 AS table ORDER BY table ", "JSON", b""),
        (b"SELECT * FROM table FORMAT CSV", b"SELECT * FROM table ", "CSV", b""),
        (b"SELECT 2 * from, t.by FORMAT CSV", b"SELECT 2 * from, t.by ", "CSV", b""),
        (b"SELECT t.* FROM format t", b"SELECT t.* FROM format t", None, b""),
        (b"SELECT 1 + format f", b"SELECT 1 + format f", None, b""),
        (
            b"WITH insert AS (SELECT 1) SELECT * FROM insert",
            b"WITH insert AS (SELECT 1) SELECT * FROM insert",
            None,
            b"",
        ),
    ],
)
def test_a_select_is_cut_at_its_own_format_clause(sql: bytes, head: bytes, format: str | None, tail: bytes) -> None:
    """Only a FORMAT at the end and outside brackets, strings and comments names the output format."""
    statement = classify(sql)
    assert (statement.kind, statement.head, statement.format, statement.tail) == (Kind.SELECT, head, format, tail)


@pytest.mark.parametrize(
    ("sql", "head", "format", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2", b"INSERT INTO t ", "CSV", b"1,2"),
        (b"INSERT INTO t (a, b) FORMAT CSV 1,2", b"INSERT INTO t (a, b) ", "CSV", b"1,2"),
        (b"insert into db.format format TSV\r\n1", b"insert into db.format ", "TSV", b"1"),
        (b"INSERT INTO values VALUES (1)", b"INSERT INTO values ", "Values", b" (1)"),
        (b"INSERT INTO t SETTINGS a = 1 FORMAT TSV\n1", b"INSERT INTO t ", "TSV", b"1"),
        (b"INSERT INTO t FORMAT TSV SETTINGS a = 1, b = 'x'\n1", b"INSERT INTO t ", "TSV", b"1"),
        (
            b"INSERT INTO FUNCTION file('x', 'CSV') FORMAT CSV\n1",
            b"INSERT INTO FUNCTION file('x', 'CSV') ",
            "CSV",
            b"1",
        ),
        (b"-- c\nINSERT INTO t FORMAT TSV\n-- data", b"-- c\nINSERT INTO t ", "TSV", b"-- data"),
        (b"WITH 1 AS y INSERT INTO t (s) FORMAT TSV\nv;\n", b"WITH 1 AS y INSERT INTO t (s) ", "TSV", b"v;\n"),
    ],
)
def test_an_insert_is_cut_where_its_data_begins(sql: bytes, head: bytes, format: str, data: bytes) -> None:
    """The data start after the format's one line feed, and nothing in them is read as SQL."""
    statement = classify(sql)
    assert (statement.kind, statement.head, statement.format) == (Kind.INSERT, head, format)
    assert sql[statement.data_at :] == data


def test_the_settings_of_an_insert_are_kept_apart() -> None:
    """Whether they stand before the format or after it."""
    assert classify(b"INSERT INTO t SETTINGS a = 1 FORMAT TSV\n1").tail == b"SETTINGS a = 1 "
    assert classify(b"INSERT INTO t FORMAT TSV SETTINGS a = -1, b = 'x'\n1").tail == b"SETTINGS a = -1, b = 'x'"


@given(st.binary(max_size=300))
def test_the_data_of_an_insert_are_never_changed(data: bytes) -> None:
    """Any bytes after ``FORMAT Native`` and a line feed are the data, byte for byte."""
    sql = b"INSERT INTO t FORMAT Native\n" + data
    if not data.lstrip().upper().startswith(b"SETTINGS"):
        assert sql[classify(sql).data_at :] == data


@pytest.mark.parametrize(
    "sql", [b"INSERT INTO t SELECT 1", b"INSERT INTO t (a) (SELECT 1)", b"INSERT INTO t WITH 1 AS x SELECT x"]
)
def test_an_insert_of_a_select_is_a_command(sql: bytes) -> None:
    """It has no data to stream in."""
    assert classify(sql).kind is Kind.COMMAND


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        (b"SELECT 1; SELECT 2", 62),
        (b"  -- nothing\n", 62),
        (b"SELECT 1 INTO OUTFILE '/tmp/x'", 358),
        (b"INSERT INTO t FROM INFILE '/tmp/x' FORMAT CSV", 78),
        (b"SELECT * FROM Python(secret)", 46),
        (b"INSERT INTO t SELECT * FROM python (secret)", 46),
    ],
)
def test_what_a_server_would_refuse_is_refused_before_the_engine(sql: bytes, code: int) -> None:
    """Several statements, files of the client's side, and the embedded engine's window into this process."""
    with pytest.raises(ClickHouseError) as refused:
        classify(sql)
    assert refused.value.code == code


def test_semicolons_and_comments_after_a_statement_do_no_harm() -> None:
    """A trailing semicolon is not a second statement."""
    for sql in (b"SELECT 13;", b"SELECT 13; /* trailing */", b"SELECT 13; /* a; */ ;", b"SELECT 13;\xc2\xa0"):
        assert classify(sql).head == b"SELECT 13"


def test_query_ids_are_rewritten_only_where_they_are_meant() -> None:
    """A table of queries in FROM, KILL QUERY and queryID() see the client's ids; strings and other words do not."""
    assert rewrite(b"SELECT 'system.processes', query_id FROM t", "q") == b"SELECT 'system.processes', query_id FROM t"
    assert rewrite(b"DESCRIBE TABLE system.processes", "q") == b"DESCRIBE TABLE system.processes"
    assert rewrite(b"SELECT queryID(), 'queryID()'", "it's") == b"SELECT 'it\\'s', 'queryID()'"
    killing = rewrite(b"KILL QUERY WHERE query_id = 'x' SYNC", "q")
    assert killing.startswith(b"KILL QUERY WHERE query_id IN (SELECT engine_query_id FROM (SELECT * REPLACE")
    assert killing.endswith(b"WHERE query_id = 'x') SYNC")
