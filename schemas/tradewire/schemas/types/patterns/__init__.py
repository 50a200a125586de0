"""The event types of patterns. Made by `tradewire schemas generate-types`; do not edit."""

from .keyed_changed import KeyedChanged
from .market_changed import MarketChanged
from .named_types import SeenEvent

__all__ = [
    "KeyedChanged",
    "MarketChanged",
    "SeenEvent",
]
