"""Parsers of market-data files: a line becomes an event or an error that names file, line and field."""

from __future__ import annotations

import gzip
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.needs import market_file_or_skip

from tradewire.core import NS_PER_MS, load_settings
from tradewire.producers import FeedError
from tradewire.producers.feeds import (
    FeedItem,
    Line,
    LineFile,
    OtherKind,
    binance_raw,
    binance_trades,
    lobster,
    session_of,
)
from tradewire.schemas import Contract, Event, FixedIds

HEADER = "recv_ts_ns,event_ts_ms,trade_ts_ms,market,symbol,trade_id,price,qty,buyer_is_maker,order_type_X"
TRADE = "1723161254087896568,1723161255343,1723161255342,spot,BTCUSDT,3735683259,61837.63000000,0.02000000,1,"
TICKER = (
    '1723161254087891268 {"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000",'
    '"B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}'
)
RAW_TRADE = (
    '1723161254087896568 {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,'
    '"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}'
)
CONTRACT = Contract.load(load_settings(), schema_ids=FixedIds())


def lines(*texts: str) -> list[Line | FeedError]:
    """The lines of a file called f."""
    return [Line("f", number, text) for number, text in enumerate(texts, start=1)]


def events_of(items: list[FeedItem]) -> list[Event]:
    """The items, all of which must be events that their schemas accept."""
    events = []
    for item in items:
        assert isinstance(item, Event), item
        CONTRACT.codec.encode(item.type, item.data, CONTRACT.topic_of(item.type))
        events.append(item)
    return events


def only_error(items: list[FeedItem]) -> FeedError:
    """The one item, which must be an error."""
    (item,) = items
    assert isinstance(item, FeedError)
    return item


def test_a_binance_trade_keeps_every_digit() -> None:
    """Price, quantity and times are what the line says; the aggressor sold, since the buyer was the maker."""
    (event,) = events_of(list(binance_trades(lines(HEADER, TRADE))))

    assert event.subject == "binance.spot:BTCUSDT"
    assert event.time_ns == 1723161255342 * NS_PER_MS
    assert event.correlation_id == event.id
    assert event.data == {
        "venue": "binance.spot",
        "symbol": "BTCUSDT",
        "trade_id": "3735683259",
        "price": Decimal("61837.63000000"),
        "quantity": Decimal("0.02000000"),
        "aggressor_side": "SELL",
        "trade_time_ns": 1723161255342 * NS_PER_MS,
        "received_time_ns": 1723161254087896568,
    }


def test_columns_are_found_by_name() -> None:
    """Their order does not matter, and further columns are ignored."""
    header = "extra,qty,price,symbol,market,trade_id,buyer_is_maker,trade_ts_ms,recv_ts_ns"
    line = "zzz,0.02000000,61837.63000000,BTCUSDT,spot,3735683259,1,1723161255342,1723161254087896568"

    assert list(binance_trades(lines(header, line))) == list(binance_trades(lines(HEADER, TRADE)))


def test_a_header_without_a_needed_column_ends_the_feed() -> None:
    """No line could be understood, so the first column that is missed is named at once."""
    with pytest.raises(FeedError, match=r"f:1: the header lacks .*market") as error:
        list(binance_trades(lines("a,b,c", TRADE)))
    assert (error.value.file, error.value.line) == ("f", 1)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("spot", "margin", "market"),
        ("BTCUSDT", "BTC:USDT", "symbol"),
        ("BTCUSDT", "", "symbol"),
        ("3735683259", "1_000", "trade_id"),
        ("3735683259", "-1", "trade_id"),
        ("61837.63000000", "6e4", "price"),
        ("61837.63000000", "NaN", "price"),
        ("61837.63000000", "-1.0", "price"),
        ("61837.63000000", "1.0000000000000000000", "price"),
        ("0.02000000", "0.00000000", "qty"),
        ("0.02000000", "٣", "qty"),
        (",1,", ",true,", "buyer_is_maker"),
        ("1723161255342", "1723161255342000000", "trade_ts_ms"),
        ("1723161254087896568", "99999999999999999999", "recv_ts_ns"),
    ],
)
def test_a_bad_field_of_a_trade_is_named(old: str, new: str, field: str) -> None:
    """One malformed field gives one error with file, line and field; the next line is read."""
    items = list(binance_trades(lines(HEADER, TRADE.replace(old, new, 1), TRADE)))

    error = only_error(items[:1])
    assert (error.line, error.context["field"]) == (2, field)
    assert field in str(error)
    events_of(items[1:])


def test_a_cut_off_trade_is_named() -> None:
    """A line with too few fields says so."""
    assert "3 fields" in str(only_error(list(binance_trades(lines(HEADER, "1,2,3")))))


def test_a_raw_trade_is_the_trade_of_the_csv() -> None:
    """The same trade from the socket and from the file has the same id and the same data."""
    (raw,) = events_of(list(binance_raw(lines(RAW_TRADE))))
    (csv,) = events_of(list(binance_trades(lines(HEADER, TRADE))))

    assert (raw.id, raw.subject, raw.time_ns, raw.data) == (csv.id, csv.subject, csv.time_ns, csv.data)


def test_a_book_ticker_becomes_a_quote() -> None:
    """A spot ticker has no time of its own, so the arrival stands for it; one with a time keeps it."""
    futures = TICKER.replace('"u":', '"T":1723161255342,"u":')
    spot, timed = events_of(list(binance_raw(lines(TICKER, futures))))

    assert spot.type == "market.quote.updated"
    assert spot.data["bid_price"] == Decimal("61837.63")
    assert spot.data["ask_quantity"] == Decimal("1.54698000")
    assert spot.time_ns == spot.data["quote_time_ns"] == spot.data["received_time_ns"] == 1723161254087891268
    assert timed.time_ns == 1723161255342 * NS_PER_MS


def test_other_messages_of_a_capture_are_named_and_not_fatal() -> None:
    """Depth updates, snapshots and what else a socket sends are kinds, not errors."""
    depth = '1 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","b":[],"a":[]}}'
    snapshot = '1 {"lastUpdateId":5,"bids":[],"asks":[]}'
    reply = '1 {"result":null,"id":1}'

    kinds = list(binance_raw(lines(depth, snapshot, reply)))

    assert kinds == [OtherKind("depthUpdate"), OtherKind("depthSnapshot"), OtherKind("unnamed")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json at all", "arrival"),
        ("1723161254087891268", "not JSON"),
        ("1723161254087891268 {", "not JSON"),
        ("1 " + "[" * 100_000, "not JSON"),
        ("1 []", "not an object"),
        ('1 {"data":5}', "data"),
        (RAW_TRADE.replace('"p":"61837.63000000"', '"p":61837.63'), "field p"),
        (RAW_TRADE.replace(',"q":"0.02000000"', ""), "field q is missing"),
        (RAW_TRADE.replace('"m":true', '"m":"true"'), "field m"),
        (RAW_TRADE.replace('"T":1723161255342', '"T":17231612553420000'), "field T"),
        (TICKER.replace('"u":50093239212', '"u":true'), "field u"),
    ],
)
def test_a_broken_message_is_named(text: str, said: str) -> None:
    """Cut off, not JSON, or a field missing or wrong: an error with the line, and the feed goes on."""
    items = list(binance_raw(lines(text, RAW_TRADE)))

    assert said in str(only_error(items[:1]))
    events_of(items[1:])


def life(*messages: str) -> list[Event]:
    """The events of LOBSTER messages on the day of the sample."""
    return events_of(list(lobster(lines(*messages), symbol="AAPL", on=date(2012, 6, 21))))


def test_an_order_lives_from_creation_to_its_end() -> None:
    """Created, accepted, reduced, filled in part, cancelled: one flow, one cause each, sums that add up."""
    events = life(
        "34200.004241176,1,16113575,18,5853300,1",
        "34200.1,2,16113575,3,5853300,1",
        "34200.2,4,16113575,5,5853300,1",
        "34200.3,3,16113575,10,5853300,1",
    )

    assert [event.type.removeprefix("trading.order.") for event in events] == [
        "created", "accepted", "amended", "filled", "cancelled"
    ]  # fmt: skip
    assert {event.correlation_id for event in events} == {events[0].correlation_id}
    assert [event.causation_id for event in events] == [None, *(event.id for event in events[:-1])]
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
    assert {event.subject for event in events} == {"AAPL-2012-06-21-16113575"}
    created, _, amended, filled, cancelled = (event.data for event in events)
    assert (created["side"], created["quantity"], created["limit_price"]) == ("BUY", 18, Decimal("585.3300"))
    assert (amended["quantity"], amended["leaves_quantity"]) == (15, 15)
    assert (filled["quantity"], filled["cumulative_quantity"], filled["leaves_quantity"]) == (5, 5, 10)
    assert (cancelled["cancelled_quantity"], cancelled["cumulative_quantity"]) == (10, 5)


def test_new_york_time_becomes_utc_to_the_nanosecond() -> None:
    """09:30:00.004241176 in New York in summer is 13:30 UTC, in winter 14:30."""
    message = "34200.004241176,5,0,1,5853300,1"
    (summer,) = events_of(list(lobster(lines(message), symbol="AAPL", on=date(2012, 6, 21))))
    (winter,) = events_of(list(lobster(lines(message), symbol="AAPL", on=date(2012, 12, 21))))

    assert summer.time_ns == 1_340_285_400_004_241_176
    assert winter.time_ns == 1_356_100_200_004_241_176


def test_hidden_executions_and_crosses_are_trades() -> None:
    """No order of the file is behind them; who was hit is the other side, and nobody in an auction."""
    hidden, cross = life("34200.5,5,0,100,5857900,-1", "34200.5,6,-1,100,5857900,-1")

    assert hidden.type == cross.type == "market.trade.reported"
    assert hidden.data["aggressor_side"] == "BUY"
    assert cross.data["aggressor_side"] == "UNKNOWN"
    assert hidden.id != cross.id


def test_orders_from_before_the_file_claim_nothing() -> None:
    """Their executions are trades, which are certain; their cancellations are another kind."""
    items = list(
        lobster(
            lines("34200.1,4,99,7,5853300,1", "34200.2,2,99,1,5853300,1", "34200.3,3,99,5,5853300,1"),
            symbol="AAPL",
            on=date(2012, 6, 21),
        )
    )

    (trade,) = events_of(items[:1])
    assert (trade.type, trade.data["quantity"], trade.data["aggressor_side"]) == ("market.trade.reported", 7, "SELL")
    assert items[1:] == [OtherKind("cancellation of an order from before the file")] * 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("34200,1,5", "3 fields"),
        ("34200.1234567890,1,5,1,1,1", "time"),
        ("86400.0,1,5,1,1,1", "time"),
        ("34200.1,9,5,1,1,1", "type"),
        ("34200.1,1,5,0,1,1", "size"),
        ("34200.1,1,x,1,1,1", "order_id"),
        ("34200.1,1,5,1,1.5,1", "price"),
        ("34200.1,1,5,1,1,0", "direction"),
        ("34200.1,1,7,1,1,1", "created twice"),
        ("34200.1,4,7,11,1,1", "has 10 left"),
        ("34200.1,3,7,9,1,1", "has 10 left"),
    ],
)
def test_a_broken_order_message_is_named_and_changes_nothing(text: str, said: str) -> None:
    """The error names what is wrong, and the order goes on as if the line were not there."""
    good = "34200.0,1,7,10,5853300,1"
    items = list(lobster(lines(good, text, "34201.0,3,7,10,5853300,1"), symbol="AAPL", on=date(2012, 6, 21)))

    assert said in str(only_error(items[2:3]))
    assert [event.type for event in events_of(items[3:])] == ["trading.order.cancelled"]


def test_a_halt_is_another_kind() -> None:
    """Trading halts carry no order and no trade."""
    items = list(lobster(lines("34200.1,7,0,0,-1,-1"), symbol="AAPL", on=date(2012, 6, 21)))

    assert items == [OtherKind("trading halt")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AAPL_2012-06-22_34200000_57600000_message_10.csv", ("AAPL", date(2012, 6, 22))),
        ("lobster_msft_message_10.csv", ("MSFT", date(2012, 6, 21))),
        ("orders.csv", ("AAPL", date(2012, 6, 21))),
    ],
)
def test_symbol_and_date_come_from_the_name_of_the_file(name: str, expected: tuple[str, date]) -> None:
    """LOBSTER's own names say both; what is given by hand wins."""
    assert session_of(Path(name)) == expected
    assert session_of(Path(name), "X", date(2020, 1, 1)) == ("X", date(2020, 1, 1))


@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(max_size=120) | st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,10})?,[0-9],[0-9]{1,3},[0-9],[0-9]+,-?1"))
def test_no_line_whatever_breaks_a_parser(text: str) -> None:
    """Any text gives events, other kinds or errors, and never another exception; events fit their schemas."""
    for items in (
        list(binance_trades(lines(HEADER, text))),
        list(binance_raw(lines(text, f"1 {text}"))),
        list(lobster(lines(text, text), symbol="AAPL", on=date(2012, 6, 21))),
    ):
        events_of([item for item in items if isinstance(item, Event)])


@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    price=st.decimals(0, 10**12, places=8),
    quantity=st.decimals(Decimal("1E-8"), 10**12, places=8),
    trade_ms=st.integers(0, 2**43),
    maker=st.booleans(),
)
def test_every_well_formed_trade_is_read_exactly(price: Decimal, quantity: Decimal, trade_ms: int, maker: bool) -> None:
    """What is written into a line comes out of it, digit for digit."""
    line = f"1,2,{trade_ms},usdm,ETHUSDT,5,{price:f},{quantity:f},{int(maker)},"

    (event,) = events_of(list(binance_trades(lines(HEADER, line))))

    assert (event.data["price"], event.data["quantity"]) == (price, quantity)
    assert (event.time_ns, event.data["aggressor_side"]) == (trade_ms * NS_PER_MS, "SELL" if maker else "BUY")


@pytest.mark.parametrize("packed", [False, True])
def test_files_are_read_plain_and_gzipped(tmp_path: Path, packed: bool) -> None:
    """Line ends of both kinds, empty lines and a missing last end; the bytes read reach the size of the file."""
    content = b"one\r\n\ntwo\nthree"
    file = tmp_path / "f"
    file.write_bytes(gzip.compress(content) if packed else content)

    with LineFile(file) as read:
        assert [(line.number, line.text) for line in read if isinstance(line, Line)] == [
            (1, "one"), (3, "two"), (4, "three")
        ]  # fmt: skip
        assert read.read_bytes == read.size_bytes == file.stat().st_size


def test_a_line_that_is_not_text_is_an_error_and_the_next_is_read(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, and a line without end, are named; the lines behind them are whole."""
    file = tmp_path / "f"
    file.write_bytes(b"\xff\xfe\n" + b"x" * 2_500_000 + b"\nlast\n")

    with LineFile(file) as read:
        first, second, last = read

    assert isinstance(first, FeedError)
    assert "not UTF-8" in str(first)
    assert isinstance(second, FeedError)
    assert "longer than" in str(second)
    assert isinstance(last, Line)
    assert (last.number, last.text) == (3, "last")


def test_a_file_cut_off_in_its_compression_is_said(tmp_path: Path) -> None:
    """What can be unpacked is read; then the feed ends with an error rather than as if that were all."""
    file = tmp_path / "f.gz"
    whole = gzip.compress("".join(f"line {number}\n" for number in range(20_000)).encode())
    file.write_bytes(whole[: len(whole) // 2])

    read = 0
    with LineFile(file) as cut, pytest.raises(FeedError, match="cut off"):
        for _ in cut:
            read += 1
    assert read > 100


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """The error names the path."""
    with pytest.raises(FeedError, match="nothing-here"):
        LineFile(tmp_path / "nothing-here")


def read_all(file: Path, parse: Any) -> list[FeedItem]:
    """All items of a file of the real market data."""
    with LineFile(market_file_or_skip(file.parent, file.name)) as opened:
        return list(parse(opened))


def test_real_binance_trades(market_data: Path) -> None:
    """All 78,638 trades of the file are read, each once."""
    events = events_of(read_all(market_data / "binance_trades_20240808.csv.gz", binance_trades))

    assert len({event.id for event in events}) == len(events) == 78_638


def test_a_real_capture(market_data: Path) -> None:
    """Trades and tickers become events; depth updates and the snapshot are counted; nothing is malformed."""
    items = read_all(market_data / "binance_raw_spot_btcusdt_20240808.gz", binance_raw)

    events = events_of([item for item in items if not isinstance(item, OtherKind)])
    kinds = [item.kind for item in items if isinstance(item, OtherKind)]
    assert len({event.id for event in events}) == len(events) == 28_040 + 9_757
    assert (kinds.count("depthUpdate"), kinds.count("depthSnapshot"), len(kinds)) == (3_451, 1, 3_452)


def test_a_real_session_of_orders(market_data: Path) -> None:
    """Every order is created once before anything happens to it, and never fills or cancels more than it has."""
    items = read_all(
        market_data / "lobster_aapl_message_10.csv", lambda read: lobster(read, symbol="AAPL", on=date(2012, 6, 21))
    )

    events = events_of([item for item in items if not isinstance(item, OtherKind)])
    left: dict[str, Decimal] = {}
    for event in events:
        if event.type == "trading.order.created":
            assert event.subject not in left
            left[event.subject] = event.data["quantity"]
        elif event.type == "trading.order.filled":
            left[event.subject] -= event.data["quantity"]
            assert left[event.subject] == event.data["leaves_quantity"] >= 0
        elif event.type == "trading.order.cancelled":
            assert left.pop(event.subject) == event.data["cancelled_quantity"]
    assert len(events) == 1_465
    assert len({event.id for event in events}) == 1_465
