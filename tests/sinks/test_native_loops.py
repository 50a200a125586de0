"""The loops in C do what those in Python do, byte for byte, or leave it to them.

After a change of a ``_native.c`` these tests, and ``tests/schemas/test_native_encoder.py`` for the other one, are run
once with it under sanitizers. Compile it over the built one (and reinstall afterwards) with ``cc -O1 -g -fPIC -shared
-fno-strict-aliasing -fsanitize=address,undefined -fno-sanitize-recover=undefined -I<Python's headers>``; run pytest
with ``LD_PRELOAD="$(cc -print-file-name=libasan.so) $(cc -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0``
and ``PYTHONMALLOC=malloc``: Python's own allocator would hide what is read beyond an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sinks.samples import batch_of, record_of

from tradewire.core.errors import ReplayError
from tradewire.schemas import Catalogue, Header
from tradewire.sinks import _columnwise, digest, header_columns, layout, records
from tradewire.sinks._native_loops import NATIVE
from tradewire.sinks.container import build_block
from tradewire.sinks.digest import Digester
from tradewire.sinks.records import Record, RecordColumns
from tradewire.sinks.row_shape import RowShape

pytestmark = pytest.mark.skipif(
    NATIVE is None, reason="the loops in C were not built: install gcc and Python's headers, then reinstall"
)
TRADE = Catalogue.load()["market.trade.reported"].latest
SHAPE = RowShape.of(7, TRADE.type, TRADE.schema)
USUAL = [
    record_of(TRADE, 7, offset, causation_id=f"cause-{offset}", sequence=offset, tags={"desk": "fx"})
    for offset in range(40)
]


@dataclass(frozen=True)
class Message:
    """What confluent_kafka gives."""

    record: Record

    def offset(self) -> int:
        return self.record.offset

    def timestamp(self) -> tuple[int, int]:
        return 1, self.record.timestamp_ms

    def key(self) -> bytes | None:
        return self.record.key

    def value(self) -> bytes | None:
        return self.record.value

    def headers(self) -> list[Header] | None:
        return list(self.record.headers) or None


def in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_columnwise, digest, header_columns, layout, records):
        monkeypatch.setattr(module, "NATIVE", None)


def both_ways(run: Any) -> tuple[Any, Any]:
    """What the loops in C make, and those in Python."""
    native = run()
    with pytest.MonkeyPatch.context() as monkeypatch:
        in_python(monkeypatch)
        return native, run()


def read(found: Sequence[Record]) -> RecordColumns:
    batch = RecordColumns("market.events", 0)
    batch.extend([Message(record) for record in found])
    return batch


contents = st.one_of(st.none(), st.binary(max_size=4))
alike = st.tuples(contents, contents).map(lambda found: [("a", found[0]), ("ü", found[1])])
odd_headers = st.lists(st.tuples(st.sampled_from(("a", "b", "ü")), contents), max_size=3)
anything = st.lists(
    st.builds(Record, st.integers(0, 2**62), st.integers(-1, 2**40), contents, contents, st.one_of(alike, odd_headers)),
    max_size=30,
)
odd_values = st.one_of(
    st.none(),
    st.binary(max_size=3),
    st.sampled_from(
        (
            *(
                b"",
                b"1.0",
                "ü".encode(),
                b"\xc3",
                b"0000000000000000012",
                b"9223372036854775807",
                b"9223372036854775808",
            ),
            *(b"2262-04-11T23:47:16.854775807Z", b"2262-04-11T23:47:16.854775808Z", b"9999-12-31T23:59:59.999999999Z"),
            *(b"0001-01-01T00:00:00.000000000Z", b"2024-02-31T00:00:00.000000000Z", b"2024-08-08T00:00:00.1_3456789Z"),
            *(b"2024-08-08T00:00:00.123456789", b"2024-08-08T00:00:00.123456789Zx", b'{"a":"b"}', b"[]"),
        )
    ),
)
changes = st.lists(
    st.tuples(st.integers(0, len(USUAL) - 1), st.sampled_from([name for name, _ in USUAL[0].headers]), odd_values),
    max_size=3,
)


def test_usual_records_are_written_in_c() -> None:
    """Else the others of these tests would compare Python with itself."""
    names = tuple(name for name, _ in USUAL[0].headers)
    rows = _columnwise.ColumnwiseRows.of(names)
    batch = read(USUAL)
    assert rows is not None and NATIVE is not None
    uniform = batch.headers.columns(range(len(batch)))
    assert uniform is not None

    written = rows.build(batch, range(len(batch)), uniform[1], SHAPE)

    assert 1 == len(written)


@given(changes, st.lists(contents, max_size=4))
def test_rows_are_the_same_bytes_and_the_same_records_are_at_fault(
    found: list[tuple[int, str, bytes | None]], keys: list[bytes | None]
) -> None:
    given_records = list(USUAL)
    for at, name, value in found:
        headers = [(known, value if known == name else kept) for known, kept in given_records[at].headers]
        given_records[at] = given_records[at]._replace(headers=headers)
    for at, key in enumerate(keys):
        given_records[at] = given_records[at]._replace(key=key)

    native, python = both_ways(lambda: build_block(batch_of(given_records), range(len(given_records)), SHAPE))

    assert python == native


@pytest.mark.parametrize(
    ("offset", "stamp", "value"),
    [(2**63 - 1, 0, b"\0\0\0\0\7"), (-(2**63), -1, b"\0\0\0\0\7abc"), (0, 2**63 - 1, bytes(70_000))],
)
def test_numbers_at_their_ends_and_long_values_are_the_same_bytes(offset: int, stamp: int, value: bytes) -> None:
    found = [record._replace(offset=offset, timestamp_ms=stamp, value=value) for record in USUAL]

    native, python = both_ways(lambda: build_block(batch_of(found), range(len(found)), SHAPE))

    assert python == native


@given(anything)
def test_messages_are_read_as_they_are(found: list[Record]) -> None:
    native, python = both_ways(lambda: list(read(found).records()))

    assert found == [record._replace(headers=list(record.headers)) for record in native]
    assert python == native


def test_messages_are_let_go_as_they_are_read() -> None:
    """Their list is empty afterwards, and what was in it is in the columns."""
    messages = [Message(record) for record in USUAL * 30]
    batch = RecordColumns("market.events", 0)

    batch.drain(messages)

    assert [] == messages
    assert [record.offset for record in USUAL] * 30 == batch.offsets


def test_a_message_that_fails_is_not_swallowed() -> None:
    class Broken(Message):
        def key(self) -> bytes | None:
            raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        RecordColumns("t", 0).extend([Message(USUAL[0]), Broken(USUAL[1])])


@given(anything)
def test_a_digest_is_the_same(found: list[Record]) -> None:
    def digested() -> Any:
        digester = Digester()
        digester.add_columns(batch_of(found))
        return digester.digest()

    native, python = both_ways(digested)

    assert python == native


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(1_723_075_199_999_999_990, 1_723_075_200_000_000_010)))
def test_times_are_written_the_same_or_refused(times: list[int]) -> None:
    def restored() -> Any:
        try:
            return layout.restore_by_name("t", [[] for _ in times], {"time_ns": times})
        except ReplayError as error:
            return str(error)

    native, python = both_ways(restored)

    assert python == native
