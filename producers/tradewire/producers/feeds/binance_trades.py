"""Trades of Binance as CSV with a header: ``market,symbol,trade_id,price,qty,buyer_is_maker,trade_ts_ms`` and more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tradewire.core import NS_PER_MS, derived_id
from tradewire.producers.errors import FeedError
from tradewire.producers.feeds.items import FeedItem, Line
from tradewire.schemas import Event

SOURCE: Final = "feed/binance-trades"
REQUIRED: Final = ("recv_ts_ns", "trade_ts_ms", "market", "symbol", "trade_id", "price", "qty", "buyer_is_maker")
MARKETS: Final = ("spot", "usdm", "cm")

Columns = Mapping[str, int]


def columns_of(header: Line) -> Columns:
    """Where each column stands; further columns are ignored.

    Raises:
        FeedError: a required column is missing.
    """
    columns = {name.strip(): index for index, name in enumerate(header.text.split(","))}
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise header.error(
            f"the header lacks {', '.join(missing)}: is this a file of Binance trades?", field=missing[0]
        )
    return columns


def parse_trade(line: Line, columns: Columns) -> Event:
    """One trade as ``market.trade.reported`` of ``binance.<market>:<symbol>``.

    The id is derived from market, symbol and trade id: the same trade read again, from any file, is the same event.

    Raises:
        FeedError: names the field.
    """
    fields = line.text.split(",")
    if len(fields) < len(columns):
        raise line.error(f"{len(fields)} fields where the header has {len(columns)}: is the line cut off?")
    market, symbol = fields[columns["market"]], fields[columns["symbol"]]
    if market not in MARKETS:
        raise line.error(f"field market is {market[:64]!r}, not one of {', '.join(MARKETS)}", field="market")
    if not symbol.replace("_", "").isalnum() or not symbol.isascii():
        raise line.error(f"field symbol is {symbol[:64]!r}, not letters and digits", field="symbol")
    maker = fields[columns["buyer_is_maker"]]
    if maker not in ("0", "1"):
        raise line.error(f"field buyer_is_maker is {maker[:64]!r}, not 0 or 1", field="buyer_is_maker")
    trade_id = str(line.integer(fields[columns["trade_id"]], "trade_id"))
    trade_ms = line.integer(fields[columns["trade_ts_ms"]], "trade_ts_ms")
    if trade_ms >= 2**63 // NS_PER_MS:
        raise line.error(f"field trade_ts_ms is {trade_ms}: nanoseconds instead of milliseconds?", field="trade_ts_ms")
    quantity = line.decimal(fields[columns["qty"]], "qty")
    if not quantity:
        raise line.error("field qty is 0: a trade has a quantity", field="qty")
    venue = f"binance.{market}"
    id = derived_id("binance.trade", venue, symbol, trade_id)
    return Event(
        id=id,
        type="market.trade.reported",
        source=SOURCE,
        subject=f"{venue}:{symbol}",
        time_ns=trade_ms * NS_PER_MS,
        correlation_id=id,
        data={
            "venue": venue,
            "symbol": symbol,
            "trade_id": trade_id,
            "price": line.decimal(fields[columns["price"]], "price"),
            "quantity": quantity,
            "aggressor_side": "SELL" if maker == "1" else "BUY",
            "trade_time_ns": trade_ms * NS_PER_MS,
            "received_time_ns": line.integer(fields[columns["recv_ts_ns"]], "recv_ts_ns"),
        },
    )


def binance_trades(lines: Iterable[Line | FeedError]) -> Iterator[FeedItem]:
    """The events of a file, in its order; malformed lines as FeedErrors in between.

    Raises:
        FeedError: the first line is not a header with the required columns, so no line could be understood.
    """
    columns: Columns | None = None
    for line in lines:
        if isinstance(line, FeedError):
            yield line
        elif columns is None:
            columns = columns_of(line)
        else:
            try:
                yield parse_trade(line, columns)
            except FeedError as error:
                yield error
