"""trading.order.amended v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import Initiator


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAmended:
    """A working order was changed and lives on. A partial cancellation is an amendment to a smaller quantity. Null
    means unchanged. Published by the venue gateway.
    """

    event_type: ClassVar[str] = "trading.order.amended"
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
    quantity: Decimal | None = None
    """New whole quantity in base units or contracts, what is already filled included; null if unchanged. Set by the
    trader.
    """
    limit_price: Decimal | None = None
    """New limit price in quote currency; null if unchanged. Set by the trader."""
    stop_price: Decimal | None = None
    """New trigger price in quote currency; null if unchanged. Set by the trader."""
    leaves_quantity: Decimal | None = None
    """Quantity still open after the change; null where the venue does not tell. Set by the venue gateway."""
    amended_by: Initiator = Initiator.UNKNOWN
    """Who changed it. Set by the order service."""
    reason: str | None = None
    """Why, in the words of whoever changed it; null where unsaid."""
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
            "quantity": self.quantity,
            "limit_price": self.limit_price,
            "stop_price": self.stop_price,
            "leaves_quantity": self.leaves_quantity,
            "amended_by": self.amended_by,
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
            quantity=data["quantity"],
            limit_price=data["limit_price"],
            stop_price=data["stop_price"],
            leaves_quantity=data["leaves_quantity"],
            amended_by=Initiator(data["amended_by"]),
            reason=data["reason"],
            venue_order_id=data["venue_order_id"],
            venue_time_ns=data["venue_time_ns"],
        )
