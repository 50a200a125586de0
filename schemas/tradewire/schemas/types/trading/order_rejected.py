"""trading.order.rejected v2. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from .named_types import Initiator, RejectReason


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejected:
    """The order was refused; nothing of it will ever trade. Last event of an order. Published by the venue gateway, or
    by risk control before the venue saw it.
    """

    event_type: ClassVar[str] = "trading.order.rejected"
    schema_version: ClassVar[int] = 2
    aggregate: ClassVar[str] = "order_id"

    order_id: str
    """Our own id of the order, unique for ever; the client order id at the venue. Set by the trader."""
    account: str
    """Account that trades; positions are folded per (account, symbol). Set by the trader."""
    symbol: str
    """Instrument as the venue writes it, e.g. 'BTCUSDT'. Set by the trader."""
    venue: str
    """Venue the order is meant for, lower case and dotted, e.g. 'binance.spot'. Set by the trader."""
    reason: RejectReason = RejectReason.UNKNOWN
    """Why, as one of few kinds. In v1 this was free text, which is now in text. Set by the order service."""
    text: str | None = None
    """Why, in the words of whoever refused; null where there are none. Set by the refuser."""
    code: str | None = None
    """The refuser's own machine-readable code, e.g. '-2010'; null where there is none."""
    rejected_by: Initiator = Initiator.UNKNOWN
    """Who refused. Set by the order service."""
    venue_time_ns: int | None = None
    """UTC epoch nanoseconds of the venue's answer, by the venue's clock; null where it gave none."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "order_id": self.order_id,
            "account": self.account,
            "symbol": self.symbol,
            "venue": self.venue,
            "reason": self.reason,
            "text": self.text,
            "code": self.code,
            "rejected_by": self.rejected_by,
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
            reason=RejectReason(data["reason"]),
            text=data["text"],
            code=data["code"],
            rejected_by=Initiator(data["rejected_by"]),
            venue_time_ns=data["venue_time_ns"],
        )
