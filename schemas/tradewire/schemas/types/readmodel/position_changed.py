"""readmodel.position.changed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionChanged:
    """The whole state of one position after a change; the newest replaces all before. Published by the positions
    projection from trading.order.filled.
    """

    event_type: ClassVar[str] = "readmodel.position.changed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "account:symbol"

    account: str
    """Account that holds it. Taken from the fills."""
    symbol: str
    """Instrument as the venue writes it. Taken from the fills."""
    quantity: Decimal
    """Quantity held in base units or contracts: above zero is long, below zero is short, 0 is flat. Set by the
    projection.
    """
    average_cost: Decimal
    """Average price of what is held, in quote currency for one unit; 0 when flat. Set by the projection."""
    realised_pnl: Decimal
    """Profit made so far by the average cost method, fees not deducted, in quote currency. Set by the projection."""
    unrealised_pnl: Decimal | None = None
    """Profit if closed at last_price, in quote currency; null without a price. Set by the projection."""
    last_price: Decimal | None = None
    """Price used for valuation in quote currency; null where none was seen. Set by the projection."""
    fees: Decimal
    """Sum of the fees of all fills, in their fee currency. Set by the projection."""
    fill_count: int
    """Number of fills folded in. Set by the projection."""
    opened_ns: int | None = None
    """UTC epoch nanoseconds of the fill that opened what is now held; null when flat. Set by the projection."""
    updated_ns: int
    """UTC epoch nanoseconds of the last fill or price folded in. Set by the projection."""
    cost: Decimal
    """Book value of what is held, in quote currency: paid for a long, above zero; received for a short, below zero; 0
    when flat. realised_pnl is cost minus the value of all fills, buys positive. Set by the projection.
    """
    applied: Mapping[str, int] = field(default_factory=dict)
    """Last source offset folded in, by 'topic:partition'; an event at or below it is a repeat and changes nothing. Set
    by the projection.
    """

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "account": self.account,
            "symbol": self.symbol,
            "quantity": self.quantity,
            "average_cost": self.average_cost,
            "realised_pnl": self.realised_pnl,
            "unrealised_pnl": self.unrealised_pnl,
            "last_price": self.last_price,
            "fees": self.fees,
            "fill_count": self.fill_count,
            "opened_ns": self.opened_ns,
            "updated_ns": self.updated_ns,
            "cost": self.cost,
            "applied": dict(self.applied),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            account=data["account"],
            symbol=data["symbol"],
            quantity=data["quantity"],
            average_cost=data["average_cost"],
            realised_pnl=data["realised_pnl"],
            unrealised_pnl=data["unrealised_pnl"],
            last_price=data["last_price"],
            fees=data["fees"],
            fill_count=data["fill_count"],
            opened_ns=data["opened_ns"],
            updated_ns=data["updated_ns"],
            cost=data["cost"],
            applied=data["applied"],
        )
