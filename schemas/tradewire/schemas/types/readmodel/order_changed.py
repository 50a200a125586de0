"""readmodel.order.changed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import OrderStatus, OrderType, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanged:
    """The whole state of one order after a change; the newest replaces all before. Published by the orders projection
    from trading.order.*.
    """

    event_type: ClassVar[str] = "readmodel.order.changed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "order_id"

    order_id: str
    """Our own id of the order. Taken from its events."""
    account: str
    """Account that trades. Taken from its events."""
    symbol: str
    """Instrument as the venue writes it. Taken from its events."""
    venue: str
    """Venue the order is meant for. Taken from its events."""
    side: Side = Side.UNKNOWN
    """BUY or SELL; UNKNOWN until an event that tells it was seen. Taken from its events."""
    order_type: OrderType = OrderType.UNKNOWN
    """How the order is priced; UNKNOWN until its creation was seen. Taken from its events."""
    status: OrderStatus = OrderStatus.UNKNOWN
    """Where the order stands. Set by the projection."""
    quantity: Decimal | None = None
    """Whole quantity wanted in base units or contracts, after amendments; null until known. Set by the projection."""
    limit_price: Decimal | None = None
    """Worst price allowed in quote currency, after amendments; null where there is none. Set by the projection."""
    filled_quantity: Decimal
    """Quantity filled so far in base units or contracts. Set by the projection."""
    average_fill_price: Decimal | None = None
    """Quantity-weighted price of all fills in quote currency; null before the first. Set by the projection."""
    fees: Decimal
    """Sum of the fees of all fills, in their fee currency. Set by the projection."""
    created_ns: int
    """UTC epoch nanoseconds when the first event of the order occurred. Set by the projection."""
    updated_ns: int
    """UTC epoch nanoseconds when the last event folded in occurred. Set by the projection."""
    reason: str | None = None
    """Why it was rejected or cancelled; else null. Taken from its events."""
    event_count: int
    """Number of events folded in. Set by the projection."""
    filled_value: Decimal
    """Sum of price times quantity of all fills, in quote currency. Set by the projection."""
    fill_ids: Mapping[str, int] = field(default_factory=dict)
    """Source offset by fill_id of the fills counted, the newest 512 of them: a fill_id that is here with another offset
    is a repeat. Set by the projection.
    """
    applied: Mapping[str, int] = field(default_factory=dict)
    """Last source offset folded in, by 'topic:partition'; an event at or below it is a repeat and changes nothing. Set
    by the projection.
    """

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "order_id": self.order_id,
            "account": self.account,
            "symbol": self.symbol,
            "venue": self.venue,
            "side": self.side,
            "order_type": self.order_type,
            "status": self.status,
            "quantity": self.quantity,
            "limit_price": self.limit_price,
            "filled_quantity": self.filled_quantity,
            "average_fill_price": self.average_fill_price,
            "fees": self.fees,
            "created_ns": self.created_ns,
            "updated_ns": self.updated_ns,
            "reason": self.reason,
            "event_count": self.event_count,
            "filled_value": self.filled_value,
            "fill_ids": dict(self.fill_ids),
            "applied": dict(self.applied),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            order_id=data["order_id"],
            account=data["account"],
            symbol=data["symbol"],
            venue=data["venue"],
            side=Side(data["side"]),
            order_type=OrderType(data["order_type"]),
            status=OrderStatus(data["status"]),
            quantity=data["quantity"],
            limit_price=data["limit_price"],
            filled_quantity=data["filled_quantity"],
            average_fill_price=data["average_fill_price"],
            fees=data["fees"],
            created_ns=data["created_ns"],
            updated_ns=data["updated_ns"],
            reason=data["reason"],
            event_count=data["event_count"],
            filled_value=data["filled_value"],
            fill_ids=data["fill_ids"],
            applied=data["applied"],
        )
