"""What goes back: headers, content types, the summary, and the tail that tells of an error in mid-stream."""

from __future__ import annotations

import json
import secrets
import string
from typing import Final

from tradewire.operations.clickhouse_server.engine import Facts, Statistics

_TEXT: Final = "text/plain; charset=UTF-8"
_CONTENT_TYPES: Final = {
    "arrow": "application/octet-stream",
    "arrowstream": "application/octet-stream",
    "avro": "application/octet-stream",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "csvwithnamesandtypes": "text/csv; charset=UTF-8; header=present",
    "native": "application/octet-stream",
    "orc": "application/octet-stream",
    "parquet": "application/octet-stream",
    "protobuf": "application/octet-stream",
    "rowbinary": "application/octet-stream",
    "rowbinarywithnames": "application/octet-stream",
    "rowbinarywithnamesandtypes": "application/octet-stream",
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "tsv": "text/tab-separated-values; charset=UTF-8",
    "xml": "application/xml; charset=UTF-8",
}
_LINES_OF_JSON: Final = ("jsoneachrow", "jsonlines", "ndjson")

_CANONICAL: Final = {"tsv": "TabSeparated", "tsvwithnames": "TabSeparatedWithNames", "tsvraw": "TabSeparatedRaw"}


def content_type(format: str) -> str:
    """The Content-Type a server gives rows in a format."""
    name = format.lower()
    if name in _CONTENT_TYPES:
        return _CONTENT_TYPES[name]
    if name.startswith(("tabseparated", "tsv")):
        return _CONTENT_TYPES["tsv"]
    if name in _LINES_OF_JSON:
        return "application/x-ndjson; charset=UTF-8"
    if name.startswith("json"):
        return "application/json; charset=UTF-8"
    return _TEXT


def summary(statistics: Statistics) -> str:
    """The X-ClickHouse-Summary value: numbers as strings, as the server writes them."""
    return json.dumps(
        {
            "read_rows": str(statistics.read_rows),
            "read_bytes": str(statistics.read_bytes),
            "written_rows": str(statistics.written_rows),
            "written_bytes": str(statistics.written_bytes),
            "total_rows_to_read": str(statistics.read_rows),
            "result_rows": str(statistics.result_rows),
            "result_bytes": str(statistics.result_bytes),
            "elapsed_ns": str(statistics.elapsed_ns),
        },
        separators=(",", ":"),
    )


def headers(facts: Facts, query_id: str, timezone: str, format: str | None) -> dict[str, str]:
    """Headers of a successful answer; ``format`` is None for a statement that returns no rows at all."""
    result = {
        "X-ClickHouse-Server-Display-Name": facts.host,
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Timezone": timezone,
        "Content-Type": _TEXT,
    }
    if format is not None:
        result["X-ClickHouse-Format"] = _CANONICAL.get(format.lower(), format)
        result["Content-Type"] = content_type(format)
    return result


def new_exception_tag() -> str:
    """Sixteen letters that mark this response's exception block, so that data cannot be mistaken for one."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))


def exception_block(message: str, tag: str) -> bytes:
    """The block a server appends when a query fails after data was sent."""
    text = message.encode("utf-8", "replace") + b"\n"
    mark = tag.encode()
    return (
        b"\r\n__exception__\r\n"
        + mark
        + b"\r\n"
        + text
        + str(len(text)).encode()
        + b" "
        + mark
        + b"\r\n__exception__\r\n"
    )
