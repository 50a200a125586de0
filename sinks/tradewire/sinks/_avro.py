"""The few pieces of Avro binary that concatenation needs: longs, lengths, and the frame of an object container file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

_MAGIC: Final = b"Obj\x01"
EMPTY: Final = b"\x00"  # an empty string, an empty array, an empty map, the first branch of a union
SECOND_BRANCH: Final = b"\x02"


def encode_long(number: int) -> bytes:
    """An Avro int or long: zigzag, seven bits a byte, the lowest first."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number & ~0x7F:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class _Lengths(dict[int, bytes]):
    def __missing__(self, number: int) -> bytes:
        encoded = encode_long(number)
        if number < 1 << 16:
            self[number] = encoded
        return encoded


length_of: Final = _Lengths({number: encode_long(number) for number in range(4096)}).__getitem__


def encode_bytes(value: bytes) -> bytes:
    """An Avro string or bytes."""
    return length_of(len(value)) + value


def encode_array(items: Iterable[bytes]) -> bytes:
    """An Avro array of items that are encoded already."""
    parts = list(items)
    return b"".join((length_of(len(parts)), *parts, EMPTY)) if parts else EMPTY


def encode_map(entries: Mapping[str, str]) -> bytes:
    """An Avro map of strings."""
    return encode_array(encode_bytes(key.encode()) + encode_bytes(value.encode()) for key, value in entries.items())


class Container:
    """Wraps encoded records of one schema as an Avro object container file with a single block."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        text = json.dumps(schema, separators=(",", ":")).encode()
        # Any 16 bytes will do; taken from the schema so that the same rows give the same file.
        self._sync = hashlib.sha256(text).digest()[:16]
        entries = (b"avro.schema", text), (b"avro.codec", b"null")
        metadata = encode_array(encode_bytes(name) + encode_bytes(value) for name, value in entries)
        self._head = _MAGIC + metadata + self._sync

    def wrap(self, rows: int, parts: list[bytes]) -> bytes:
        """The file of ``rows`` records whose bytes are ``parts`` joined."""
        size = sum(map(len, parts))
        return b"".join((self._head, encode_long(rows), encode_long(size), *parts, self._sync))
