"""A raw capture of Binance websockets: ``<arrival, ns> <JSON message>`` a line, as the socket delivered it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tradewire.core import NS_PER_MS, derived_id
from tradewire.producers.errors import FeedError
from tradewire.producers.feeds.items import FeedItem, Line, OtherKind
from tradewire.schemas import Event

SOURCE: Final = "feed/binance-raw"


def parse_message(line: Line, venue: str = "binance.spot") -> Event | OtherKind:
    """A ``trade`` as ``market.trade.reported``, a ``bookTicker`` as ``market.quote.updated``; all else is another kind.

    Ids are derived from the venue's trade id or book update id, trades in the same way as in ``parse_trade``. Spot book
    tickers carry no time: theirs is the arrival.

    Raises:
        FeedError: no arrival time, not JSON, or a field of a trade or ticker is missing or wrong; names it.
    """
    arrival, _, text = line.text.partition(" ")
    received_ns = line.integer(arrival, "arrival")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise line.error(f"the message is not JSON: {error}: is the line cut off?") from error
    if not isinstance(message, dict):
        raise line.error(f"the message is {message.__class__.__name__}, not an object")
    stream, data = str(message.get("stream", "")), message.get("data", message)
    if not isinstance(data, dict):
        raise line.error(f"field data is {data.__class__.__name__}, not an object", field="data")
    kind = data.get("e") or stream.partition("@")[2]
    if kind == "trade":
        return _trade(line, data, venue, received_ns)
    if kind == "bookTicker":
        return _quote(line, data, venue, received_ns)
    if not kind:
        kind = "depthSnapshot" if "lastUpdateId" in data else "unnamed"
    return OtherKind(str(kind)[:64])


def _trade(line: Line, data: Mapping[str, Any], venue: str, received_ns: int) -> Event:
    symbol, trade_id = _symbol(line, data), str(line.integer(_field(line, data, "t"), "t"))
    maker = _field(line, data, "m")
    if not isinstance(maker, bool):
        raise line.error(f"field m is {maker!r}, not true or false", field="m")
    quantity = line.decimal(_field(line, data, "q"), "q")
    if not quantity:
        raise line.error("field q is 0: a trade has a quantity", field="q")
    id = derived_id("binance.trade", venue, symbol, trade_id)
    time_ns = line.integer(_field(line, data, "T"), "T") * NS_PER_MS
    fields = {
        "venue": venue,
        "symbol": symbol,
        "trade_id": trade_id,
        "price": line.decimal(_field(line, data, "p"), "p"),
        "quantity": quantity,
        "aggressor_side": "SELL" if maker else "BUY",
        "trade_time_ns": _in_range(line, time_ns, "T"),
        "received_time_ns": received_ns,
    }
    return _event("market.trade.reported", id, f"{venue}:{symbol}", time_ns, fields)


def _quote(line: Line, data: Mapping[str, Any], venue: str, received_ns: int) -> Event:
    symbol, update_id = _symbol(line, data), line.integer(_field(line, data, "u"), "u")
    time_ns = line.integer(data["T"], "T") * NS_PER_MS if "T" in data else received_ns
    fields = {
        "venue": venue,
        "symbol": symbol,
        "bid_price": line.decimal(_field(line, data, "b"), "b"),
        "bid_quantity": line.decimal(_field(line, data, "B"), "B"),
        "ask_price": line.decimal(_field(line, data, "a"), "a"),
        "ask_quantity": line.decimal(_field(line, data, "A"), "A"),
        "update_id": update_id,
        "quote_time_ns": _in_range(line, time_ns, "T"),
        "received_time_ns": received_ns,
    }
    id = derived_id("binance.quote", venue, symbol, update_id)
    return _event("market.quote.updated", id, f"{venue}:{symbol}", time_ns, fields)


def _event(type: str, id: str, subject: str, time_ns: int, data: Mapping[str, Any]) -> Event:
    return Event(id=id, type=type, source=SOURCE, subject=subject, time_ns=time_ns, correlation_id=id, data=data)


def _field(line: Line, data: Mapping[str, Any], name: str) -> object:
    try:
        return data[name]
    except KeyError:
        raise line.error(f"field {name} is missing", field=name) from None


def _symbol(line: Line, data: Mapping[str, Any]) -> str:
    symbol = _field(line, data, "s")
    if not isinstance(symbol, str) or not symbol.isascii() or not symbol.replace("_", "").isalnum():
        raise line.error(f"field s is {str(symbol)[:64]!r}, not letters and digits", field="s")
    return symbol


def _in_range(line: Line, time_ns: int, field: str) -> int:
    if time_ns >= 2**63:
        raise line.error(f"field {field} is past the year 2262: not milliseconds?", field=field)
    return time_ns


def binance_raw(lines: Iterable[Line | FeedError], *, venue: str = "binance.spot") -> Iterator[FeedItem]:
    """The events of a capture, in its order, other kinds and malformed lines in between; ``venue`` is not in it."""
    for line in lines:
        if isinstance(line, FeedError):
            yield line
            continue
        try:
            yield parse_message(line, venue)
        except FeedError as error:
            yield error
