"""A chat channel in which people post trade setups: each message is stored, processed, parsed and perhaps planned."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tradewire.producers.feeds._world import MS, Instrument, World
from tradewire.schemas import Event

_AUTHORS = ("marlow", "tessa_fx", "nightdesk", "quantum.kit")
_CHATTER = ("gm everyone", "anyone watching the open?", "taking the rest of the day off", "nice move so far")
Step = tuple[Event, int]


def setup_flow(world: World, message_number: int) -> Iterator[Step]:
    """One message from arrival to plan; each step is yielded with the nanoseconds until the next."""
    instrument = world.pick()
    message_id, channel_id = str(1_270_000_000_000_000_000 + message_number), "1088123456789012345"
    direction = world.one_of("LONG", "SHORT")
    kind = world.random()
    entry, stop, target = _levels(instrument, direction, world)
    content = f"{instrument.symbol} {direction.lower()} over {entry}, stop {stop}, target {target}"
    if kind < 0.12:
        content = world.one_of(*_CHATTER)
    elif kind < 0.27:
        content = f"{instrument.symbol} looking {direction.lower()} near {entry}??"
    message = world.event(
        "setup.message.received",
        message_id,
        {
            "message_id": message_id,
            "channel_id": channel_id,
            "channel_name": "trade-setups",
            "author": world.one_of(*_AUTHORS),
            "content": content,
            "posted_ns": world.now_ns - world.delay(40, 300),
            "received_ns": world.now_ns,
        },
        sequence=1,
    )
    yield message, world.delay(2, 12)
    base = {"message_id": message_id, "channel_id": channel_id}
    stored = world.event(
        "setup.message.stored",
        message_id,
        base | {"store_id": str(message_number), "content_length": len(content)},
        message,
        2,
    )
    yield stored, world.delay(5, 60)
    outcome = "NO_SETUP" if kind < 0.12 else "FAILED" if kind < 0.27 else "SETUPS_FOUND"
    processed = world.event(
        "setup.message.processed",
        message_id,
        base | {"outcome": outcome, "setup_count": int(kind >= 0.27), "duration_ms": world.between(3, 40)},
        stored,
        3,
    )
    yield processed, world.delay(20, 250)
    if outcome == "FAILED":
        data: dict[str, Any] = {"error_type": "LevelMissing", "message": "no stop level found", "line": 1}
        yield world.event("setup.parse.failed", message_id, base | data | {"excerpt": content}, processed, 4), 0
    elif outcome == "SETUPS_FOUND":
        yield from _plan(world, instrument, direction, (entry, stop, target), processed, base)


def _plan(
    world: World,
    instrument: Instrument,
    direction: str,
    levels: tuple[Decimal, Decimal, Decimal],
    processed: Event,
    base: dict[str, Any],
) -> Iterator[Step]:
    entry, stop, target = levels
    setup_id = world.id()
    confidence = Decimal(world.between(50, 95)).scaleb(-2)
    setup = {"setup_id": setup_id, "ticker": instrument.symbol, "direction": direction, "confidence": confidence}
    parsed = world.event(
        "setup.parse.completed",
        base["message_id"],
        base
        | {"setup_count": 1, "ticker": instrument.symbol, "confidence": confidence, "setups": [setup]}
        | {"parser": "levels", "duration_ms": world.between(5, 80)},
        processed,
        4,
    )
    yield parsed, world.delay(10, 90)
    plan = {
        "setup_id": setup_id,
        "ticker": instrument.symbol,
        "direction": direction,
        "message_id": base["message_id"],
        "setup_type": world.one_of("breakout", "bounce", "retest"),
        "trigger_price": entry,
        "target_prices": [target],
        "stop_price": stop,
        "confidence": confidence,
        "valid_until_ns": world.now_ns + 86_400_000 * MS,
    }
    yield world.event("setup.plan.created", setup_id, plan, parsed, 1), 0


def _levels(instrument: Instrument, direction: str, world: World) -> tuple[Decimal, Decimal, Decimal]:
    sign = 1 if direction == "LONG" else -1
    ticks = instrument.ticks
    step = max(1, ticks * world.between(2, 20) // 1_000)
    return (
        instrument.price(ticks + sign * (step // 4 + 1)),
        instrument.price(max(1, ticks - sign * step)),
        instrument.price(max(1, ticks + sign * 2 * step)),
    )
