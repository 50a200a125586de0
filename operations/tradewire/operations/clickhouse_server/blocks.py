"""ClickHouse's own block compression (``compress=1`` and ``decompress=1``): CityHash128, method, sizes, data."""

from __future__ import annotations

import struct
from typing import Final

import lz4.block
import zstandard

from tradewire.operations.clickhouse_server.errors import ClickHouseError

try:
    from clickhouse_cityhash.cityhash import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
        CityHash128,
    )
except ImportError:
    CityHash128 = None

_CHECKSUM: Final = 16
_HEADER: Final = struct.Struct("<BII")
_LZ4: Final = 0x82
_ZSTD: Final = 0x90
_NONE: Final = 0x02
_BLOCK_BYTES: Final = 1 << 20
_MAX_BLOCK_BYTES: Final = 1 << 30


def _checksum(data: bytes) -> bytes:
    if CityHash128 is None:
        raise ClickHouseError(48, "compress=1 and decompress=1 need the Python package clickhouse-cityhash; install it")
    hash = int(CityHash128(data))
    return struct.pack("<QQ", hash >> 64, hash & 0xFFFFFFFFFFFFFFFF)


class BlockDecoder:
    """Decoder of a body made of ClickHouse blocks; checks every checksum."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Plain bytes of the blocks complete so far; ClickHouseError 40 for a checksum, 271 for a block that lies."""
        self._pending += data
        plain: list[bytes] = []
        while len(self._pending) >= _CHECKSUM + _HEADER.size:
            method, compressed, size = _HEADER.unpack_from(self._pending, _CHECKSUM)
            if compressed < _HEADER.size or max(compressed, size) > _MAX_BLOCK_BYTES:
                raise ClickHouseError(271, "Cannot decompress: the body is not made of ClickHouse compressed blocks")
            end = _CHECKSUM + compressed
            if len(self._pending) < end:
                break
            block = bytes(self._pending[_CHECKSUM:end])
            if _checksum(block) != bytes(self._pending[:_CHECKSUM]):
                raise ClickHouseError(40, "Checksum doesn't match: corrupted data in a compressed block of the body")
            plain.append(_decompress(method, block[_HEADER.size :], size))
            del self._pending[:end]
        return b"".join(plain)

    def finish(self) -> None:
        """ClickHouseError 33 when the body ends inside a block."""
        if self._pending:
            raise ClickHouseError(33, "Cannot read all data: the body ends inside a compressed block")


def _decompress(method: int, data: bytes, size: int) -> bytes:
    try:
        if method == _LZ4:
            return bytes(lz4.block.decompress(data, uncompressed_size=size))
        if method == _ZSTD:
            return bytes(zstandard.ZstdDecompressor().decompress(data, max_output_size=size))
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise ClickHouseError(271, f"Cannot decompress a block of the body: {error}") from error
    if method == _NONE:
        return bytes(data)
    raise ClickHouseError(89, f"Unknown compression method of a block: {method:#x}; LZ4, ZSTD and NONE are known")


class BlockEncoder:
    """Encoder into LZ4 blocks of up to 1 MiB."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> bytes:
        self._pending += data
        blocks: list[bytes] = []
        while len(self._pending) >= _BLOCK_BYTES:
            blocks.append(_block(bytes(self._pending[:_BLOCK_BYTES])))
            del self._pending[:_BLOCK_BYTES]
        return b"".join(blocks)

    def finish(self) -> bytes:
        last = _block(bytes(self._pending)) if self._pending else b""
        self._pending.clear()
        return last

    def flush(self) -> bytes:
        return self.finish()


def _block(data: bytes) -> bytes:
    packed: bytes = lz4.block.compress(data, store_size=False)
    block: bytes = _HEADER.pack(_LZ4, len(packed) + _HEADER.size, len(data)) + packed
    return _checksum(block) + bytes(block)
