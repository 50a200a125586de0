"""The protocol as any HTTP client meets it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import uuid

import httpx
import pytest
from tests.operations.clickhouse_server.asking import BR, query_is_running
from tests.operations.clickhouse_server.conftest import Running
from tests.waiting import wait_until

_ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"


def test_health_checks_answer_ok(server: Running) -> None:
    """A load balancer needs no credentials and no query."""
    for path in ("ping", "", "replicas_status"):
        assert httpx.get(server.url + path, timeout=60).text == "Ok.\n"
    assert httpx.head(server.url).status_code == 200
    nowhere = httpx.get(server.url + "nowhere", timeout=60)
    assert (nowhere.status_code, "There is no handle /nowhere" in nowhere.text) == (404, True)


def test_a_query_comes_in_the_url_in_the_body_or_split_over_both(server: Running) -> None:
    """The text is the parameter, a line feed and the body."""
    assert httpx.get(server.url, params={"query": "SELECT 1"}, timeout=60).text == "1\n"
    assert server.text("SELECT 2") == "2\n"
    assert server.text("FROM numbers(3)", query="SELECT sum(number)") == "3\n"


def test_an_answer_says_what_it_is_and_what_it_took(server: Running) -> None:
    """Query id, format, time zone and the summary with the numbers of this statement."""
    answer = server.post("SELECT number FROM numbers(1000) FORMAT JSONEachRow", query_id="the-id")
    assert answer.headers["X-ClickHouse-Query-Id"] == "the-id"
    assert answer.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert answer.headers["X-ClickHouse-Timezone"] == server.text("SELECT timezone()").strip()
    summary = json.loads(answer.headers["X-ClickHouse-Summary"])
    assert (summary["read_rows"], summary["read_bytes"], summary["result_rows"]) == ("1000", "8000", "1000")
    assert len(answer.text.splitlines()) == 1000
    assert "X-ClickHouse-Format" not in server.post("CREATE TABLE IF NOT EXISTS one (a Int8) ENGINE = Memory").headers


@pytest.mark.parametrize(
    ("sql", "code", "status"),
    [
        ("selekt 1", 62, 400),
        ("1 + 1", 62, 400),
        ("", 62, 400),
        ("SELECT 1; SELECT 2", 62, 400),
        ("SELECT * FROM nix", 60, 404),
        ("SELECT * FROM nixdb.t", 81, 404),
        ("SELECT nofunction(1)", 46, 404),
        ("SELECT nocolumn FROM system.one", 47, 404),
        ("SELECT 1 FORMAT Nope", 73, 404),
        ("SELECT {missing:String}", 456, 500),
        ("SELECT throwIf(1)", 395, 500),
        ("SELECT sleep(3) SETTINGS max_execution_time = 0.1, timeout_overflow_mode = 'throw'", 159, 408),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", 358, 500),
    ],
)
def test_an_error_has_its_code_its_status_and_its_text(server: Running, sql: str, code: int, status: int) -> None:
    """So that clients can tell what to retry."""
    answer = server.post(sql)
    assert (answer.headers.get("X-ClickHouse-Exception-Code"), answer.status_code) == (str(code), status), answer.text
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert answer.text.rstrip().endswith("(official build))")


def test_settings_of_a_request_end_with_it(server: Running) -> None:
    """None of the next queries sees them, and an unknown one is ClickHouse's own error 115."""
    assert server.text("SELECT getSetting('max_result_rows')", max_result_rows=3) == "3\n"
    assert server.post("SELECT number FROM numbers(9)", max_result_rows=3).status_code == 500
    for _ in range(5):
        assert server.text("SELECT count() FROM system.settings WHERE changed AND name = 'max_result_rows'") == "0\n"
    unknown = server.post("SELECT 1", no_such_setting=1)
    assert (unknown.status_code, "Code: 115." in unknown.text) == (404, True)
    strange = httpx.post(server.url, params={"a = 1, max_threads": "1"}, content="SELECT 1", timeout=60)
    assert "Code: 115." in strange.text


@pytest.mark.parametrize(
    "value", ["plain", 'it\'s "quoted" \\ back', "tab\tnew\nline", "\\N", "空 🙂", "", "{x:String}", "'; DROP"]
)
def test_a_string_parameter_arrives_as_it_is(server: Running, value: str) -> None:
    """Given in ClickHouse's escaping, as the protocol wants it."""
    escaped = value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    assert json.loads(server.text("SELECT {x:String} AS v FORMAT JSONEachRow", param_x=escaped))["v"] == value


def test_parameters_have_types(server: Running) -> None:
    """Arrays, identifiers and NULL among them; a value that does not fit is refused."""
    sql = "SELECT {a:Array(String)} AS a, {n:Nullable(Int8)} AS n, {d:Date} AS d FROM {t:Identifier} FORMAT JSONEachRow"
    given = {"param_a": "['it\\'s','b']", "param_n": "\\N", "param_d": "2024-08-08", "param_t": "one"}
    row = json.loads(server.text(sql, database="system", **given))
    assert row == {"a": ["it's", "b"], "n": None, "d": "2024-08-08"}
    assert "Code: 457." in server.post("SELECT {n:Int8}", param_n="no number").text


def test_get_only_reads(server: Running) -> None:
    """Whatever it asks; POST may be held to the same by ``readonly``."""
    create = "CREATE TABLE never_made (a Int8) ENGINE = Memory"
    for answer in (
        httpx.get(server.url, params={"query": create}, timeout=60),
        server.post(create, readonly=1),
        server.post(create, readonly=2),
    ):
        assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    assert server.text("SELECT 1", readonly=1, max_threads=1) == "1\n"
    assert "Code: 164." in server.post("SET max_threads = 1", readonly=1).text
    assert server.text("EXISTS TABLE never_made") == "0\n"


def test_database_and_format_can_be_given_beside_the_query(server: Running) -> None:
    """As parameters and as headers; a database that is not there is an error of its own."""
    assert server.text("SELECT currentDatabase()", database="system") == "system\n"
    assert server.text("SELECT 1 AS a, 2 AS b", default_format="CSVWithNames") == '"a","b"\n1,2\n'
    headers = {"X-ClickHouse-Database": "system", "X-ClickHouse-Format": "CSV"}
    assert httpx.post(server.url, headers=headers, content="SELECT currentDatabase()", timeout=60).text == '"system"\n'
    missing = server.post("SELECT 1", database="no_such_database")
    assert (missing.status_code, "Code: 81." in missing.text) == (404, True)


@pytest.mark.parametrize(
    "format",
    ["Native", "JSON", "JSONEachRow", "CSVWithNames", "Parquet", "Arrow", "ArrowStream", "Avro", "ORC",
     "RowBinaryWithNamesAndTypes", "TabSeparatedWithNamesAndTypes", "JSONCompactEachRow", "MsgPack"],
)  # fmt: skip
def test_what_is_read_in_a_format_can_be_inserted_in_it(server: Running, table: str, format: str) -> None:
    """Several blocks of it, so that headers and footers must stand where they belong."""
    rows = server.post(f"SELECT toInt64(number) AS a, toString(number) AS s FROM numbers(150000) FORMAT {format}")
    assert (rows.status_code, rows.headers["X-ClickHouse-Format"]) == (200, format)
    stored = server.insert(f"{table} FORMAT {format}", rows.content)
    assert stored.status_code == 200, stored.text
    assert server.text(f"SELECT count(), sum(a), uniqExact(s) FROM {table}") == "150000\t11249925000\t150000\n"


@pytest.mark.parametrize("encoding", ["zstd", BR, "lz4", "gzip", "deflate", "xz", "bz2"])
def test_an_answer_is_compressed_when_the_client_offers_it(server: Running, encoding: str) -> None:
    """And not when the setting says no; big answers and small ones."""
    from tradewire.operations.clickhouse_server.compression import decoder

    for rows in (1, 200_000):
        sql = f"SELECT number FROM numbers({rows})"
        with httpx.stream("POST", server.url, content=sql, headers={"Accept-Encoding": encoding}, timeout=60) as answer:
            assert answer.headers["Content-Encoding"] == encoding
            decode = decoder(encoding)
            text = b"".join(decode.feed(chunk) for chunk in answer.iter_raw())
            decode.finish()
        assert text == b"".join(b"%d\n" % i for i in range(rows))
    plain = httpx.post(
        server.url,
        params={"enable_http_compression": "0"},
        content="SELECT 1",
        headers={"Accept-Encoding": encoding},
        timeout=60,
    )
    assert "Content-Encoding" not in plain.headers


def test_a_big_answer_streams_while_the_query_runs(server: Running) -> None:
    """Its first rows are there long before its last; nobody holds it in memory."""
    with httpx.stream("POST", server.url, content="SELECT number FROM system.numbers", timeout=60) as answer:
        first = next(answer.iter_raw())
    assert len(first) > 0


def test_an_error_in_mid_stream_is_told_in_the_stream_and_breaks_it(server: Running) -> None:
    """Status and rows are gone by then: a block with this response's tag says why, and no proper end follows."""
    sql = "SELECT number, throwIf(number = 3000000) FROM numbers(4000000)"
    got = b""
    with (
        pytest.raises(httpx.RemoteProtocolError),
        httpx.stream("POST", server.url, params={"enable_http_compression": "0"}, content=sql, timeout=60) as answer,
    ):
        assert answer.status_code == 200
        tag = answer.headers["X-ClickHouse-Exception-Tag"].encode()
        for chunk in answer.iter_raw():
            got += chunk
    block = got[got.index(b"\r\n__exception__\r\n" + tag) :]
    assert b"Code: 395. DB::Exception" in block
    text, length, end = block.split(tag)[1], int(block.split(b"\n")[-3].split()[0]), block.split(tag)[2]
    assert (len(text) - len(str(length)) - 1 - 2, end) == (length, b"\r\n__exception__\r\n")


def test_an_answer_waited_for_has_its_error_as_a_status(server: Running) -> None:
    """However big it is: ``wait_end_of_query`` holds all of it, beyond memory in a file."""
    failed = server.post("SELECT number, throwIf(number = 3000000) FROM numbers(4000000)", wait_end_of_query=1)
    assert (failed.status_code, failed.headers["X-ClickHouse-Exception-Code"]) == (500, "395")
    answer = server.post("SELECT number FROM numbers(4000000)", wait_end_of_query=1)
    assert len(answer.content) == 30_888_890
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["read_rows"] == "4000000"


def test_a_running_query_is_seen_and_killed_by_the_id_its_client_gave(server: Running) -> None:
    """A second one of the same id is refused meanwhile."""
    answers: list[httpx.Response] = []
    id = f"killed-{uuid.uuid4()}"
    thread = threading.Thread(target=lambda: answers.append(server.post(_ENDLESS, query_id=id)))
    thread.start()
    wait_until(lambda: query_is_running(server, id))
    assert "Code: 216." in server.post("SELECT 1", query_id=id).text
    assert id in server.text("SHOW PROCESSLIST")
    assert server.post(f"KILL QUERY WHERE query_id = '{id}' SYNC").status_code == 200
    thread.join(60)
    assert answers[0].headers["X-ClickHouse-Exception-Code"] == "394"
    wait_until(lambda: not query_is_running(server, id))


def test_a_query_whose_client_went_away_is_cancelled(server: Running) -> None:
    """Before its first row and in the middle of them."""
    for sql in (_ENDLESS, "SELECT number FROM system.numbers"):
        id = f"left-{uuid.uuid4()}"
        target = httpx.Request("GET", server.url, params={"query": sql, "query_id": id}).url.raw_path
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until(lambda id=id: query_is_running(server, id))
        wait_until(lambda id=id: not query_is_running(server, id))


def test_the_query_log_has_the_clients_ids(server: Running) -> None:
    """As system.processes and queryID() do."""
    id = f"logged-{uuid.uuid4()}"
    assert server.text("SELECT queryID()", query_id=id) == id + "\n"
    server.text("SYSTEM FLUSH LOGS")
    found = server.text(f"SELECT query, type FROM system.query_log WHERE query_id = '{id}' ORDER BY type LIMIT 1")
    assert "QueryStart" in found


def test_a_form_brings_parameters_and_external_tables(server: Running) -> None:
    """Fields are parameters, files are temporary tables of this query alone."""
    answer = httpx.post(
        server.url,
        params={
            "people_structure": "name String, born UInt16",
            "pairs_types": "UInt8, Array(Tuple(UInt8, String))",
            "pairs_format": "JSONCompactEachRow",
        },
        data={"query": "SELECT name, _2 FROM people JOIN pairs ON born = _1 + {base:UInt16}", "param_base": "1900"},
        files={"people": ("p.tsv", b"Ann\t1901\nBob\t1999\n"), "pairs": ("q", b'[1, [[1, "x"]]]\n')},
        timeout=60,
    )
    assert answer.text == "Ann\t[(1,'x')]\n"
    assert "Code: 60." in server.post("SELECT * FROM people").text
    unnamed = httpx.post(server.url, params={"query": "SELECT 1"}, files={"data": ("d", b"1")}, timeout=60)
    assert (unnamed.status_code, "data_structure" in unnamed.text) == (400, True)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing: install it from the system's packages")
def test_curl_asks_as_the_manual_shows(server: Running) -> None:
    """Query by -d, data by --data-binary with 100-continue, compressed answers."""

    def curl(*arguments: str, stdin: bytes | None = None) -> bytes:
        return subprocess.run(["curl", "-sS", *arguments], input=stdin, check=True, capture_output=True).stdout

    assert curl(server.url, "-d", "SELECT 'curl'") == b"curl\n"
    assert curl(server.url, "--compressed", "-d", "SELECT 'packed'") == b"packed\n"
    curl(server.url, "-d", "CREATE TABLE IF NOT EXISTS from_curl (a Int64) ENGINE = Memory")
    rows = b"".join(b"%d\n" % i for i in range(300_000))
    assert (
        curl(server.url + "?query=INSERT%20INTO%20from_curl%20FORMAT%20TSV", "--data-binary", "@-", stdin=rows) == b""
    )
    assert curl(server.url, "-d", "SELECT count(), max(a) FROM from_curl") == b"300000\t299999\n"
