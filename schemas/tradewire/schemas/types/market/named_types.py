"""Records and enums inside the event types of market. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self


class AlertCondition(StrEnum):
    """What the alert waits for. ABOVE and BELOW compare a level, CROSSED_* also need the other side first, CHANGE is a
    ratio over a period. Set by whoever set the alert up.
    """

    UNKNOWN = "UNKNOWN"
    PRICE_ABOVE = "PRICE_ABOVE"
    PRICE_BELOW = "PRICE_BELOW"
    PRICE_CROSSED_UP = "PRICE_CROSSED_UP"
    PRICE_CROSSED_DOWN = "PRICE_CROSSED_DOWN"
    PRICE_CHANGE = "PRICE_CHANGE"
    VOLUME_ABOVE = "VOLUME_ABOVE"


class DepthKind(StrEnum):
    """How the levels are to be read. SNAPSHOT: they replace the book; DELTA: each replaces the level of its price. Set
    by the feed adapter.
    """

    UNKNOWN = "UNKNOWN"
    SNAPSHOT = "SNAPSHOT"
    DELTA = "DELTA"


class Side(StrEnum):
    """Direction of a trade or an order. Set by the venue or the trader; UNKNOWN where it is not told."""

    UNKNOWN = "UNKNOWN"
    BUY = "BUY"
    SELL = "SELL"


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLevel:
    """One price of an order book and all the quantity on it. Set by the venue."""

    price: Decimal
    """Price of the level in quote currency. Set by the venue."""
    quantity: Decimal
    """Whole quantity now on the level in base units or contracts; 0 in a delta removes the level. Set by the venue."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "price": self.price,
            "quantity": self.quantity,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            price=data["price"],
            quantity=data["quantity"],
        )
