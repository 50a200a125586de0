"""Records and enums inside the event types of trading. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self


class Initiator(StrEnum):
    """Who brought the change about. Set by the order service."""

    UNKNOWN = "UNKNOWN"
    TRADER = "TRADER"
    STRATEGY = "STRATEGY"
    RISK = "RISK"
    VENUE = "VENUE"
    SYSTEM = "SYSTEM"


class Liquidity(StrEnum):
    """Whether the fill made or took liquidity. Set by the venue."""

    UNKNOWN = "UNKNOWN"
    MAKER = "MAKER"
    TAKER = "TAKER"


class OrderType(StrEnum):
    """How an order is priced and triggered. Set by the trader."""

    UNKNOWN = "UNKNOWN"
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"
    TRAILING_STOP = "TRAILING_STOP"


class PositionSide(StrEnum):
    """Which way a holding was exposed. Set by the position keeper."""

    UNKNOWN = "UNKNOWN"
    LONG = "LONG"
    SHORT = "SHORT"


class RejectReason(StrEnum):
    """Why an order was refused, for grouping, after FIX tag 103. WOULD_TAKE: a post-only order would have traded at
    once. Set by the order service.
    """

    UNKNOWN = "UNKNOWN"
    OTHER = "OTHER"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    RISK_LIMIT = "RISK_LIMIT"
    PRICE_OUT_OF_RANGE = "PRICE_OUT_OF_RANGE"
    QUANTITY_OUT_OF_RANGE = "QUANTITY_OUT_OF_RANGE"
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    MARKET_CLOSED = "MARKET_CLOSED"
    DUPLICATE_ORDER = "DUPLICATE_ORDER"
    WOULD_TAKE = "WOULD_TAKE"
    RATE_LIMITED = "RATE_LIMITED"


class Side(StrEnum):
    """Direction of a trade or an order. Set by the venue or the trader; UNKNOWN where it is not told."""

    UNKNOWN = "UNKNOWN"
    BUY = "BUY"
    SELL = "SELL"


class TimeInForce(StrEnum):
    """How long an order stays in force. GTC: until cancelled; IOC: fill what is possible at once; FOK: all at once or
    nothing; DAY: until the session ends; GTD: until expire_time_ns; AT_OPEN and AT_CLOSE: in that auction. Set by the
    trader.
    """

    UNKNOWN = "UNKNOWN"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    DAY = "DAY"
    GTD = "GTD"
    AT_OPEN = "AT_OPEN"
    AT_CLOSE = "AT_CLOSE"


class TradeAction(StrEnum):
    """What a signal, decision or plan wants done with the exposure. Set by the strategy."""

    UNKNOWN = "UNKNOWN"
    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"
    CLOSE = "CLOSE"
    REDUCE = "REDUCE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One instrument in a portfolio. Set by the portfolio service."""

    symbol: str
    """Instrument held, as the venue writes it. Set by the portfolio service."""
    quantity: Decimal
    """Quantity held: above zero is long, below zero is short. Set by the portfolio service."""
    average_cost: Decimal | None = None
    """Average price of one unit in currency; null where not kept. Set by the portfolio service."""
    last_price: Decimal | None = None
    """Price used for valuation in currency; null where not valued. Set by the portfolio service."""
    market_value: Decimal | None = None
    """Worth at last_price in currency, below zero when short; null where not valued. Set by the portfolio service."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "symbol": self.symbol,
            "quantity": self.quantity,
            "average_cost": self.average_cost,
            "last_price": self.last_price,
            "market_value": self.market_value,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            symbol=data["symbol"],
            quantity=data["quantity"],
            average_cost=data["average_cost"],
            last_price=data["last_price"],
            market_value=data["market_value"],
        )
