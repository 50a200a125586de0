"""Content encodings and ClickHouse blocks, over every way a body can be cut. Pure: no server."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.operations.clickhouse_server.asking import BR, needs_cityhash

from tradewire.operations.clickhouse_server import blocks, compression, native
from tradewire.operations.clickhouse_server.compression import choose_encoding, decoder, encoder
from tradewire.operations.clickhouse_server.errors import ClickHouseError

ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
}


@pytest.mark.parametrize("name", sorted(ENCODE))
@given(parts=st.lists(st.binary(max_size=200), min_size=1, max_size=5), step=st.integers(1, 64))
def test_every_frame_of_a_body_is_decoded_however_it_arrives(name: str, parts: list[bytes], step: int) -> None:
    """A body of several frames gives all their bytes, whatever the chunks of the network."""
    body = b"".join(map(ENCODE[name], parts))
    decode = decoder(name)
    assert b"".join(decode.feed(body[i : i + step]) for i in range(0, len(body), step)) == b"".join(parts)
    decode.finish()


@pytest.mark.parametrize("name", [*sorted(ENCODE), BR])
def test_a_body_cut_short_is_refused(name: str) -> None:
    """What is missing at the end is never taken for the end."""
    pack = encoder(name)
    body = pack.feed(b"0123456789" * 1000) + pack.finish()
    decode = decoder(name)
    decode.feed(body[:-1])
    with pytest.raises(ClickHouseError) as refused:
        decode.finish()
    assert refused.value.code == 33


@pytest.mark.parametrize("name", [*sorted(ENCODE), BR])
def test_what_is_not_in_the_encoding_is_refused(name: str) -> None:
    """With an error that names the encoding."""
    with pytest.raises(ClickHouseError, match=name):
        decoder(name).feed(b"\xde\xad\xbe\xef" * 40)


@pytest.mark.parametrize("name", [*sorted(ENCODE), BR])
def test_what_is_encoded_decodes_to_itself(name: str) -> None:
    """In both directions, empty chunks and an empty whole included."""
    for chunks in ([], [b""], [b"a", b"", b"b" * 100_000]):
        pack, unpack = encoder(name), decoder(name)
        body = b"".join([*map(pack.feed, chunks), pack.finish()])
        assert unpack.feed(body) == b"".join(chunks)
        unpack.finish()


@pytest.mark.parametrize("level", [0, 1, 3, 4, 9])
@pytest.mark.parametrize("isal", [True, False])
def test_gzip_is_gzip_at_every_level_with_and_without_isal(
    monkeypatch: pytest.MonkeyPatch, level: int, isal: bool
) -> None:
    if not isal:
        monkeypatch.setattr(compression, "isal_zlib", None)
    rows = [f"{number},BTCUSDT,61000.{number % 7}\n".encode() * 50 for number in range(100)]
    made = encoder("gzip", level)
    early = made.feed(rows[0]) + made.flush()

    assert rows[0] == zlib.decompressobj(31).decompress(early)
    assert b"".join(rows) == gzip.decompress(early + b"".join(map(made.feed, rows[1:])) + made.finish())


# Not lz4: its library's decoder may keep a byte back although the encoder has given it.
@pytest.mark.parametrize("name", ["zstd", "gzip", "deflate", BR])
@given(parts=st.lists(st.binary(max_size=300), max_size=4))
def test_after_a_flush_everything_fed_can_be_decoded(name: str, parts: list[bytes]) -> None:
    """So that rows do not wait for what comes after them; the end is the end as ever."""
    pack, unpack = encoder(name), decoder(name)
    for part in parts:
        assert unpack.feed(pack.feed(part) + pack.flush()) == part
    assert unpack.feed(pack.finish()) == b""
    unpack.finish()


def test_encodings_are_chosen_in_the_servers_order() -> None:
    """Not in the order of the header; what is refused with q=0 is not chosen."""
    assert choose_encoding("gzip, deflate, lz4") == "lz4"
    assert choose_encoding("gzip;q=0.5, zstd;q=0") == "gzip"
    assert choose_encoding("identity") is None
    assert choose_encoding(None) is None


def test_an_unknown_encoding_is_named() -> None:
    """And the known ones with it."""
    with pytest.raises(ClickHouseError, match=r"'zap'.*zstd"):
        decoder("zap")


@needs_cityhash
@given(parts=st.lists(st.binary(max_size=2000), max_size=4), step=st.integers(1, 700))
def test_clickhouse_blocks_round_trip_in_any_chunks(parts: list[bytes], step: int) -> None:
    """compress=1 of one side is decompress=1 of the other."""
    pack, unpack = blocks.BlockEncoder(), blocks.BlockDecoder()
    body = b"".join([*map(pack.feed, parts), pack.finish()])
    assert b"".join(unpack.feed(body[i : i + step]) for i in range(0, len(body), step)) == b"".join(parts)
    unpack.finish()


@needs_cityhash
def test_a_changed_byte_of_a_block_is_found() -> None:
    """By its checksum, wherever it is."""
    pack = blocks.BlockEncoder()
    pack.feed(b"0123456789" * 100)
    body = pack.finish()
    for at in range(len(body)):
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        unpack = blocks.BlockDecoder()
        with pytest.raises(ClickHouseError):
            unpack.feed(changed)
            unpack.finish()


def test_time_zones_are_put_into_the_headers_of_their_columns_only() -> None:
    """A column whose header also occurs as data keeps the bare type rather than risk the data."""
    block = b"\x02\x01\x01s\x06String\x05hello\x02dt\x08DateTime\x01\x00\x00\x00"
    columns = [("s", "String"), ("dt", "DateTime('Asia/Tokyo')")]
    assert native.with_time_zones(block, columns) == block.replace(b"\x08DateTime", b"\x16DateTime('Asia/Tokyo')")
    doubtful = b"\x02\x01\x01s\x06String\x0c\x02dt\x08DateTime\x02dt\x08DateTime\x01\x00\x00\x00"
    assert native.with_time_zones(doubtful, columns) == doubtful
    twice = b"\x02\x01" + b"\x02dt\x08DateTime\x01\x00\x00\x00" * 2
    assert native.with_time_zones(twice, [columns[1]] * 2).count(b"Asia/Tokyo") == 2


def test_block_info_goes_before_each_block() -> None:
    """Also when a body holds several."""
    one = b"\x01\x02\x01s\x06String\x01a\x02bc"
    assert native.with_block_info(one * 3) == (native.BLOCK_INFO + one) * 3
    assert native.with_block_info(b"") == b""
