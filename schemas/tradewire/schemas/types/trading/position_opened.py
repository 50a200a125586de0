"""trading.position.opened v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionOpened:
    """An account that held nothing of an instrument now holds some. Published by a position keeper outside the
    platform; the platform's own view is readmodel.position.changed.
    """

    event_type: ClassVar[str] = "trading.position.opened"
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
    quantity: Decimal
    """Quantity now held in base units or contracts: above zero is long, below zero is short. Set by the position
    keeper.
    """
    average_cost: Decimal
    """Average price paid or received for one unit, in currency. Set by the position keeper."""
    currency: str | None = None
    """Currency of cost, P&L and fees; null means the instrument's quote currency. Set by the position keeper."""
    order_id: str | None = None
    """Order whose fill opened it; null where unknown. Set by the position keeper."""
    opened_ns: int
    """UTC epoch nanoseconds of the fill that opened it. Set by the position keeper."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "account": self.account,
            "symbol": self.symbol,
            "venue": self.venue,
            "strategy": self.strategy,
            "position_id": self.position_id,
            "quantity": self.quantity,
            "average_cost": self.average_cost,
            "currency": self.currency,
            "order_id": self.order_id,
            "opened_ns": self.opened_ns,
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
            quantity=data["quantity"],
            average_cost=data["average_cost"],
            currency=data["currency"],
            order_id=data["order_id"],
            opened_ns=data["opened_ns"],
        )
