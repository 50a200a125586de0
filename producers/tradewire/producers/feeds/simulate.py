"""A seeded market with a trader and a channel of setups in it: events that look real and never differ."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final

from tradewire.core import NS_PER_SECOND
from tradewire.producers.feeds._simulated_setups import setup_flow
from tradewire.producers.feeds._simulated_trader import Trader
from tradewire.producers.feeds._world import MS, Instrument, World
from tradewire.schemas import Event

START_NS: Final = 1_767_364_200 * NS_PER_SECOND  # 2026-01-02T14:30:00Z
# At 25 market events a second, 100,000 events span almost an hour.
_GAP_NS: Final = NS_PER_SECOND / 25
# Chances per market event, which make about 80 % market, 15 % trading and 5 % setup events.
_TRADING_CHANCE: Final = 0.0295
_SETUP_CHANCE: Final = 0.0136
_TRADE_SHARE: Final = 0.4

_Step = tuple[Event, int]


def simulate(seed: int, events: int | None = None, *, start_ns: int = START_NS) -> Iterator[Event]:
    """Yields ``events`` events (endless when None) in the order of their times.

    The same seed and start give the same events, ids included, on every machine; a shorter run is the beginning of a
    longer one, so its last flows are cut off. Market events are roots of flows of one; a signal and a chat message are
    roots of longer ones, whose events name their cause. Events of one aggregate are numbered from 1.
    """
    world = World(seed, start_ns)
    trader = Trader(world)
    due: list[tuple[int, int, Iterator[_Step]]] = []
    made = started = messages = 0
    next_tick_ns = start_ns
    while events is None or made < events:
        if due and due[0][0] <= next_tick_ns:
            world.now_ns, serial, flow = heapq.heappop(due)
            step = next(flow, None)
            if step is None:
                continue
            heapq.heappush(due, (world.now_ns + step[1], serial, flow))
            made += 1
            yield step[0]
            continue
        world.now_ns = next_tick_ns
        next_tick_ns += int((0.05 + 1.9 * world.random()) * _GAP_NS)
        made += 1
        yield _tick(world, world.pick())
        drawn = world.random()
        if drawn < _TRADING_CHANCE:
            started += 1
            heapq.heappush(due, (world.now_ns + world.delay(1, 30), started, trader.flow()))
        elif drawn < _TRADING_CHANCE + _SETUP_CHANCE:
            started += 1
            messages += 1
            heapq.heappush(due, (world.now_ns + world.delay(1, 30), started, setup_flow(world, messages)))


def _tick(world: World, instrument: Instrument) -> Event:
    """One step of an instrument's walk, seen as a trade or as a quote."""
    chance = world.random
    drift = (chance() + chance() + chance() - 1.5) * instrument.volatility * instrument.ticks / 1_000_000
    instrument.ticks = max(100, instrument.ticks + int(drift + (0.5 if drift > 0 else -0.5)))
    ticks = instrument.ticks
    if chance() < _TRADE_SHARE:
        instrument.trades += 1
        buy = chance() < 0.5
        return world.event(
            "market.trade.reported",
            instrument.subject,
            {
                "venue": instrument.venue,
                "symbol": instrument.symbol,
                "trade_id": str(instrument.trades),
                "price": instrument.price(ticks + 1 if buy else ticks),
                "quantity": instrument.quantity(1 + int(instrument.lots_typical * chance() * chance())),
                "aggressor_side": "BUY" if buy else "SELL",
                "trade_time_ns": world.now_ns,
                "received_time_ns": world.now_ns + int((1 + 4 * chance()) * MS),
            },
        )
    instrument.updates += 1
    return world.event(
        "market.quote.updated",
        instrument.subject,
        {
            "venue": instrument.venue,
            "symbol": instrument.symbol,
            "bid_price": instrument.price(ticks),
            "bid_quantity": instrument.quantity(1 + int(instrument.lots_typical * 3 * chance())),
            "ask_price": instrument.price(ticks + instrument.spread_ticks),
            "ask_quantity": instrument.quantity(1 + int(instrument.lots_typical * 3 * chance())),
            "update_id": instrument.updates,
            "quote_time_ns": world.now_ns,
            "received_time_ns": world.now_ns + int((1 + 4 * chance()) * MS),
        },
    )
