"""Records and enums inside the event types of strategy. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self


class Outlook(StrEnum):
    """Which way prices are expected to go. Set by the analyst."""

    UNKNOWN = "UNKNOWN"
    BULLISH = "BULLISH"
    BEARISH = "BEARISH"
    NEUTRAL = "NEUTRAL"


class RunMode(StrEnum):
    """What is at stake. LIVE: real money; PAPER: live data, no money; BACKTEST: past data; REPLAY: recorded events. Set
    by the strategy runner.
    """

    UNKNOWN = "UNKNOWN"
    LIVE = "LIVE"
    PAPER = "PAPER"
    BACKTEST = "BACKTEST"
    REPLAY = "REPLAY"


class RunStopReason(StrEnum):
    """Why a run ended. COMPLETED: its work was done; REQUESTED: an operator or the system asked; RISK: risk control
    stopped it; FAILED: an error. Set by the strategy runner.
    """

    UNKNOWN = "UNKNOWN"
    COMPLETED = "COMPLETED"
    REQUESTED = "REQUESTED"
    RISK = "RISK"
    FAILED = "FAILED"


class TradeAction(StrEnum):
    """What a signal, decision or plan wants done with the exposure. Set by the strategy."""

    UNKNOWN = "UNKNOWN"
    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"
    CLOSE = "CLOSE"
    REDUCE = "REDUCE"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One thing that the plan means to do. Set by the strategy."""

    symbol: str
    """Instrument to act on, as the venue writes it. Set by the strategy."""
    action: TradeAction = TradeAction.UNKNOWN
    """What to do with it. Set by the strategy."""
    quantity: Decimal | None = None
    """Quantity in base units or contracts; null where only a weight is set. Set by the strategy."""
    weight_ratio: Decimal | None = None
    """Wanted share of equity, 0.1 is 10 %, below zero is short; null where only a quantity is set. Set by the
    strategy.
    """
    limit_price: Decimal | None = None
    """Worst price wanted in quote currency; null for any. Set by the strategy."""
    note: str | None = None
    """More about the step; null where there is nothing to say. Set by the strategy."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "symbol": self.symbol,
            "action": self.action,
            "quantity": self.quantity,
            "weight_ratio": self.weight_ratio,
            "limit_price": self.limit_price,
            "note": self.note,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            symbol=data["symbol"],
            action=TradeAction(data["action"]),
            quantity=data["quantity"],
            weight_ratio=data["weight_ratio"],
            limit_price=data["limit_price"],
            note=data["note"],
        )
