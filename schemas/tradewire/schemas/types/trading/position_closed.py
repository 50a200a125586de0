"""trading.position.closed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import PositionSide


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionClosed:
    """An account holds nothing of an instrument any more. Published by a position keeper outside the platform."""

    event_type: ClassVar[str] = "trading.position.closed"
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
    direction: PositionSide | None = None
    """Which way it was exposed before; null where unknown. Set by the position keeper."""
    quantity_max: Decimal | None = None
    """Largest quantity held, without sign; null where not kept. Set by the position keeper."""
    average_cost: Decimal | None = None
    """Average entry price for one unit, in currency; null where not kept. Set by the position keeper."""
    average_exit_price: Decimal | None = None
    """Average exit price for one unit, in currency; null where not kept. Set by the position keeper."""
    realised_pnl: Decimal
    """Profit of the whole holding, fees not deducted, in currency. Set by the position keeper."""
    fees: Decimal | None = None
    """Fees of the whole holding in currency; null where not kept. Set by the position keeper."""
    currency: str | None = None
    """Currency of cost, P&L and fees; null means the instrument's quote currency. Set by the position keeper."""
    order_id: str | None = None
    """Order whose fill closed it; null where unknown. Set by the position keeper."""
    opened_ns: int | None = None
    """UTC epoch nanoseconds when it was opened; null where not kept. Set by the position keeper."""
    closed_ns: int
    """UTC epoch nanoseconds of the fill that closed it. Set by the position keeper."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "account": self.account,
            "symbol": self.symbol,
            "venue": self.venue,
            "strategy": self.strategy,
            "position_id": self.position_id,
            "direction": self.direction,
            "quantity_max": self.quantity_max,
            "average_cost": self.average_cost,
            "average_exit_price": self.average_exit_price,
            "realised_pnl": self.realised_pnl,
            "fees": self.fees,
            "currency": self.currency,
            "order_id": self.order_id,
            "opened_ns": self.opened_ns,
            "closed_ns": self.closed_ns,
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
            direction=None if data["direction"] is None else PositionSide(data["direction"]),
            quantity_max=data["quantity_max"],
            average_cost=data["average_cost"],
            average_exit_price=data["average_exit_price"],
            realised_pnl=data["realised_pnl"],
            fees=data["fees"],
            currency=data["currency"],
            order_id=data["order_id"],
            opened_ns=data["opened_ns"],
            closed_ns=data["closed_ns"],
        )
