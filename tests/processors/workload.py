"""A seeded stream of events for the worker: market trades, orders whose events cause each other, setups."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tradewire.core import derived_id
from tradewire.schemas import Event

NS = 1_000_000_000
START_NS = 1_700_000_000 * NS
VENUE = "binance.spot"


class Workload:
    """The same seed gives the same events, ids included. ``prefix`` keeps the keys of tests apart."""

    def __init__(self, seed: int = 1, prefix: str = "") -> None:
        self._random = random.Random(seed)
        self._ids = 0
        self._seed = seed
        self._time_ns = START_NS
        self._prefix = prefix
        self.symbols = [f"{prefix}SYM{number}" for number in range(12)]
        self.accounts = [f"{prefix}acc{number}" for number in range(4)]

    def events(self, count: int, *, orders_share: float = 0.05) -> Iterator[Event]:
        """At least ``count`` events; an order's events come together."""
        made = 0
        while made < count:
            self._time_ns += self._random.randrange(1, NS // 20)
            batch = self._order() if self._random.random() < orders_share else [self.trade()]
            made += len(batch)
            yield from batch

    def trade(self, *, late_s: int = 0) -> Event:
        symbol = self._random.choice(self.symbols)
        late_ns = self._random.randrange(0, 90 * NS) if self._random.random() < 0.02 else 0
        data = {
            "venue": VENUE,
            "symbol": symbol,
            "trade_id": str(self._ids),
            "price": self._price(),
            "quantity": self._quantity(),
            "trade_time_ns": self._time_ns - late_ns - late_s * NS,
        }
        return self._event("market.trade.reported", f"{VENUE}:{symbol}", data)

    def _order(self) -> list[Event]:
        order_id = f"{self._prefix}o{self._ids}"
        symbol, account = self._random.choice(self.symbols), self._random.choice(self.accounts)
        side = self._random.choice(["BUY", "SELL"])
        base = {"order_id": order_id, "account": account, "symbol": symbol, "venue": VENUE}
        quantity = self._quantity()
        created = self._event(
            "trading.order.created", order_id, {**base, "side": side, "order_type": "LIMIT", "quantity": quantity}
        )
        if self._random.random() < 0.1:
            why = {"reason": "OTHER", "text": "no"}
            return [created, self._event("trading.order.rejected", order_id, {**base, **why}, created)]
        accepted = self._event("trading.order.accepted", order_id, base, created)
        out = [created, accepted]
        parts = self._random.randrange(1, 4)
        done = Decimal(0)
        for part in range(parts):
            amount = quantity - done if part == parts - 1 else (quantity / parts).quantize(Decimal("1E-8"))
            if amount <= 0:
                break
            done += amount
            fill = {
                **base,
                "fill_id": f"{order_id}-{part}",
                "side": side,
                "price": self._price(),
                "quantity": amount,
                "cumulative_quantity": done,
                "leaves_quantity": quantity - done,
                "fee": Decimal("0.01"),
                "fill_time_ns": self._time_ns,
            }
            out.append(self._event("trading.order.filled", order_id, fill, accepted))
        return out

    def _price(self) -> Decimal:
        return Decimal(self._random.randrange(1_000_000, 9_000_000)).scaleb(-2)

    def _quantity(self) -> Decimal:
        return Decimal(self._random.randrange(1, 10_000_000)).scaleb(-6)

    def _event(self, type: str, subject: str, data: dict[str, Any], cause: Event | None = None) -> Event:
        self._ids += 1
        self._time_ns += 1_000
        id = derived_id("workload", self._prefix, self._seed, self._ids)
        return Event(
            id=id,
            type=type,
            data=data,
            source="tests",
            subject=subject,
            time_ns=self._time_ns,
            correlation_id=cause.correlation_id if cause else id,
            causation_id=cause.id if cause else None,
        )
