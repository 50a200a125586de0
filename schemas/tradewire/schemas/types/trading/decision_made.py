"""trading.decision.made v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import TradeAction


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionMade:
    """A trader, human or not, decided what to do about an instrument, orders or none. Published by the decision maker
    before any order.
    """

    event_type: ClassVar[str] = "trading.decision.made"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "decision_id"

    decision_id: str
    """Id of the decision, unique for ever; orders refer to it. Set by the decision maker."""
    symbol: str
    """Instrument decided on, as the venue writes it. Set by the decision maker."""
    action: TradeAction = TradeAction.UNKNOWN
    """What to do. Set by the decision maker."""
    account: str | None = None
    """Account to trade for; null where not chosen yet. Set by the decision maker."""
    venue: str | None = None
    """Venue to trade on; null where not chosen yet. Set by the decision maker."""
    strategy: str | None = None
    """Strategy that decided; null for a person. Set by the decision maker."""
    signal_id: str | None = None
    """Signal that led here (strategy.signal.generated); null where there was none. Set by the decision maker."""
    quantity: Decimal | None = None
    """Quantity to trade in base units or contracts; null for HOLD. Set by the decision maker."""
    limit_price: Decimal | None = None
    """Worst price wanted in quote currency; null for any. Set by the decision maker."""
    stop_price: Decimal | None = None
    """Price in quote currency at which to give up; null where none. Set by the decision maker."""
    target_price: Decimal | None = None
    """Price in quote currency at which to take profit; null where none. Set by the decision maker."""
    confidence: Decimal | None = None
    """How sure the decision maker is, 0 to 1; null where it does not say."""
    reason: str | None = None
    """Why, in words for the audit; null where unsaid. Set by the decision maker."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "decision_id": self.decision_id,
            "symbol": self.symbol,
            "action": self.action,
            "account": self.account,
            "venue": self.venue,
            "strategy": self.strategy,
            "signal_id": self.signal_id,
            "quantity": self.quantity,
            "limit_price": self.limit_price,
            "stop_price": self.stop_price,
            "target_price": self.target_price,
            "confidence": self.confidence,
            "reason": self.reason,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            decision_id=data["decision_id"],
            symbol=data["symbol"],
            action=TradeAction(data["action"]),
            account=data["account"],
            venue=data["venue"],
            strategy=data["strategy"],
            signal_id=data["signal_id"],
            quantity=data["quantity"],
            limit_price=data["limit_price"],
            stop_price=data["stop_price"],
            target_price=data["target_price"],
            confidence=data["confidence"],
            reason=data["reason"],
        )
