"""The four calls that trading services make most, with their fields as arguments.

Each is ``publish`` of one event type: the same order, limits, errors and handle. Amounts are Decimals, never floats;
what is not known is left out. The last arguments are those of ``publish`` (``idempotency_key`` and so on).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, TypedDict, Unpack

from tradewire.core import new_id
from tradewire.producers.delivery import Delivery

Side = Literal["UNKNOWN", "BUY", "SELL"]
Action = Literal["UNKNOWN", "BUY", "SELL", "HOLD", "CLOSE", "REDUCE"]
Direction = Literal["UNKNOWN", "LONG", "SHORT"]
_Draft = tuple[str, dict[str, Any], str]


class Attributes(TypedDict, total=False):
    """What ``publish`` takes besides type, data and subject."""

    source: str | None
    time_ns: int | None
    id: str | None
    idempotency_key: str | None
    sequence: int | None
    tags: Mapping[str, str] | None
    correlation_id: str | None
    causation_id: str | None


class MarketData(TypedDict, total=False):
    """What may be left out of market data. Without ``trade_id`` a new id is made."""

    trade_id: str | None
    aggressor_side: Side
    trade_time_ns: int | None
    received_time_ns: int | None


class Signal(TypedDict, total=False):
    """What may be left out of a signal. Without ``signal_id`` a new id is made."""

    signal_id: str | None
    venue: str | None
    confidence: Decimal | None
    price: Decimal | None
    target_price: Decimal | None
    stop_price: Decimal | None
    horizon_ms: int | None
    model_id: str | None
    setup_id: str | None
    run_id: str | None
    features: Mapping[str, Decimal]
    reason: str | None


class Holding(TypedDict, total=False):
    """An instrument held; ``symbol`` and ``quantity`` (below zero is short) are needed."""

    symbol: str
    quantity: Decimal
    average_cost: Decimal | None
    last_price: Decimal | None
    market_value: Decimal | None


class Portfolio(TypedDict, total=False):
    """What may be left out of a portfolio. Without ``as_of_ns`` the figures are of now."""

    cash: Decimal | None
    buying_power: Decimal | None
    margin_used: Decimal | None
    realised_pnl: Decimal | None
    unrealised_pnl: Decimal | None
    holdings: Sequence[Holding]
    balances: Mapping[str, Decimal]
    as_of_ns: int | None


class ParsedSetup(TypedDict, total=False):
    """A setup found in a message; ``ticker`` is needed."""

    setup_id: str | None
    ticker: str
    direction: Direction
    confidence: Decimal | None


def market_data(symbol: str, venue: str, price: Decimal, quantity: Decimal, more: MarketData) -> _Draft:
    """A ``market.trade.reported`` keyed by venue and symbol."""
    data: dict[str, Any] = {"venue": venue, "symbol": symbol, "price": price, "quantity": quantity, **more}
    data["trade_id"] = more.get("trade_id") or new_id()
    if data.get("trade_time_ns") is None:
        data["trade_time_ns"] = time.time_ns()
    return "market.trade.reported", data, f"{venue}:{symbol}"


def trading_signal(strategy: str, symbol: str, action: Action, more: Signal) -> _Draft:
    """A ``strategy.signal.generated`` keyed by strategy."""
    data: dict[str, Any] = {"strategy": strategy, "symbol": symbol, "action": action, **more}
    data["signal_id"] = more.get("signal_id") or new_id()
    return "strategy.signal.generated", data, strategy


def portfolio_update(account: str, currency: str, equity: Decimal, more: Portfolio) -> _Draft:
    """A ``trading.portfolio.updated`` keyed by account."""
    data: dict[str, Any] = {"account": account, "currency": currency, "equity": equity, **more}
    if data.get("as_of_ns") is None:
        data["as_of_ns"] = time.time_ns()
    return "trading.portfolio.updated", data, account


def setup_parsed(
    message_id: str, setups: Sequence[ParsedSetup], channel_id: str | None, parser: str | None, duration_ms: int | None
) -> _Draft:
    """A ``setup.parse.completed`` keyed by message; ticker and lowest confidence are those of ``setups``."""
    rated = [confidence for setup in setups if (confidence := setup.get("confidence")) is not None]
    data = {
        "message_id": message_id,
        "channel_id": channel_id,
        "setup_count": len(setups),
        "ticker": setups[0].get("ticker") if setups else None,
        "confidence": min(rated) if rated else None,
        "setups": list(setups),
        "parser": parser,
        "duration_ms": duration_ms,
    }
    return "setup.parse.completed", data, message_id


class ConvenienceCalls(ABC):
    """The calls of ``Publisher``; each raises as ``publish`` does."""

    @abstractmethod
    def _publish_draft(self, draft: _Draft, attributes: Attributes) -> Delivery: ...

    def publish_market_data(
        self,
        symbol: str,
        *,
        venue: str,
        price: Decimal,
        quantity: Decimal,
        more: MarketData | None = None,
        **attributes: Unpack[Attributes],
    ) -> Delivery:
        """A trade that a venue printed: ``market.trade.reported``, keyed by ``venue:symbol``."""
        return self._publish_draft(market_data(symbol, venue, price, quantity, more or {}), attributes)

    def publish_trading_signal(
        self,
        strategy: str,
        symbol: str,
        action: Action,
        *,
        more: Signal | None = None,
        **attributes: Unpack[Attributes],
    ) -> Delivery:
        """A strategy sees a reason to trade: ``strategy.signal.generated``, keyed by ``strategy``."""
        return self._publish_draft(trading_signal(strategy, symbol, action, more or {}), attributes)

    def publish_portfolio_update(
        self,
        account: str,
        *,
        currency: str,
        equity: Decimal,
        more: Portfolio | None = None,
        **attributes: Unpack[Attributes],
    ) -> Delivery:
        """What an account is worth as a whole: ``trading.portfolio.updated``, keyed by ``account``."""
        return self._publish_draft(portfolio_update(account, currency, equity, more or {}), attributes)

    def publish_setup_parsed(
        self,
        message_id: str,
        setups: Sequence[ParsedSetup],
        *,
        channel_id: str | None = None,
        parser: str | None = None,
        duration_ms: int | None = None,
        **attributes: Unpack[Attributes],
    ) -> Delivery:
        """A message was read through: ``setup.parse.completed``, keyed by ``message_id``; none found is an answer."""
        return self._publish_draft(setup_parsed(message_id, setups, channel_id, parser, duration_ms), attributes)


class AsyncConvenienceCalls(ABC):
    """The calls of ``AsyncPublisher``; see ``ConvenienceCalls``."""

    @abstractmethod
    async def _publish_draft(self, draft: _Draft, attributes: Attributes) -> Delivery: ...

    async def publish_market_data(
        self,
        symbol: str,
        *,
        venue: str,
        price: Decimal,
        quantity: Decimal,
        more: MarketData | None = None,
        **attributes: Unpack[Attributes],
    ) -> Delivery:
        """``Publisher.publish_market_data``."""
        return await self._publish_draft(market_data(symbol, venue, price, quantity, more or {}), attributes)

    async def publish_trading_signal(
        self,
        strategy: str,
        symbol: str,
        action: Action,
        *,
        more: Signal | None = None,
        **attributes: Unpack[Attributes],
    ) -> Delivery:
        """``Publisher.publish_trading_signal``."""
        return await self._publish_draft(trading_signal(strategy, symbol, action, more or {}), attributes)

    async def publish_portfolio_update(
        self,
        account: str,
        *,
        currency: str,
        equity: Decimal,
        more: Portfolio | None = None,
        **attributes: Unpack[Attributes],
    ) -> Delivery:
        """``Publisher.publish_portfolio_update``."""
        return await self._publish_draft(portfolio_update(account, currency, equity, more or {}), attributes)

    async def publish_setup_parsed(
        self,
        message_id: str,
        setups: Sequence[ParsedSetup],
        *,
        channel_id: str | None = None,
        parser: str | None = None,
        duration_ms: int | None = None,
        **attributes: Unpack[Attributes],
    ) -> Delivery:
        """``Publisher.publish_setup_parsed``."""
        draft = setup_parsed(message_id, setups, channel_id, parser, duration_ms)
        return await self._publish_draft(draft, attributes)
