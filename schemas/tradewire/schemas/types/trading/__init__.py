"""The event types of trading. Made by `tradewire schemas generate-types`; do not edit."""

from .decision_made import DecisionMade
from .named_types import (
    Holding,
    Initiator,
    Liquidity,
    OrderType,
    PositionSide,
    RejectReason,
    Side,
    TimeInForce,
    TradeAction,
)
from .order_accepted import OrderAccepted
from .order_amended import OrderAmended
from .order_cancelled import OrderCancelled
from .order_created import OrderCreated
from .order_filled import OrderFilled
from .order_rejected import OrderRejected
from .portfolio_updated import PortfolioUpdated
from .position_changed import PositionChanged
from .position_closed import PositionClosed
from .position_opened import PositionOpened

__all__ = [
    "DecisionMade",
    "Holding",
    "Initiator",
    "Liquidity",
    "OrderAccepted",
    "OrderAmended",
    "OrderCancelled",
    "OrderCreated",
    "OrderFilled",
    "OrderRejected",
    "OrderType",
    "PortfolioUpdated",
    "PositionChanged",
    "PositionClosed",
    "PositionOpened",
    "PositionSide",
    "RejectReason",
    "Side",
    "TimeInForce",
    "TradeAction",
]
