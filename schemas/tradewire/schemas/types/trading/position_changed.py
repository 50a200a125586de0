"""trading.position.changed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionChanged:
    """A position grew, shrank, turned round or was re-valued, and is still open. Published by a position keeper outside
    the platform.
    """

    event_type: ClassVar[str] = "trading.position.changed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "account:symbol"

    account: str
    """Account that holds the position. Set by the position keeper."""
    symbol: str
    """Instrument held, as the venue writes it. Set by the position keeper."""
    venue: str | None = None
    """Venue where it is held; null where several are netted. Set by the position keeper."""
    strategy: str | None = None
    """Strategy it is booked to; null where positions are not kept per strategy. Set by the position keeper."""
    position_id: str | None = None
    """Id of this holding, from opened to closed; null where the keeper gives none."""
    previous_quantity: Decimal
    """Quantity held before, signed as quantity. Set by the position keeper."""
    quantity: Decimal
    """Quantity now held: above zero is long, below zero is short; equal to previous_quantity when only the valuation
    changed. Set by the position keeper.
    """
    average_cost: Decimal
    """Average price of what is now held for one unit, in currency. Set by the position keeper."""
    realised_pnl: Decimal
    """Profit made so far by this holding, fees not deducted, in currency. Set by the position keeper."""
    unrealised_pnl: Decimal | None = None
    """Profit if closed at last_price, in currency; null without a price. Set by the position keeper."""
    last_price: Decimal | None = None
    """Price used for valuation, in quote currency; null where not valued. Set by the position keeper."""
    currency: str | None = None
    """Currency of cost, P&L and fees; null means the instrument's quote currency. Set by the position keeper."""
    order_id: str | None = None
    """Order whose fill changed it; null where no fill did. Set by the position keeper."""
    changed_ns: int
    """UTC epoch nanoseconds of the fill or price that changed it. Set by the position keeper."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "account": self.account,
            "symbol": self.symbol,
            "venue": self.venue,
            "strategy": self.strategy,
            "position_id": self.position_id,
            "previous_quantity": self.previous_quantity,
            "quantity": self.quantity,
            "average_cost": self.average_cost,
            "realised_pnl": self.realised_pnl,
            "unrealised_pnl": self.unrealised_pnl,
            "last_price": self.last_price,
            "currency": self.currency,
            "order_id": self.order_id,
            "changed_ns": self.changed_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            account=data["account"],
            symbol=data["symbol"],
            venue=data["venue"],
            strategy=data["strategy"],
            position_id=data["position_id"],
            previous_quantity=data["previous_quantity"],
            quantity=data["quantity"],
            average_cost=data["average_cost"],
            realised_pnl=data["realised_pnl"],
            unrealised_pnl=data["unrealised_pnl"],
            last_price=data["last_price"],
            currency=data["currency"],
            order_id=data["order_id"],
            changed_ns=data["changed_ns"],
        )
