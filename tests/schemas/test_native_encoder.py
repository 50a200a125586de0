"""The encoder in C: what it takes on, what it leaves to Python, and that it neither leaks nor crashes.

That both write the same is held in ``test_compiled_codec.py``, where every encoder is both of them.
"""

from __future__ import annotations

import copy
import gc
import sys
import tracemalloc
from collections import UserDict
from decimal import Context, Decimal, localcontext
from enum import StrEnum
from typing import Any, NoReturn

import pytest
from tests.schemas.generated import DataMaker, fastavro_bytes

from tradewire.core import EventInvalid
from tradewire.schemas import Catalogue
from tradewire.schemas._compiled_decoder import Decoder
from tradewire.schemas._compiled_encoder import EncoderFactory
from tradewire.schemas._native_plan import NATIVE, plan_of
from tradewire.schemas._shape import shape_of

pytestmark = pytest.mark.skipif(
    NATIVE is None, reason="the encoder in C was not built: install gcc and Python's headers, then reinstall"
)

SCHEMAS = [schema for type in Catalogue.load().values() for schema in type.versions]
TRADE = Catalogue.load()["market.trade.reported"].latest
TRADED: dict[str, Any] = {
    "venue": "binance.spot",
    "symbol": "BTCUSDT",
    "trade_id": "1",
    "price": Decimal("64000.10"),
    "quantity": Decimal("-0.00001"),
    "aggressor_side": "SELL",
    "trade_time_ns": 1_767_364_200_013_421_810,
    "received_time_ns": None,
}


class Left(Exception):
    """Raised in place of encoding in Python."""


def leave(data: Any) -> NoReturn:
    raise Left


def only_native(schema: Any) -> Any:
    plan = plan_of(shape_of(copy.deepcopy(schema)))
    assert plan is not None
    assert NATIVE is not None
    return NATIVE.Encoder(plan, b"", leave)


def both(data: Any) -> tuple[bytes, bytes]:
    python, either = (
        EncoderFactory(copy.deepcopy(TRADE.schema), "t", native=native).encoder(b"p") for native in (False, True)
    )
    return python(data), either(data)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: f"{schema.type} v{schema.version}")
def test_every_shipped_event_type_is_encoded_in_c(schema: Any) -> None:
    """Nothing of data of Python's own classes is left to Python: what was read is written again, byte for byte."""
    write, read = only_native(schema.schema), Decoder(copy.deepcopy(schema.schema)).read
    maker = DataMaker(copy.deepcopy(schema.schema), 7)
    for _ in range(50):
        octets = fastavro_bytes(maker.parsed, maker.make())

        assert octets == write(read(octets, 0))


WRONG = [Decimal("NaN"), Decimal("-Infinity"), 1.5, "1.5", True, None, Decimal(10) ** 20, Decimal(1).scaleb(-19)]
HUGE = [Decimal("0." + "0" * 400 + "1"), Decimal("9" * 39), Decimal("1E+999999"), Decimal("0E+3"), Decimal("1E+20")]


@pytest.mark.parametrize("value", [*WRONG, *HUGE])
def test_what_is_not_plainly_right_is_left_to_python(value: Any) -> None:
    """Python then refuses it by field, or writes it."""
    with pytest.raises(Left):
        only_native(TRADE.schema)(TRADED | {"price": value})


def test_other_classes_of_the_same_values_are_written_by_python() -> None:
    """Subclasses, mappings that are no dict and enums of strings are as welcome as they were."""

    class Side(StrEnum):
        SELL = "SELL"

    class Price(Decimal):
        pass

    for data in (
        UserDict(TRADED),
        TRADED | {"aggressor_side": Side.SELL},
        TRADED | {"price": Price("64000.10")},
    ):
        python, either = both(data)
        assert python == either == both(TRADED)[0]


def test_the_callers_decimal_context_changes_no_price() -> None:
    """Neither its precision nor its capitals."""
    expected = both(TRADED)[1]
    with localcontext(Context(prec=2, capitals=0)):
        assert (expected, expected) == both(TRADED)


def test_every_length_of_a_decimal_is_right_at_its_edges() -> None:
    """One less, equal and one more than each power of two: where a byte is added, and where the sign needs one."""
    schema = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 0}
    write, oracle = only_native(schema), EncoderFactory(schema, "t", native=False).encoder(b"")
    edges = [sign * ((1 << bits) + by) for bits in range(126) for by in (-1, 0, 1) for sign in (1, -1)]
    for number in edges:
        assert oracle(Decimal(number)) == write(Decimal(number)), number  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 2, 7, 8, 15, 16, 17, 20])
def test_a_fixed_decimal_fills_its_bytes_or_is_left(size: int) -> None:
    """Its sign reaches to the first byte; a number too large for it is Python's to refuse."""
    precision = min(38, len(str((1 << (8 * size - 1)) - 1)) - 1)
    schema = {
        "type": "fixed", "name": "F", "size": size, "logicalType": "decimal", "precision": precision, "scale": 0,
    }  # fmt: skip
    write = only_native(schema)
    for number in (0, 1, -1, 10**precision - 1, 1 - 10**precision):
        assert number.to_bytes(size, "big", signed=True) == write(Decimal(number))


def test_nothing_is_kept_of_what_was_encoded_or_refused() -> None:
    """A reference too many per event would fill a service's memory, one too few would crash it."""
    write = EncoderFactory(copy.deepcopy(TRADE.schema), "t").encoder(b"p")
    texts = TRADED | {"venue": "Zürich", "trade_id": "日本" * 300, "price": Decimal("123456.789")}
    wrong = TRADED | {"price": 1.0}
    values = [*texts.values(), *wrong.values()]

    def use() -> None:
        for _ in range(2_000):
            write(texts)
            with pytest.raises(EventInvalid):
                write(wrong)

    use()
    gc.collect()
    before = [sys.getrefcount(value) for value in values if not isinstance(value, int | None)]
    tracemalloc.start()
    use()
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert before == [sys.getrefcount(value) for value in values if not isinstance(value, int | None)]
    assert kept < 200_000


def test_data_that_changes_while_it_is_read_is_no_crash() -> None:
    """A key may run code when it is compared, and that code may empty the very dict."""
    data: dict[Any, Any] = {}
    armed = False

    class Key(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return hash("venue")

        def __eq__(self, other: object) -> bool:
            if armed:
                data.clear()
            return False

    data[Key("x")] = 1
    data.update(TRADED)
    armed = True
    write = EncoderFactory(copy.deepcopy(TRADE.schema), "t").encoder(b"p")

    with pytest.raises(EventInvalid):
        write(data)


@pytest.mark.parametrize(
    "plan", [(), (99,), (9, 39, 0, -1), (9, 2, 3, -1), (11, (("f", "not bytes", (0,)),)), (12, 7), ("x",)]
)
def test_a_wrong_plan_is_refused_and_leaves_nothing_behind(plan: Any) -> None:
    """Plans come from our own code only; a slip there is an error and no crash."""
    assert NATIVE is not None
    with pytest.raises((TypeError, ValueError)):
        NATIVE.Encoder(plan, b"", leave)
