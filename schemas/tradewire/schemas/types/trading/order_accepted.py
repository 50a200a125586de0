"""trading.order.accepted v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAccepted:
    """The venue took the order and works it. Published by the venue gateway."""

    event_type: ClassVar[str] = "trading.order.accepted"
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
            venue_order_id=data["venue_order_id"],
            venue_time_ns=data["venue_time_ns"],
        )
