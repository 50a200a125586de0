"""LOBSTER order messages of NASDAQ: ``time,type,order_id,size,price*10^4,direction`` a line, without a header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from tradewire.core import NS_PER_SECOND, derived_id
from tradewire.producers.errors import FeedError
from tradewire.producers.feeds.items import FeedItem, Line, OtherKind
from tradewire.schemas import Event

SOURCE: Final = "feed/lobster"
VENUE: Final = "xnas"
# The messages do not say whose orders they are.
ACCOUNT: Final = "anonymous"
DEFAULT_DATE: Final = date(2012, 6, 21)
_TIME: Final = re.compile(r"([0-9]{1,5})(?:\.([0-9]{1,9}))?")
_OFFICIAL_NAME: Final = re.compile(r"([A-Za-z.]+)_([0-9]{4}-[0-9]{2}-[0-9]{2})_")
_SAMPLE_NAME: Final = re.compile(r"lobster_([A-Za-z.]+)_", re.IGNORECASE)
_NEW, _REDUCED, _DELETED, _EXECUTED, _HIDDEN, _CROSS, _HALT = "1", "2", "3", "4", "5", "6", "7"


def session_of(path: Path, symbol: str | None = None, on: date | None = None) -> tuple[str, date]:
    """Symbol and session date: as given, else out of the file's name, else AAPL and 2012-06-21 of the free sample."""
    official, sample = _OFFICIAL_NAME.match(path.name), _SAMPLE_NAME.match(path.name)
    named = official or sample
    if symbol is None:
        symbol = named.group(1).upper() if named else "AAPL"
    if on is None:
        on = date.fromisoformat(official.group(2)) if official else DEFAULT_DATE
    return symbol, on


@dataclass(slots=True)
class _Order:
    """An order that works at the venue."""

    id: str
    side: str
    quantity: int
    leaves: int
    filled: int
    sequence: int
    correlation_id: str
    last_event_id: str


class Lobster:
    """Folds the messages of one session of one symbol into the life cycles of its orders.

    A new order is created and accepted; partial cancellations amend it, a deletion cancels it, executions fill it. The
    events of an order share a correlation id derived from date, symbol and order id, each is caused by the one before
    it, and their ids are derived as well: the same file gives the same events. Prices keep their four places.

    Orders that rested before the file began have no known size: what is executed of them is reported as a trade, which
    is certain, and no order event claims more; their cancellations are another kind. Executions of hidden orders and
    auctions are trades for the same reason. Trading halts are another kind.
    """

    def __init__(self, symbol: str, on: date) -> None:
        self._symbol = symbol
        self._date = on.isoformat()
        midnight = datetime(on.year, on.month, on.day, tzinfo=ZoneInfo("America/New_York"))
        self._midnight_ns = int(midnight.timestamp()) * NS_PER_SECOND
        self._orders: dict[str, _Order] = {}

    def fold(self, line: Line) -> list[Event] | OtherKind:
        """The events of one message. After a FeedError the message has changed nothing.

        Raises:
            FeedError: a field is missing or wrong, an order is created twice, or more is taken from it than it has.
        """
        fields = line.text.split(",")
        if len(fields) < 6:
            raise line.error(f"{len(fields)} fields instead of time, type, order_id, size, price, direction")
        kind = fields[1]
        time_ns = self._time_ns(line, fields[0])
        if kind == _HALT:
            return OtherKind("trading halt")
        if kind not in (_NEW, _REDUCED, _DELETED, _EXECUTED, _HIDDEN, _CROSS):
            raise line.error(f"field type is {kind[:16]!r}, not a number from 1 to 7", field="type")
        size = line.integer(fields[3], "size")
        if size == 0:
            raise line.error("field size is 0", field="size")
        price = Decimal(line.integer(fields[4], "price")).scaleb(-4)
        if fields[5] not in ("1", "-1"):
            raise line.error(f"field direction is {fields[5][:16]!r}, not 1 or -1", field="direction")
        side = "BUY" if fields[5] == "1" else "SELL"
        if kind in (_HIDDEN, _CROSS):
            return [self._trade(line, time_ns, size, price, "UNKNOWN" if kind == _CROSS else side)]
        venue_order_id = str(line.integer(fields[2], "order_id"))
        order = self._orders.get(venue_order_id)
        if kind == _NEW:
            if order is not None:
                raise line.error(f"order {venue_order_id} is created twice", field="order_id")
            return self._created(venue_order_id, time_ns, side, size, price)
        if order is None:
            if kind == _EXECUTED:
                return [self._trade(line, time_ns, size, price, side)]
            return OtherKind("cancellation of an order from before the file")
        if size > order.leaves or (kind == _DELETED and size != order.leaves):
            raise line.error(f"{size} of order {venue_order_id}, which has {order.leaves} left", field="size")
        if kind == _EXECUTED:
            return [self._filled(venue_order_id, order, time_ns, size, price)]
        if kind == _DELETED or size == order.leaves:
            return [self._cancelled(venue_order_id, order, time_ns)]
        return [self._amended(venue_order_id, order, time_ns, size)]

    def _time_ns(self, line: Line, text: str) -> int:
        match = _TIME.fullmatch(text)
        if match is None or int(match.group(1)) >= 86_400:
            raise line.error(f"field time is {text[:32]!r}, not seconds after midnight", field="time")
        return self._midnight_ns + int(match.group(1)) * NS_PER_SECOND + int((match.group(2) or "0").ljust(9, "0"))

    def _trade(self, line: Line, time_ns: int, size: int, price: Decimal, resting_side: str) -> Event:
        """A print; who took liquidity is on the other side of the order that rested."""
        id = derived_id("lobster.trade", self._date, self._symbol, line.number)
        aggressor = {"BUY": "SELL", "SELL": "BUY"}.get(resting_side, "UNKNOWN")
        return Event(
            id=id,
            type="market.trade.reported",
            source=SOURCE,
            subject=f"{VENUE}:{self._symbol}",
            time_ns=time_ns,
            correlation_id=id,
            data={
                "venue": VENUE,
                "symbol": self._symbol,
                "trade_id": id,
                "price": price,
                "quantity": Decimal(size),
                "aggressor_side": aggressor,
                "trade_time_ns": time_ns,
            },
        )

    def _created(self, venue_order_id: str, time_ns: int, side: str, size: int, price: Decimal) -> list[Event]:
        flow = derived_id("lobster.order", self._date, self._symbol, venue_order_id)
        order_id = f"{self._symbol}-{self._date}-{venue_order_id}"
        order = _Order(order_id, side, size, size, 0, 0, flow, "")
        created = self._event(
            order,
            "trading.order.created",
            time_ns,
            {"side": side, "order_type": "LIMIT", "quantity": Decimal(size), "limit_price": price},
        )
        accepted = self._event(
            order, "trading.order.accepted", time_ns, {"venue_order_id": venue_order_id, "venue_time_ns": time_ns}
        )
        self._orders[venue_order_id] = order
        return [created, accepted]

    def _filled(self, venue_order_id: str, order: _Order, time_ns: int, size: int, price: Decimal) -> Event:
        order.leaves -= size
        order.filled += size
        if not order.leaves:
            del self._orders[venue_order_id]
        data = {
            "fill_id": f"{order.id}-{order.sequence + 1}",
            "side": order.side,
            "price": price,
            "quantity": Decimal(size),
            "cumulative_quantity": Decimal(order.filled),
            "leaves_quantity": Decimal(order.leaves),
            "fee": Decimal(0),
            "liquidity": "MAKER",
            "venue_order_id": venue_order_id,
            "fill_time_ns": time_ns,
        }
        return self._event(order, "trading.order.filled", time_ns, data)

    def _amended(self, venue_order_id: str, order: _Order, time_ns: int, size: int) -> Event:
        order.leaves -= size
        order.quantity -= size
        data = {
            "quantity": Decimal(order.quantity),
            "leaves_quantity": Decimal(order.leaves),
            "amended_by": "TRADER",
            "reason": f"{size} of it cancelled",
            "venue_order_id": venue_order_id,
            "venue_time_ns": time_ns,
        }
        return self._event(order, "trading.order.amended", time_ns, data)

    def _cancelled(self, venue_order_id: str, order: _Order, time_ns: int) -> Event:
        del self._orders[venue_order_id]
        data = {
            "cancelled_quantity": Decimal(order.leaves),
            "cumulative_quantity": Decimal(order.filled),
            "cancelled_by": "TRADER",
            "venue_order_id": venue_order_id,
            "venue_time_ns": time_ns,
        }
        return self._event(order, "trading.order.cancelled", time_ns, data)

    def _event(self, order: _Order, type: str, time_ns: int, data: dict[str, Any]) -> Event:
        order.sequence += 1
        cause, order.last_event_id = order.last_event_id, derived_id(order.correlation_id, order.sequence)
        base = {"order_id": order.id, "account": ACCOUNT, "symbol": self._symbol, "venue": VENUE}
        return Event(
            id=order.last_event_id,
            type=type,
            source=SOURCE,
            subject=order.id,
            time_ns=time_ns,
            correlation_id=order.correlation_id,
            causation_id=cause or None,
            sequence=order.sequence,
            data=base | data,
        )


def lobster(lines: Iterable[Line | FeedError], *, symbol: str, on: date) -> Iterator[FeedItem]:
    """The events of a session, in the file's order, other kinds and malformed lines in between; see ``Lobster``."""
    session = Lobster(symbol, on)
    for line in lines:
        if isinstance(line, FeedError):
            yield line
            continue
        try:
            folded = session.fold(line)
        except FeedError as error:
            yield error
            continue
        if isinstance(folded, OtherKind):
            yield folded
        else:
            yield from folded
