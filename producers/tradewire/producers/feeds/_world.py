"""The simulated world: seeded chance, instruments, accounts, and events with ids that only the seed decides."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from tradewire.schemas import NO_TAGS, Event

SOURCE: Final = "feed/simulate"
ACCOUNTS: Final = ("alpha", "beta", "gamma")
STRATEGIES: Final = ("breakout", "mean-reversion", "momentum")
MS: Final = 1_000_000
_MASK_62: Final = (1 << 62) - 1
_VARIANT: Final = 1 << 63
MONEY_STEP: Final = Decimal("1E-8")


@dataclass(slots=True)
class Instrument:
    """An instrument and the state of its walk. Prices are counted in ticks, quantities in lots, both powers of ten."""

    venue: str
    symbol: str
    ticks: int
    tick_exponent: int
    lot_exponent: int
    lots_typical: int
    # Chance of being the next to tick, and the size of a step in millionths of the price.
    weight: float
    volatility: float
    currency: str = "USDT"
    spread_ticks: int = 1
    trades: int = 0
    updates: int = 0
    subject: str = field(init=False)

    def __post_init__(self) -> None:
        self.subject = f"{self.venue}:{self.symbol}"

    def price(self, ticks: int) -> Decimal:
        return Decimal(ticks).scaleb(self.tick_exponent)

    def quantity(self, lots: int) -> Decimal:
        return Decimal(lots).scaleb(self.lot_exponent)


def instruments() -> tuple[Instrument, ...]:
    """A fresh set at its opening prices."""
    return (
        Instrument("binance.spot", "BTCUSDT", 6_184_000, -2, -5, 2_000, 0.30, 60),
        Instrument("binance.spot", "ETHUSDT", 268_400, -2, -4, 4_000, 0.22, 80),
        Instrument("binance.spot", "SOLUSDT", 15_420, -2, -3, 9_000, 0.14, 120),
        Instrument("binance.usdm", "1000PEPEUSDT", 84_310, -7, 0, 120_000, 0.12, 200),
        Instrument("binance.spot", "XRPUSDT", 6_100, -4, 0, 900, 0.08, 150),
        Instrument("xnas", "AAPL", 21_331, -2, 0, 100, 0.07, 40, "USD"),
        Instrument("xnas", "NVDA", 10_495, -2, 0, 150, 0.05, 90, "USD"),
        Instrument("xnas", "TSLA", 19_876, -2, 0, 80, 0.02, 110, "USD"),
    )


class World:
    """Chance, time and the making of events.

    Only ``random()``, ``getrandbits`` and the four operations are used: their results are the same on every machine,
    which those of ``log`` or ``**`` need not be.
    """

    def __init__(self, seed: int, start_ns: int) -> None:
        chance = random.Random(seed)
        self.random = chance.random
        self._bits = chance.getrandbits
        self.now_ns = start_ns
        self.instruments = instruments()
        self._thresholds: list[float] = []
        total = 0.0
        for instrument in self.instruments:
            total += instrument.weight
            self._thresholds.append(total)

    def pick(self) -> Instrument:
        """An instrument by weight."""
        drawn = self.random() * self._thresholds[-1]
        for index, threshold in enumerate(self._thresholds):
            if drawn < threshold:
                return self.instruments[index]
        return self.instruments[-1]

    def between(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both possible."""
        return low + int(self.random() * (high - low + 1))

    def one_of(self, *choices: str) -> str:
        return choices[int(self.random() * len(choices))]

    def delay(self, low_ms: int, high_ms: int) -> int:
        """Nanoseconds; short ones are likelier than long ones."""
        drawn = self.random()
        return int((low_ms + (high_ms - low_ms) * drawn * drawn) * MS)

    def id(self) -> str:
        """A UUIDv7 of the simulated time whose random part comes from the seed."""
        bits = self._bits(74)
        digits = f"{self.now_ns // MS:012x}7{bits >> 62:03x}{_VARIANT | bits & _MASK_62:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def event(
        self,
        type: str,
        subject: str,
        data: Mapping[str, Any],
        cause: Event | None = None,
        sequence: int | None = None,
        id: str | None = None,
    ) -> Event:
        """An event now: caused by ``cause`` and in its flow, or the root of its own."""
        id = id or self.id()
        return Event(
            id=id,
            type=type,
            data=data,
            source=SOURCE,
            subject=subject,
            time_ns=self.now_ns,
            correlation_id=cause.correlation_id if cause is not None else id,
            causation_id=cause.id if cause is not None else None,
            sequence=sequence,
            tags=NO_TAGS,
        )
