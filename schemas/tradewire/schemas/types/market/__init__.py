"""The event types of market. Made by `tradewire schemas generate-types`; do not edit."""

from .alert_triggered import AlertTriggered
from .candle_closed import CandleClosed
from .depth_updated import DepthUpdated
from .named_types import AlertCondition, DepthKind, PriceLevel, Side
from .quote_updated import QuoteUpdated
from .regime_changed import RegimeChanged
from .trade_reported import TradeReported

__all__ = [
    "AlertCondition",
    "AlertTriggered",
    "CandleClosed",
    "DepthKind",
    "DepthUpdated",
    "PriceLevel",
    "QuoteUpdated",
    "RegimeChanged",
    "Side",
    "TradeReported",
]
