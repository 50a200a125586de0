"""The protocol with curl, as the manual shows it: exit codes, headers and bodies as a shell script meets them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.operations.clickhouse_server.conftest import Running

pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None, reason="curl is missing: install it from the system's packages"
)


def curl(server: Running, *arguments: str, query: str = "") -> subprocess.CompletedProcess[bytes]:
    """curl's answer, whatever its exit code; ``query`` is the URL's query string."""
    return subprocess.run(
        ["curl", "-sS", "--max-time", "60", server.url + query, *arguments], capture_output=True, timeout=90
    )


def test_settings_and_parameters_come_in_the_url(server: Running) -> None:
    """Typed, and gone with the request."""
    asked = curl(
        server,
        "-d",
        "SELECT {n:UInt8} + 1, getSetting('max_threads')",
        query="?param_n=41&max_threads=3&query_id=shell",
    )
    assert asked.stdout == b"42\t3\n"
    assert curl(server, "-d", "SELECT {n:UInt8}", query="?param_n=x").stdout.startswith(b"Code: 457.")
    assert b"(UNKNOWN_SETTING)" in curl(server, "-d", "SELECT 1", query="?no_such_setting=1").stdout


@pytest.mark.parametrize(
    ("sql", "code", "status"),
    [("SELECT nocolumn", 47, 404), ("SELEKT", 62, 400), ("SELECT throwIf(1)", 395, 500), ("SELECT sleep(3)", 159, 408)],
)
def test_an_error_fails_a_script_and_names_its_code(server: Running, sql: str, code: int, status: int) -> None:
    """With --fail by curl's exit code 22, without it by header, status and text."""
    limited = "?max_execution_time=0.5&timeout_before_checking_execution_speed=0"
    assert curl(server, "--fail", "-d", sql, query=limited).returncode == 22
    told = curl(server, "-i", "-d", sql, query=limited).stdout
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"X-ClickHouse-Exception-Code: %d" % code in head
    assert body.startswith(b"Code: %d. DB::Exception: " % code)


def test_an_error_in_mid_stream_is_an_incomplete_transfer(server: Running) -> None:
    """The rows so far came, the status was 200, the error is the last block, and curl says 18."""
    sql = "SELECT sleepEachRow(0.01), throwIf(number = 100) FROM numbers(200)"
    broken = curl(server, "-i", "-N", "-d", sql, query="?max_block_size=1")
    assert broken.returncode == 18
    assert broken.stdout.startswith(b"HTTP/1.1 200 ")
    assert b"0\t0\n" in broken.stdout
    assert b"__exception__" in broken.stdout[-600:]
    assert b"Code: 395" in broken.stdout[-600:]


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "lz4", "deflate"])
def test_an_answer_is_packed_as_asked(server: Running, encoding: str) -> None:
    """And says so; what is in it is another test's matter."""
    packed = curl(server, "-i", "-H", f"Accept-Encoding: {encoding}", "-d", "SELECT repeat('x', 9000)").stdout
    assert b"Content-Encoding: " + encoding.encode() in packed
    assert len(packed) < 3000


def test_a_file_is_joined_by_a_form_and_inserted_from_a_pipe(server: Running, tmp_path: Path) -> None:
    """Bad rows are left out where the settings allow it, in both ways of sending them."""
    rows = tmp_path / "rows.csv"
    rows.write_text("1,one\nbad,row\n2,two\n")
    lenient = "input_format_allow_errors_num=1"
    sql = "query=SELECT sum(id), groupArray(name) FROM sent"
    joined = curl(
        server,
        "-F",
        sql,
        "-F",
        f"sent=@{rows}",
        query=f"?sent_structure=id+UInt8,name+String&sent_format=CSV&{lenient}",
    )
    assert joined.stdout == b"3\t['one','two']\n"
    curl(server, "-d", "CREATE OR REPLACE TABLE piped (id UInt8, name String) ENGINE = Memory")
    strict = curl(server, "--data-binary", f"@{rows}", query="?query=INSERT+INTO+piped+FORMAT+CSV")
    assert strict.stdout.startswith(b"Code: 27. DB::Exception: Cannot parse input")
    assert b"/dev/fd" not in strict.stdout
    sent = curl(server, "--data-binary", f"@{rows}", query=f"?query=INSERT+INTO+piped+FORMAT+CSV&{lenient}")
    assert (sent.returncode, sent.stdout) == (0, b"")
    assert curl(server, "-d", "SELECT count() FROM piped").stdout == b"2\n"


def test_what_the_engine_has_not_answers_with_clickhouses_code(server: Running) -> None:
    """Users, roles, clusters, replication, transactions: refused by name, never taken and forgotten."""
    for sql, code in {
        "CREATE USER somebody": 514,
        "CREATE ROLE some_role": 514,
        "CREATE QUOTA some_quota": 514,
        "GRANT SELECT ON *.* TO somebody": 511,
        "SELECT * FROM cluster('any', system.one)": 701,
        "CREATE TABLE spread ON CLUSTER any (a Int8) ENGINE = Memory": 701,
        "CREATE TABLE copied (a Int8) ENGINE = ReplicatedMergeTree('/t', 'r') ORDER BY a": 225,
        "BEGIN TRANSACTION": 48,
        "SELECT 1 SETTINGS SQL_own = 1": 115,
        "SELECT * FROM system.session_log": 60,
    }.items():
        assert curl(server, "-d", sql).stdout.startswith(b"Code: %d. DB::Exception: " % code), sql


def test_many_curls_at_once_get_each_their_own_answer(server: Running) -> None:
    """Settings and parameters of one do not show in another."""
    asked = [
        subprocess.Popen(
            [
                "curl",
                "-sS",
                f"{server.url}?param_n={n}&max_threads={1 + n % 4}",
                "-d",
                "SELECT {n:UInt8}, getSetting('max_threads')",
            ],
            stdout=subprocess.PIPE,
        )
        for n in range(12)
    ]
    assert [process.communicate(timeout=60)[0] for process in asked] == [
        b"%d\t%d\n" % (n, 1 + n % 4) for n in range(12)
    ]
