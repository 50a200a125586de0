"""trading.order.created v2. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import OrderType, Side, TimeInForce


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCreated:
    """A trader means to trade: the order exists on our side and no venue has answered yet. First event of an order.
    Published by the order service or the strategy.
    """

    event_type: ClassVar[str] = "trading.order.created"
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
    strategy: str | None = None
    """Strategy behind it; null for manual trading. Set by the trader."""
    side: Side = Side.UNKNOWN
    """BUY or SELL. Set by the trader."""
    order_type: OrderType = OrderType.UNKNOWN
    """How the order is priced. Set by the trader."""
    time_in_force: TimeInForce = TimeInForce.UNKNOWN
    """How long the order stays in force. Set by the trader."""
    quantity: Decimal
    """Whole quantity wanted in base units or contracts, above zero. Set by the trader."""
    limit_price: Decimal | None = None
    """Worst price allowed in quote currency; null for order types without a limit. Set by the trader."""
    stop_price: Decimal | None = None
    """Price in quote currency that activates the order; null for order types without a trigger. Set by the trader."""
    expire_time_ns: int | None = None
    """UTC epoch nanoseconds after which a GTD order lapses; else null. Set by the trader."""
    reduce_only: bool = False
    """True if the order may only make a position smaller. Set by the trader."""
    post_only: bool = False
    """True if the order must be refused rather than take liquidity. Set by the trader."""
    decision_id: str | None = None
    """The decision that led here (trading.decision.made); null where there was none. Set by the trader."""
    parent_order_id: str | None = None
    """Order that this one was sliced from or attached to; null for an order that stands alone. Set by the order
    service.
    """
    arrival_price: Decimal | None = None
    """Market price in quote currency when the order was made, which its fills are measured against (slippage); null
    where not looked at. Since v2. Set by the trader.
    """

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "order_id": self.order_id,
            "account": self.account,
            "symbol": self.symbol,
            "venue": self.venue,
            "strategy": self.strategy,
            "side": self.side,
            "order_type": self.order_type,
            "time_in_force": self.time_in_force,
            "quantity": self.quantity,
            "limit_price": self.limit_price,
            "stop_price": self.stop_price,
            "expire_time_ns": self.expire_time_ns,
            "reduce_only": self.reduce_only,
            "post_only": self.post_only,
            "decision_id": self.decision_id,
            "parent_order_id": self.parent_order_id,
            "arrival_price": self.arrival_price,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            order_id=data["order_id"],
            account=data["account"],
            symbol=data["symbol"],
            venue=data["venue"],
            strategy=data["strategy"],
            side=Side(data["side"]),
            order_type=OrderType(data["order_type"]),
            time_in_force=TimeInForce(data["time_in_force"]),
            quantity=data["quantity"],
            limit_price=data["limit_price"],
            stop_price=data["stop_price"],
            expire_time_ns=data["expire_time_ns"],
            reduce_only=data["reduce_only"],
            post_only=data["post_only"],
            decision_id=data["decision_id"],
            parent_order_id=data["parent_order_id"],
            arrival_price=data["arrival_price"],
        )
