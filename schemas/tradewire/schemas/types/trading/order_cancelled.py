"""trading.order.cancelled v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import Initiator


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelled:
    """All that was still open of an order is withdrawn or has lapsed; what was filled stays filled. Last event of an
    order. Published by the venue gateway.
    """

    event_type: ClassVar[str] = "trading.order.cancelled"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "order_id"

    order_id: str
    """Our own id of the order, unique for ever; the client order id at the venue. Set by the trader."""
    account: str
    """Account that trades; positions are folded per (account, symbol). Set by the trader."""
    symbol: str
    """Instrument as the venue writes it, e.g. 'BTCUSDT'. Set by the trader."""
    venue: str
    """Venue the order is meant for, lower case and dotted, e.g. 'binance.spot'. Set by the trader."""
    cancelled_quantity: Decimal
    """Quantity that was still open and is now withdrawn, in base units or contracts. Set by the venue gateway."""
    cumulative_quantity: Decimal | None = None
    """Quantity filled before; null where the venue does not tell. Set by the venue gateway."""
    cancelled_by: Initiator = Initiator.UNKNOWN
    """Who withdrew it. Set by the order service."""
    reason: str | None = None
    """Why, in the words of whoever withdrew it, e.g. 'expired'; null where unsaid."""
    venue_order_id: str | None = None
    """The venue's own id of the order; null where it gave none. Set by the venue."""
    venue_time_ns: int | None = None
    """UTC epoch nanoseconds of the venue's answer, by the venue's clock; null where it gave none."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "order_id": self.order_id,
            "account": self.account,
            "symbol": self.symbol,
            "venue": self.venue,
            "cancelled_quantity": self.cancelled_quantity,
            "cumulative_quantity": self.cumulative_quantity,
            "cancelled_by": self.cancelled_by,
            "reason": self.reason,
            "venue_order_id": self.venue_order_id,
            "venue_time_ns": self.venue_time_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            order_id=data["order_id"],
            account=data["account"],
            symbol=data["symbol"],
            venue=data["venue"],
            cancelled_quantity=data["cancelled_quantity"],
            cumulative_quantity=data["cumulative_quantity"],
            cancelled_by=Initiator(data["cancelled_by"]),
            reason=data["reason"],
            venue_order_id=data["venue_order_id"],
            venue_time_ns=data["venue_time_ns"],
        )
