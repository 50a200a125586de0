"""Feeds: files and a simulation as events. Parsers are pure; ``run_feed`` publishes what they yield."""

from tradewire.producers.feeds.binance_raw import binance_raw
from tradewire.producers.feeds.binance_trades import binance_trades
from tradewire.producers.feeds.items import FeedItem, Line, LineFile, OtherKind
from tradewire.producers.feeds.lobster import lobster, session_of
from tradewire.producers.feeds.runner import FeedProgress, FeedResult, run_feed
from tradewire.producers.feeds.simulate import simulate

__all__ = [
    "FeedItem",
    "FeedProgress",
    "FeedResult",
    "Line",
    "LineFile",
    "OtherKind",
    "binance_raw",
    "binance_trades",
    "lobster",
    "run_feed",
    "session_of",
    "simulate",
]
