"""The event types of reference. Made by `tradewire schemas generate-types`; do not edit."""

from .alternative_updated import AlternativeUpdated
from .economic_updated import EconomicUpdated
from .named_types import Importance
from .onchain_updated import OnchainUpdated
from .sentiment_updated import SentimentUpdated

__all__ = [
    "AlternativeUpdated",
    "EconomicUpdated",
    "Importance",
    "OnchainUpdated",
    "SentimentUpdated",
]
