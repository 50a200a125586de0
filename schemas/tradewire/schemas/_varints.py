"""Avro's variable-length integers by small tables, which stay in the processor's nearest cache.

Everything here works on the unsigned number of the wire; zig-zag is undone by the caller, who knows what he reads.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

TABLE: Final = 4096
_HEADS_KEPT: Final = 4096


class BadBytes(Exception):
    """Raised when bytes are not Avro of their schema; the text says what is wrong, the caller adds where."""


# MORE[n] is a 7-bit number as a byte that announces another one; WHOLE[n] is a number with all its bytes.
MORE: Final = [bytes((n | 0x80,)) for n in range(0x80)]
WHOLE: Final = [bytes((n,)) if n < 0x80 else bytes((n & 0x7F | 0x80, n >> 7)) for n in range(TABLE)]
_FOUR: Final = Struct("4B").unpack_from
# The upper five bytes of a nine-byte number with their value: the times of a feed share them for an eighth of a second.
_HEADS: Final[dict[bytes, int]] = {}


def varint(n: int) -> bytes:
    """The bytes of an unsigned number of any size."""
    if n < TABLE:
        return WHOLE[n]
    parts = []
    while n >= 0x80:
        parts.append(MORE[n & 0x7F])
        n >>= 7
    parts.append(WHOLE[n])
    return b"".join(parts)


def zigzag(n: int) -> int:
    """A signed number as Avro numbers it: 0, -1, 1, -2 …"""
    return n + n if n >= 0 else -n - n - 1


def read_varint(b: bytes, i: int) -> tuple[int, int]:
    """The unsigned number that begins at ``i`` and the place after it.

    Raises:
        BadBytes: it is longer than 10 bytes or has more than 64 bits.
        IndexError: the bytes end before it does.
    """
    if i + 9 <= len(b):
        # Each byte but the last carries 0x80 too much, which is taken off at once.
        p, q, r, s = _FOUR(b, i)
        if p < 0x80:
            return p, i + 1
        if q < 0x80:
            return p + (q << 7) - 0x80, i + 2
        if r < 0x80:
            return p + (q << 7) + (r << 14) - 0x4080, i + 3
        if s < 0x80:
            return p + (q << 7) + (r << 14) + (s << 21) - 0x204080, i + 4
        head = _HEADS.get(b[i + 4 : i + 9])
        if head is not None:
            return p + (q << 7) + (r << 14) + (s << 21) - 0x10204080 + head, i + 9
    n = shift = 0
    j = i
    while True:
        byte = b[j]
        j += 1
        n |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise BadBytes("a number is longer than 10 bytes")
    if n >> 64:
        raise BadBytes("a number has more than 64 bits")
    if j - i == 9:
        if len(_HEADS) >= _HEADS_KEPT:
            _HEADS.clear()
        _HEADS[b[i + 4 : j]] = n >> 28 << 28
    return n, j


def read_int_varint(b: bytes, i: int) -> tuple[int, int]:
    """As ``read_varint``, for a type of 32 bits: it has at most 5 bytes, as Avro's other implementations hold it to."""
    n, j = read_varint(b, i)
    if n >> 32 or j - i > 5:
        raise BadBytes("an int has more than 32 bits or 5 bytes")
    return n, j


def read_span(b: bytes, i: int, e: int) -> tuple[int, int]:
    """Where the bytes behind the length at ``i`` begin and end.

    Raises:
        BadBytes: the length is negative or more than the bytes that are left up to ``e``.
        IndexError: the bytes end before the length does.
    """
    n, i = read_varint(b, i)
    if n & 1:
        raise BadBytes(f"the length is negative: {~(n >> 1)}")
    if n >> 1 > e - i:
        raise BadBytes(f"the length is {n >> 1}, the bytes left are {e - i}")
    return i, i + (n >> 1)


def read_block(b: bytes, i: int, e: int, item_bytes_min: int) -> tuple[int, int, int]:
    """The item count of an array or map block at ``i``, where its items begin, and where they must end (0: anywhere).

    Raises:
        BadBytes: the count or the byte size cannot be true of the bytes that are left up to ``e``.
        IndexError: the bytes end too early.
    """
    n, i = read_varint(b, i)
    stop = 0
    count = n >> 1
    if n & 1:
        count += 1
        size, i = read_varint(b, i)
        if size & 1 or size >> 1 > e - i:
            raise BadBytes(f"a block of {count} items says it has {size >> 1} bytes, the bytes left are {e - i}")
        stop = i + (size >> 1)
    if count * item_bytes_min > e - i:
        raise BadBytes(f"a block says it has {count} items, the bytes left are {e - i}")
    return count, i, stop
