"""The Native format as a client of a protocol version expects it: block info before each block, time zones in types.

The embedded engine writes Native for revision 0. A client that names ``client_protocol_version`` gets what a server
would write for it, up to the version that adds a serialization flag to each column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"
TIME_ZONES_SINCE: Final = 54337
FLAGS_SINCE: Final = 54454
_BARE: Final = b"\x08DateTime"

_WIDTHS: Final = {
    "UInt8": 1, "Int8": 1, "Bool": 1, "UInt16": 2, "Int16": 2, "Date": 2, "UInt32": 4, "Int32": 4, "Float32": 4,
    "DateTime": 4, "Date32": 4, "IPv4": 4, "UInt64": 8, "Int64": 8, "Float64": 8, "UUID": 16, "IPv6": 16,
}  # fmt: skip


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


def may_have_time_zones(block: bytes) -> bool:
    """Whether a block can have a column whose time zone revision 0 left out."""
    return _BARE in block


def with_time_zones(block: bytes, columns: Sequence[tuple[str, str]]) -> bytes:
    """The block with the full type of its ``DateTime('zone')`` columns; ``columns`` are names and types of the query.

    A column whose header could also be data (the same bytes occur more often than columns of that name) keeps the
    bare type: the values are the same, only the zone to show them in is the server's.
    """
    zoned = [(n, t) for n, t in columns if t.startswith("DateTime(")]
    for name in dict.fromkeys(n for n, _ in zoned):
        encoded = name.encode("utf-8", "surrogateescape")
        header = _varint(len(encoded)) + encoded + _BARE
        types = [t for n, t in columns if n == name and (t == "DateTime" or t.startswith("DateTime("))]
        if block.count(header) != len(types):
            continue
        at = 0
        for type in types:
            at = block.index(header, at)
            full = header[: -len(_BARE)] + _varint(len(type)) + type.encode()
            block = block[:at] + full + block[at + len(header) :]
            at += len(full)
    return block


def with_block_info(body: bytes) -> bytes:
    """A whole Native body with the block info before each block. Bodies of statements such as SHOW and DESCRIBE hold
    plain columns; where a type is not one of those, the body is taken for a single block.
    """
    blocks: list[bytes] = []
    start = 0
    while start < len(body):
        end = _block_end(body, start)
        blocks.append(BLOCK_INFO + body[start:end])
        start = end
    return b"".join(blocks)


def _block_end(body: bytes, start: int) -> int:
    columns, at = _read_varint(body, start)
    rows, at = _read_varint(body, at)
    for _ in range(columns):
        length, at = _read_varint(body, at)
        at += length
        length, at = _read_varint(body, at)
        type = body[at : at + length].decode("utf-8", "replace")
        at += length
        if type.startswith("Nullable("):
            type = type[len("Nullable(") : -1]
            at += rows
        if type == "String":
            for _ in range(rows):
                length, at = _read_varint(body, at)
                at += length
        elif type in _WIDTHS:
            at += rows * _WIDTHS[type]
        else:
            return len(body)
    return at
