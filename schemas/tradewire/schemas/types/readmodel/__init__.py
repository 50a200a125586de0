"""The event types of readmodel. Made by `tradewire schemas generate-types`; do not edit."""

from .candle_changed import CandleChanged
from .last_price_changed import LastPriceChanged
from .named_types import Candle, OrderStatus, OrderType, Side
from .order_changed import OrderChanged
from .position_changed import PositionChanged

__all__ = [
    "Candle",
    "CandleChanged",
    "LastPriceChanged",
    "OrderChanged",
    "OrderStatus",
    "OrderType",
    "PositionChanged",
    "Side",
]
