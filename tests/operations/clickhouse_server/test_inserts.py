"""Data going in: whole or not at all, once per token, in every encoding."""

from __future__ import annotations

import gzip
import io
import json
import socket
import zlib
from collections.abc import Callable, Iterator

import fastavro
import httpx
import lz4.frame
import pytest
import zstandard
from tests.operations.clickhouse_server.asking import needs_cityhash, query_is_running
from tests.operations.clickhouse_server.conftest import Running
from tests.waiting import wait_until

ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
_SINK_SETTINGS = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
}


def _avro(rows: int, *, blocks: int = 1) -> bytes:
    schema = {
        "type": "record",
        "name": "row",
        "fields": [{"name": "a", "type": "long"}, {"name": "s", "type": "string"}],
    }
    out = io.BytesIO()
    interval = 1 if blocks > 1 else 64 << 20
    fastavro.writer(out, schema, ({"a": i, "s": f"value {i}"} for i in range(rows)), sync_interval=interval)
    return out.getvalue()


def test_values_come_inline_or_after_the_query_in_the_url(server: Running, table: str) -> None:
    """Expressions and parameters among them."""
    assert server.post(f"INSERT INTO {table} VALUES (1, 'x;'), (1 + 1, concat('a', 'b'))").status_code == 200
    assert server.insert(f"{table} (a, s) VALUES", b"(3, 'c')").status_code == 200
    assert server.post(f"INSERT INTO {table} VALUES ({{n:Int64}}, 'p')", param_n=4).status_code == 200
    assert server.text(f"SELECT groupArray((a, s)) FROM (SELECT * FROM {table} ORDER BY a)") == (
        "[(1,'x;'),(2,'ab'),(3,'c'),(4,'p')]\n"
    )


def test_an_insert_answers_with_what_it_wrote(server: Running, table: str) -> None:
    """In the summary, with the query id and without rows."""
    answer = server.insert(f"{table} FORMAT TSV", b"1\tx\n2\ty\n", query_id="written")
    summary = json.loads(answer.headers["X-ClickHouse-Summary"])
    assert (answer.content, answer.headers["X-ClickHouse-Query-Id"]) == (b"", "written")
    assert (summary["written_rows"], summary["read_rows"]) == ("2", "2")
    assert int(summary["written_bytes"]) > 0


@pytest.mark.parametrize("encoding", sorted(ENCODE))
def test_every_frame_of_a_compressed_insert_is_stored(server: Running, table: str, encoding: str) -> None:
    """Clients send one frame per block; the counts sent and stored must be equal."""
    rows = [b"".join(b"%d\tx\n" % i for i in range(start, start + 20_000)) for start in range(0, 100_000, 20_000)]
    body = b"".join(map(ENCODE[encoding], rows))
    answer = server.insert(f"{table} FORMAT TSV", body, headers={"Content-Encoding": encoding})
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "100000"
    assert server.text(f"SELECT count(), uniqExact(a) FROM {table}") == "100000\t100000\n"


def test_a_statement_may_be_compressed_with_its_data(server: Running, table: str) -> None:
    """The encoding is of the whole body."""
    body = gzip.compress(f"INSERT INTO {table} FORMAT TSV\n".encode() + b"1\tx\n" * 1000)
    assert httpx.post(server.url, content=body, headers={"Content-Encoding": "gzip"}, timeout=60).status_code == 200
    assert server.text(f"SELECT count() FROM {table}") == "1000\n"


@needs_cityhash
def test_clickhouse_blocks_go_in_and_out(server: Running, table: str) -> None:
    """``compress=1`` answers what ``decompress=1`` takes, and the engine's own files are made of the same blocks."""
    packed = server.post("SELECT number, 'x' FROM numbers(300000)", compress=1, enable_http_compression=0).content
    assert len(packed) < 3_000_000
    assert server.insert(f"{table} FORMAT TSV", packed, decompress=1).status_code == 200
    assert server.text(f"SELECT count(), max(a) FROM {table}") == "300000\t299999\n"
    broken = packed[:30] + bytes([packed[30] ^ 1]) + packed[31:]
    assert "Code: 40." in server.insert(f"{table} FORMAT TSV", broken, decompress=1).text

    from tradewire.operations.clickhouse_server.blocks import BlockDecoder

    part = server.text(f"SELECT path FROM system.parts WHERE table = '{table}' AND active LIMIT 1").strip()
    columns = sorted((server.data / part).glob("*.bin"))
    for file in columns:
        decode = BlockDecoder()
        assert decode.feed(file.read_bytes())
        decode.finish()
    assert columns


@pytest.mark.parametrize("blocks", [1, 100])
def test_one_avro_insert_is_one_part(server: Running, table: str, blocks: int) -> None:
    """Only then is a deduplication token of any use."""
    assert server.insert(f"{table} FORMAT Avro", _avro(100_000, blocks=blocks), **_SINK_SETTINGS).status_code == 200
    parts = f"SELECT count(), sum(rows) FROM system.parts WHERE table = '{table}' AND level = 0"
    assert server.text(parts) == "1\t100000\n"


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"1\tx\n2\ty\nno number\tz\n", {}, "27"),
        (zstandard.ZstdCompressor().compress(b"1\tx\n" * 100_000)[:-3], {"Content-Encoding": "zstd"}, "33"),
        (b"junk", {"Content-Encoding": "zstd"}, "561"),
        (gzip.compress(b"1\tx\n" * 100_000) + b"junk", {"Content-Encoding": "gzip"}, "354"),
        (b"1\tx\n", {"Content-Encoding": "zap"}, "48"),
    ],
)
def test_of_a_bad_body_nothing_is_stored(
    server: Running, table: str, body: bytes, headers: dict[str, str], code: str
) -> None:
    """Not even the good rows before the bad ones."""
    answer = server.insert(f"{table} FORMAT TSV", body, headers=headers)
    assert answer.headers["X-ClickHouse-Exception-Code"] == code
    assert server.text(f"SELECT count() FROM {table}") == "0\n"


@pytest.mark.parametrize(
    ("engine", "body", "code"),
    [
        ("(a Int64, CONSTRAINT positive CHECK a > 0) ENGINE = MergeTree ORDER BY a", b"1\n-1\n", "469"),
        ("(a Int64) ENGINE = MergeTree ORDER BY a PARTITION BY a", b"".join(b"%d\n" % i for i in range(300)), "252"),
        ("(a Int64) ENGINE = Null", b"1\n5\n", "395"),
    ],
    ids=["constraint", "partitions", "view"],
)
def test_what_the_engine_refuses_while_storing_is_an_error(
    server: Running, table: str, engine: str, body: bytes, code: str
) -> None:
    """Data that parse well may still not be storable: success is never answered then, and nothing is there."""
    server.text(f"CREATE TABLE strict_{table} {engine}")
    if "Null" in engine:
        view = f"CREATE MATERIALIZED VIEW view_{table} TO {table} AS SELECT a, toString(throwIf(a = 5)) AS s"
        server.text(f"{view} FROM strict_{table}")
    answer = server.insert(f"strict_{table} FORMAT TSV", body)
    assert answer.headers.get("X-ClickHouse-Exception-Code") == code, answer.text
    for name in (table, f"strict_{table}"):
        assert server.text(f"SELECT count() FROM {name}") == "0\n"
    server.text(f"DROP TABLE IF EXISTS view_{table} SYNC")


def test_of_an_upload_that_breaks_off_nothing_is_stored(server: Running, table: str) -> None:
    """The client dies after a million of two million bytes."""
    query = f"/?query=INSERT%20INTO%20{table}%20FORMAT%20TSV&query_id={table}"
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(f"POST {query} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n".encode())
        client.sendall(b"1\tx\n" * 250_000)
        wait_until(lambda: "Code: 216." in server.post("SELECT 1", query_id=table).text)
    wait_until(lambda: "Code: 216." not in server.post("SELECT 1", query_id=table).text)
    assert server.text(f"SELECT count() FROM {table}") == "0\n"


def test_an_insert_into_nothing_says_so_after_the_whole_upload(server: Running) -> None:
    """A client that is still sending must come to read the answer."""
    answer = server.insert("no_such_table FORMAT TSV", b"1\tx\n" * 2_000_000)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (404, "60")


@pytest.fixture
def landing(server: Running) -> Iterator[str]:
    """A Null table whose two views fill two tables with a deduplication window: the sink's arrangement."""
    server.text("CREATE TABLE landing (a Int64, s String) ENGINE = Null")
    for i in (1, 2):
        server.text(
            f"CREATE TABLE target{i} (a Int64, s String) ENGINE = MergeTree ORDER BY a"
            " SETTINGS non_replicated_deduplication_window = 1000"
        )
        server.text(f"CREATE MATERIALIZED VIEW view{i} TO target{i} AS SELECT a, s FROM landing")
    yield "landing"
    for name in ("view1", "view2", "landing", "target1", "target2"):
        server.text(f"DROP TABLE {name} SYNC")


def _targets(server: Running) -> str:
    return server.text("SELECT (SELECT count() FROM target1), (SELECT count() FROM target2)")


def test_a_token_counts_once_in_every_table_behind_the_landing_table(server: Running, landing: str) -> None:
    """Repeated it adds nothing, another one adds everything, and it does not leak into inserts without one."""
    body = _avro(10_000)
    for _ in range(3):
        answer = server.insert(f"{landing} FORMAT Avro", body, insert_deduplication_token="t:0-9999", **_SINK_SETTINGS)
        assert answer.status_code == 200
        assert _targets(server) == "10000\t10000\n"
    server.insert(f"{landing} FORMAT Avro", body, insert_deduplication_token="t:other", **_SINK_SETTINGS)
    assert _targets(server) == "20000\t20000\n"
    for expected in ("30000\t30000\n", "40000\t40000\n"):
        server.insert(f"{landing} FORMAT Avro", body, async_insert=0, deduplicate_insert="disable")
        assert _targets(server) == expected


def test_the_written_rows_count_the_views(server: Running, landing: str) -> None:
    """As a server's summary does."""
    answer = server.insert(f"{landing} FORMAT Avro", _avro(1000), insert_deduplication_token="w", **_SINK_SETTINGS)
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "3000"


def test_an_insert_of_a_select_says_what_it_wrote(server: Running, table: str) -> None:
    """It is one statement, run to its end."""
    answer = server.post(f"INSERT INTO {table} SELECT number, 'x' FROM numbers(5000)")
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "5000"
    assert server.text(f"SELECT count() FROM {table}") == "5000\n"


def test_an_insert_may_select_from_its_data(server: Running, table: str) -> None:
    """By input(), also when the data come in the URL's wake; and when there are none."""
    sql = f"INSERT INTO {table} SELECT a * 10, upper(s) FROM input('a Int64, s String') WHERE a > 1 FORMAT TSV"
    assert server.post(f"{sql}\n1\ta\n2\tb\n").status_code == 200
    answer = httpx.post(server.url, params={"query": sql}, content=b"3\tc\n" * 100_000, timeout=60)
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "100000"
    assert httpx.post(server.url, params={"query": sql}, content=b"", timeout=60).status_code == 200
    assert server.text(f"SELECT a, s, count() FROM {table} GROUP BY ALL ORDER BY a") == "20\tB\t1\n30\tC\t100000\n"


def test_an_insert_still_uploading_is_seen_and_a_killed_one_never_lands(server: Running, table: str) -> None:
    """So that whoever takes over from a dead writer can make sure that nothing of it comes later."""
    query = f"/?query=INSERT%20INTO%20{table}%20FORMAT%20TSV&query_id=late_{table}"
    body = b"1\tx\n" * 100_000
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(f"POST {query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:-4])
        wait_until(lambda: query_is_running(server, f"late_{table}"))
        assert f"INSERT INTO {table}" in server.text(
            f"SELECT query FROM system.processes WHERE query_id LIKE 'late_{table}%'"
        )
        server.text(f"KILL QUERY WHERE query_id = 'late_{table}' SYNC")
        client.sendall(body[-4:])
        answer = client.recv(1 << 16)
    assert b"Code: 394." in answer
    assert server.text(f"SELECT count() FROM {table}") == "0\n"
    wait_until(lambda: not query_is_running(server, f"late_{table}"))


def test_a_refusal_that_quotes_bytes_of_a_row_keeps_its_code(server: Running) -> None:
    """The engine's message is then no UTF-8; a client goes by the code (469: a constraint is violated)."""
    server.text("CREATE TABLE quoted (s String, CONSTRAINT c CHECK s = 'x') ENGINE = Null")
    refused = server.insert("quoted FORMAT TSV", b"\xc5\xff\n")

    assert "469" == refused.headers["X-ClickHouse-Exception-Code"], refused.text
    assert "VIOLATED_CONSTRAINT" in refused.text
