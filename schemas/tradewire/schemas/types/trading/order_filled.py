"""trading.order.filled v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import Liquidity, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilled:
    """Part or all of an order traded. leaves_quantity 0 ends the order. Published by the venue gateway, once per
    execution.
    """

    event_type: ClassVar[str] = "trading.order.filled"
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
    strategy: str | None = None
    """Strategy behind it; null for manual trading. Set by the trader."""
    fill_id: str
    """Id of this execution, unique within the order; a repeat of it is the same fill. Set by the venue."""
    side: Side = Side.UNKNOWN
    """Side of our order. Set by the venue gateway."""
    price: Decimal
    """Price of this execution in quote currency. Set by the venue."""
    quantity: Decimal
    """Quantity of this execution in base units or contracts, above zero. Set by the venue."""
    cumulative_quantity: Decimal
    """Quantity of the order filled so far, this fill included. Set by the venue gateway."""
    leaves_quantity: Decimal
    """Quantity still open after this fill; 0 when the order is done. Set by the venue gateway."""
    fee: Decimal
    """Fee of this execution in fee_currency: above zero is paid, below zero is a rebate, 0 when the venue charges none.
    Set by the venue.
    """
    fee_currency: str | None = None
    """Currency of the fee, e.g. 'USDT'; null means the instrument's quote currency. Set by the venue."""
    liquidity: Liquidity = Liquidity.UNKNOWN
    """Whether we made or took liquidity. Set by the venue."""
    venue_order_id: str | None = None
    """The venue's own id of the order; null where it gave none. Set by the venue."""
    trade_id: str | None = None
    """The venue's id of the public trade (market.trade.reported); null where it is not told. Set by the venue."""
    fill_time_ns: int
    """UTC epoch nanoseconds of the execution, by the venue's clock."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "order_id": self.order_id,
            "account": self.account,
            "symbol": self.symbol,
            "venue": self.venue,
            "strategy": self.strategy,
            "fill_id": self.fill_id,
            "side": self.side,
            "price": self.price,
            "quantity": self.quantity,
            "cumulative_quantity": self.cumulative_quantity,
            "leaves_quantity": self.leaves_quantity,
            "fee": self.fee,
            "fee_currency": self.fee_currency,
            "liquidity": self.liquidity,
            "venue_order_id": self.venue_order_id,
            "trade_id": self.trade_id,
            "fill_time_ns": self.fill_time_ns,
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
            fill_id=data["fill_id"],
            side=Side(data["side"]),
            price=data["price"],
            quantity=data["quantity"],
            cumulative_quantity=data["cumulative_quantity"],
            leaves_quantity=data["leaves_quantity"],
            fee=data["fee"],
            fee_currency=data["fee_currency"],
            liquidity=Liquidity(data["liquidity"]),
            venue_order_id=data["venue_order_id"],
            trade_id=data["trade_id"],
            fill_time_ns=data["fill_time_ns"],
        )
