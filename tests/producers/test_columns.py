"""Bulk publishing by columns, against the real broker: the same events as one by one, and a bad row is named."""

from __future__ import annotations

import asyncio
import datetime as dt
from array import array
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.producers.records import Reader, headers_of

from tradewire.core import EventInvalid, Settings, correlation, derived_id, load_settings
from tradewire.producers import AsyncPublisher, EventTooLarge, Publisher, QueueFull
from tradewire.producers.columns import Columns, values
from tradewire.schemas import Contract, Event, FixedIds, read_event

TYPE = "market.trade.reported"
START_NS = 1_723_161_255_342_000_001


def trades(count: int, venue: str = "test.columns") -> dict[str, list[Any]]:
    """Columns of trades over three instruments."""
    return {
        "venue": [venue] * count,
        "symbol": [("BTCUSDT", "ETHUSDT", "SOLUSDT")[n % 3] for n in range(count)],
        "trade_id": [str(n) for n in range(count)],
        "price": [Decimal(6_183_763 + n).scaleb(-2) for n in range(count)],
        "quantity": [Decimal("0.5")] * count,
        "aggressor_side": ["BUY", "SELL"] * (count // 2) + ["BUY"] * (count % 2),
        "trade_time_ns": [START_NS + n for n in range(count)],
        "received_time_ns": [None if n % 2 else START_NS for n in range(count)],
    }


def rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture
def written(publisher: Publisher, reader: Reader, contract: Contract) -> Iterator[Any]:
    """A function that flushes and gives the events of market.events written since the test began, by trade id."""
    before = reader.ends("market.events")

    def read() -> list[Event]:
        assert publisher.flush(30) == 0
        events = [
            read_event(
                contract.codec,
                topic=str(message.topic()),
                partition=message.partition() or 0,
                offset=message.offset() or 0,
                timestamp_ms=message.timestamp()[1],
                value=message.value(),
                headers=[(name, value) for name, value in headers_of(message).items()],
            )
            for message in reader.since("market.events", before)
        ]
        return sorted(
            (event for event in events if event.data["venue"] == "test.columns"),
            key=lambda event: int(event.data["trade_id"]),
        )

    yield read


def test_columns_become_the_events_that_publish_makes_of_their_rows(publisher: Publisher, written: Any) -> None:
    """Data, key, times and ids; over several parts of a call, in order."""
    columns = trades(5_000)
    taken = publisher.publish_columns(TYPE, columns, time_ns=columns["trade_time_ns"])
    events = written()

    assert taken == 5_000 == publisher.outcome.per_type[TYPE]
    assert [event.data for event in events] == rows(columns)
    assert [event.time_ns for event in events] == columns["trade_time_ns"]
    assert {event.subject for event in events} == {
        "test.columns:BTCUSDT",
        "test.columns:ETHUSDT",
        "test.columns:SOLUSDT",
    }
    assert len({event.id for event in events}) == 5_000
    assert all(event.correlation_id == event.id and event.causation_id is None for event in events)
    offsets: dict[str, int] = {}
    for event in events:
        assert event.position is not None
        assert event.position.offset > offsets.get(event.subject, -1)
        offsets[event.subject] = event.position.offset


def test_the_envelope_may_come_as_columns(publisher: Publisher, written: Any) -> None:
    """Ids from keys are those of ``publish``, and a row may have a flow and a cause of its own."""
    columns = trades(4)
    publisher.publish_columns(
        TYPE,
        columns,
        subject=["a", "b", "a", "b"],
        time_ns=np.array(["2024-08-08T12:00:00.000000001"] * 4, dtype="datetime64[ns]"),
        idempotency_key=columns["trade_id"],
        correlation_id=pa.array(["f1", "f2", "f1", "f2"]),
        causation_id=["c", None, None, "c"],
        source="elsewhere",
    )
    events = written()

    assert [event.id for event in events] == [derived_id(TYPE, "abab"[n], str(n)) for n in range(4)]
    assert [event.subject for event in events] == [*"abab"]
    assert [event.correlation_id for event in events] == ["f1", "f2", "f1", "f2"]
    assert [event.causation_id for event in events] == ["c", None, None, "c"]
    assert {(event.time_ns, event.source) for event in events} == {(1_723_118_400_000_000_001, "elsewhere")}


def test_rows_join_the_current_flow(publisher: Publisher, written: Any) -> None:
    """As events do that are published one by one."""
    with correlation("the-flow", "the-cause"):
        publisher.publish_columns(TYPE, trades(2))

    assert {(event.correlation_id, event.causation_id) for event in written()} == {("the-flow", "the-cause")}


def as_arrow(columns: dict[str, list[Any]]) -> Any:
    types = {
        "price": pa.decimal128(20, 2),
        "quantity": pa.decimal128(38, 18),
        "symbol": pa.dictionary(pa.int8(), pa.string()),
    }
    types |= {"trade_time_ns": pa.timestamp("ns", "UTC")}
    return pa.table({name: pa.array(column, types.get(name)) for name, column in columns.items()})


@pytest.mark.parametrize("kind", ["table", "record batch", "sliced table", "pandas", "numpy"])
def test_tables_and_arrays_of_any_make_give_the_same_events(publisher: Publisher, written: Any, kind: str) -> None:
    """Arrow's decimals, dictionaries, timestamps and nulls; pandas and numpy with their own times."""
    columns = trades(100)
    given: Any = as_arrow(columns)
    if kind == "record batch":
        given = given.to_batches()[0]
    elif kind == "sliced table":
        double = pa.concat_tables([given.slice(0, 33), given.slice(33)])
        given = pa.concat_tables([as_arrow(trades(7)), double, as_arrow(trades(7))]).slice(7, 100)
    elif kind == "pandas":
        given = pd.DataFrame(columns | {"trade_time_ns": pd.to_datetime(columns["trade_time_ns"], utc=True)})
        given["received_time_ns"] = pd.Series([None if n % 2 else START_NS for n in range(100)], dtype=object)
    elif kind == "numpy":
        given = columns | {name: np.array(columns[name]) for name in ("venue", "symbol", "price", "trade_time_ns")}
        given["received_time_ns"] = np.array(columns["received_time_ns"], dtype="datetime64[ns]")
    assert publisher.publish_columns(TYPE, given) == 100

    assert [event.data for event in written()] == rows(columns)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("price", 61837.63, r"row 2500: .*'price' = 61837\.63 is float, not a Decimal"),
        ("aggressor_side", "HOLD", r"row 2500: .*'aggressor_side' = 'HOLD' is not one of"),
        ("venue", None, r"row 2500: .*'venue' = None is NoneType, not a string"),
        ("symbol", "", "row 2500: column 'subject'"),
    ],
)
def test_a_bad_row_is_named_the_rows_before_it_are_taken_and_no_later_one(
    publisher: Publisher, written: Any, name: str, value: Any, said: str
) -> None:
    """Also a row in the middle of a part. ``first_row`` goes on behind it."""
    columns = trades(5_000)
    columns[name][2_500] = value
    with pytest.raises(EventInvalid, match=said) as caught:
        publisher.publish_columns(TYPE, columns)

    assert caught.value.context["row"] == 2_500
    assert [event.data["trade_id"] for event in written()] == [str(n) for n in range(2_500)]
    assert publisher.publish_columns(TYPE, columns, first_row=2_501) == 2_499
    assert [event.data["trade_id"] for event in written()] == [str(n) for n in range(5_000) if n != 2_500]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"price": None}, "there is no column 'price'"),
        ({"prize": [1, 2]}, "column 'prize' is no field"),
        ({"price": [Decimal(1)]}, "column 'price' has 1 values, the others 2"),
        ({"price": "12"}, "column 'price' is str, not an array"),
        ({"venue": None}, "there is no column 'venue'"),
    ],
)
def test_columns_that_do_not_fit_the_type_are_refused_before_anything_is_taken(
    publisher: Publisher, change: dict[str, Any], said: str
) -> None:
    """Missing, unknown, too short, or none at all."""
    columns = {name: column for name, column in (trades(2) | change).items() if column is not None}
    with pytest.raises(EventInvalid, match=said):
        publisher.publish_columns(TYPE, columns)

    assert publisher.outcome.published == 0


def test_a_full_queue_names_the_row_to_go_on_with(settings: Settings, contract: Contract) -> None:
    """After QueueFull nothing of that row is taken, and the rest can be published by the same call."""
    small = settings.publisher.model_copy(update={"queue_messages_max": 10, "block_ms_max": 0, "linger_ms": 500})
    publisher = Publisher(settings.model_copy(update={"publisher": small}), contract)
    columns, first = trades(50, "test.full"), 0
    for _ in range(50):
        try:
            publisher.publish_columns(TYPE, columns, first_row=first)
            break
        except QueueFull as error:
            assert first < int(str(error.context["row"])) < 50
            first = int(str(error.context["row"]))
            assert publisher.outcome.published == first
            publisher.flush(30)
    outcome = publisher.close(30)

    assert (outcome.published, outcome.unknown) == (50, 0)


async def test_coroutines_publish_columns_and_wait_for_room_on_the_loop(settings: Settings, contract: Contract) -> None:
    """More rows than the queue has places: the loop runs on, and every row is taken once."""
    small = settings.publisher.model_copy(update={"queue_messages_max": 20, "linger_ms": 50, "block_ms_max": 30_000})
    async with AsyncPublisher(settings.model_copy(update={"publisher": small}), contract) as publisher:
        turns = 0
        call = asyncio.create_task(publisher.publish_columns(TYPE, trades(200, "test.coroutines")))
        while not call.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert await call == 200
        assert await publisher.flush(30) == 0
        outcome = publisher.outcome

    assert (outcome.published, outcome.unknown) == (200, 0)
    assert turns >= 5  # once for each time that the queue was full


async def test_a_table_that_finds_no_room_says_so_to_a_coroutine(trade: dict[str, Any]) -> None:
    """After ``block_ms_max`` without a single row taken."""
    settings = load_settings(
        kafka={"bootstrap_servers": "127.0.0.1:9"}, publisher={"queue_messages_max": 5, "block_ms_max": 50}
    )
    publisher = AsyncPublisher(settings, Contract.load(settings, schema_ids=FixedIds()))
    with pytest.raises(QueueFull) as caught:
        await publisher.publish_columns(TYPE, {name: [value] * 9 for name, value in trade.items()})
    outcome = await publisher.close(0)

    assert caught.value.context["row"] == outcome.published == outcome.unknown == 5


def test_a_row_that_is_too_large_is_named(publisher: Publisher) -> None:
    """The limit is that of ``publish``."""
    columns = trades(3)
    columns["trade_id"][1] = "x" * 1_100_000
    with pytest.raises(EventTooLarge) as caught:
        publisher.publish_columns(TYPE, columns)

    assert (caught.value.context["row"], publisher.outcome.published) == (1, 1)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_become_nanoseconds(unit: str) -> None:
    """Of Arrow, numpy and pandas, with a null among them; in any other column they stay what they are."""
    moments = [dt.datetime(2024, 8, 8, 12, 0, 1), None]
    expected = [1_723_118_401_000_000_000, None]
    arrow = pa.array(moments, pa.timestamp(unit))
    numpy = np.array(moments, dtype=f"datetime64[{unit}]")
    zoned = pd.Series(numpy).dt.tz_localize("Europe/Paris").dt.tz_convert("Asia/Tokyo")

    assert expected == values(arrow, 0, 2, is_time=True) == values(numpy, 0, 2, is_time=True)
    assert (
        expected
        == values(pa.chunked_array([arrow]), 0, 2, is_time=True)
        == values(pd.Series(numpy), 0, 2, is_time=True)
    )
    assert [expected[0] - 7_200_000_000_000, None] == values(zoned, 0, 2, is_time=True)
    assert expected[:1] != values(arrow, 0, 1, is_time=False)


def test_a_time_that_nanoseconds_cannot_hold_is_refused() -> None:
    """numpy would wrap it round."""
    with pytest.raises(EventInvalid, match="do not fit 64 bits"):
        values(np.array(["3000-01-01"], dtype="datetime64[s]"), 0, 1, is_time=True)


def test_arrays_of_the_standard_library_are_columns() -> None:
    """And a generator, which has no length, is none."""
    assert [2, 3] == values(array("q", [1, 2, 3]), 1, 3, is_time=False)
    with pytest.raises(EventInvalid, match="is generator, not an array"):
        Columns({"n": (n for n in range(3))}, "made v1")
    with pytest.raises(EventInvalid, match="given as list"):
        Columns([{"n": 1}], "made v1")
