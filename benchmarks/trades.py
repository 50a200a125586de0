"""The events of every row: a seeded stream of ``market.trade.reported`` over 40 instruments of unequal liquidity."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Any, Final, NamedTuple

from tradewire.schemas import Contract, Event, encode_headers

TYPE: Final = "market.trade.reported"
VENUE: Final = "binance.spot"
SOURCE: Final = "bench"
INSTRUMENTS: Final = 40
_START_NS: Final = 1_767_364_200_000_000_000
_CENT: Final = Decimal("0.01")


class Trade(NamedTuple):
    """What a service hands to a publisher."""

    subject: str
    data: dict[str, Any]


class Ready(NamedTuple):
    """A record as it lies in Kafka, made before any clock runs."""

    key: bytes
    value: bytes
    headers: list[tuple[str, str | bytes | None]]


def trades(count: int, *, seed: int = 1) -> Iterator[Trade]:
    """The same seed gives the same trades. The n-th instrument trades 1/n as often as the first."""
    chance = random.Random(seed)
    symbols = [f"C{number:02d}USDT" for number in range(INSTRUMENTS)]
    cents = [chance.randrange(50, 9_000_000) for _ in symbols]
    weights = list(accumulate(1 / (number + 1) for number in range(INSTRUMENTS)))
    pick = range(INSTRUMENTS)
    time_ns = _START_NS
    for number in range(count):
        at = chance.choices(pick, cum_weights=weights)[0]
        cents[at] = max(50, cents[at] + chance.randrange(-20, 21))
        time_ns += chance.randrange(1, 80_000_000)
        yield Trade(
            f"{VENUE}:{symbols[at]}",
            {
                "venue": VENUE,
                "symbol": symbols[at],
                "trade_id": str(3_700_000_000 + number),
                "price": cents[at] * _CENT,
                "quantity": Decimal(chance.randrange(1, 2_000_000)).scaleb(-5),
                "aggressor_side": "BUY" if chance.random() < 0.5 else "SELL",
                "trade_time_ns": time_ns,
                "received_time_ns": time_ns + chance.randrange(300_000, 9_000_000),
            },
        )


def ready_records(contract: Contract, found: Sequence[Trade], *, topic: str) -> list[Ready]:
    """Keys, framed values and headers of trades, as the publisher would send them."""
    encode = contract.codec.encoder(TYPE, topic)
    chance = random.Random(0)
    made = []
    for trade in found:
        id = _id(trade.data["received_time_ns"] // 1_000_000, chance.getrandbits(74))
        event = Event(
            id=id,
            type=TYPE,
            data=trade.data,
            source=SOURCE,
            subject=trade.subject,
            time_ns=trade.data["trade_time_ns"],
            correlation_id=id,
        )
        made.append(Ready(trade.subject.encode(), encode(trade.data), [*encode_headers(event)]))
    return made


def _id(time_ms: int, bits: int) -> str:
    """A UUIDv7 as publishers make it: its first half compresses, its second does not."""
    return str(uuid.UUID(int=time_ms << 80 | 0x7 << 76 | bits >> 62 << 64 | 0b10 << 62 | bits & (1 << 62) - 1))


@dataclass(slots=True)
class Folded:
    """The last-price fold of one instrument, as every contender must end up with it."""

    price: Decimal
    trade_count: int
    volume: Decimal
    trade_time_ns: int


def folded(found: Iterable[Trade]) -> dict[str, Folded]:
    """The state by subject after all trades."""
    states: dict[str, Folded] = {}
    for subject, data in found:
        state = states.get(subject)
        if state is None:
            states[subject] = Folded(data["price"], 1, data["quantity"], data["trade_time_ns"])
            continue
        state.trade_count += 1
        state.volume += data["quantity"]
        if data["trade_time_ns"] >= state.trade_time_ns:
            state.price, state.trade_time_ns = data["price"], data["trade_time_ns"]
    return states
