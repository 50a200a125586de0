"""A trader: a signal leads to a decision, an order, fills, a position and now and then a risk alert, as one flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tradewire.producers.feeds._world import ACCOUNTS, MONEY_STEP, MS, STRATEGIES, Instrument, World
from tradewire.schemas import Event

Step = tuple[Event, int]
ZERO = Decimal(0)
_FEE_RATE = Decimal("0.0004")
_EXPOSURE_MAX = Decimal(12_000)


@dataclass(slots=True)
class Holding:
    """What an account holds of a symbol; quantity is negative when short."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    quantity_max: Decimal = ZERO
    opened_ns: int = 0
    changes: int = 0

    def fill(self, signed: Decimal, price: Decimal) -> Decimal:
        """Applies a fill at average cost and returns what it realised."""
        before = self.quantity
        after = before + signed
        realised = ZERO
        if before and (before > 0) != (signed > 0):
            closed = min(abs(signed), abs(before))
            realised = (price - self.cost) * (closed if before > 0 else -closed)
            if after and (after > 0) != (before > 0):
                self.cost = price
        elif after:
            self.cost = ((before * self.cost + signed * price) / after).quantize(MONEY_STEP)
        self.quantity = after
        self.realised += realised
        self.quantity_max = max(self.quantity_max, abs(after))
        return realised


class Trader:
    """Its holdings over all flows, which may overlap in time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._holdings: dict[tuple[str, str], Holding] = {}
        self._realised = dict.fromkeys(ACCOUNTS, ZERO)
        self._portfolios = dict.fromkeys(ACCOUNTS, 0)
        self._signals = dict.fromkeys(STRATEGIES, 0)

    def flow(self) -> Iterator[Step]:
        """One idea of a strategy; each event is yielded with the nanoseconds until the next."""
        world = self._world
        instrument, strategy, account = world.pick(), world.one_of(*STRATEGIES), world.one_of(*ACCOUNTS)
        buy = world.random() < 0.5
        held = self._holdings.get((account, instrument.symbol))
        if held is not None and held.quantity and world.random() < 0.35:
            buy = held.quantity < 0  # back to flat
        action, signal_id, decision_id = "BUY" if buy else "SELL", world.id(), world.id()
        price = instrument.price(instrument.ticks)
        confidence = Decimal(world.between(35, 99)).scaleb(-2)
        self._signals[strategy] += 1
        signal = world.event(
            "strategy.signal.generated",
            strategy,
            {
                "signal_id": signal_id,
                "strategy": strategy,
                "symbol": instrument.symbol,
                "action": action,
                "venue": instrument.venue,
                "confidence": confidence,
                "price": price,
            },
            sequence=self._signals[strategy],
        )
        yield signal, world.delay(1, 15)
        wanted = confidence >= Decimal("0.45")
        closing = held is not None and held.quantity and (held.quantity < 0) == buy
        quantity = (
            abs(held.quantity)
            if held is not None and closing
            else instrument.quantity(max(1, int(instrument.lots_typical * (0.2 + 2 * world.random()))))
        )
        decision = world.event(
            "trading.decision.made",
            decision_id,
            {
                "decision_id": decision_id,
                "symbol": instrument.symbol,
                "action": action if wanted else "HOLD",
                "account": account,
                "venue": instrument.venue,
                "strategy": strategy,
                "signal_id": signal_id,
                "quantity": quantity if wanted else None,
                "confidence": confidence,
                "reason": None if wanted else "confidence below 0.45",
            },
            signal,
            1,
        )
        yield decision, world.delay(1, 6)
        if wanted:
            yield from self._order(instrument, account, strategy, action, quantity, decision)

    def _order(
        self, instrument: Instrument, account: str, strategy: str, side: str, quantity: Decimal, decision: Event
    ) -> Iterator[Step]:
        world = self._world
        order_id = world.id()
        base = {"order_id": order_id, "account": account, "symbol": instrument.symbol, "venue": instrument.venue}
        limit = world.random() < 0.6
        created = world.event(
            "trading.order.created",
            order_id,
            base
            | {"strategy": strategy, "side": side, "order_type": "LIMIT" if limit else "MARKET"}
            | {"time_in_force": "GTC" if limit else "IOC", "quantity": quantity}
            | {"limit_price": instrument.price(instrument.ticks) if limit else None}
            | {"decision_id": decision.subject, "arrival_price": instrument.price(instrument.ticks)},
            decision,
            1,
        )
        yield created, world.delay(3, 40)
        if world.random() < 0.06:
            data = {"reason": "INSUFFICIENT_FUNDS", "text": "insufficient margin"}
            data |= {"code": "-2010", "rejected_by": "VENUE"}
            data_all: dict[str, Any] = base | data | {"venue_time_ns": world.now_ns}
            yield world.event("trading.order.rejected", order_id, data_all, created, 2), 0
            return
        venue_order_id = str(world.between(10**9, 10**10))
        accepted = world.event(
            "trading.order.accepted",
            order_id,
            base | {"venue_order_id": venue_order_id, "venue_time_ns": world.now_ns - MS},
            created,
            2,
        )
        yield accepted, world.delay(5, 1_500 if limit else 20)
        yield from self._fills(instrument, strategy, side, quantity, accepted, base, limit, venue_order_id)

    def _fills(
        self,
        instrument: Instrument,
        strategy: str,
        side: str,
        quantity: Decimal,
        cause: Event,
        base: dict[str, Any],
        limit: bool,
        venue_order_id: str,
    ) -> Iterator[Step]:
        world = self._world
        sign = 1 if side == "BUY" else -1
        whole = int(quantity.scaleb(-instrument.lot_exponent))
        pieces = min(whole, 1 if world.random() < 0.6 else world.between(2, 3))
        cancelled = limit and world.random() < 0.12
        filled, sequence = 0, 2
        for piece in range(pieces):
            last = piece == pieces - 1
            if last and cancelled:
                break
            lots = whole - filled if last else max(1, (whole - filled) // (pieces - piece) - piece)
            filled += lots
            sequence += 1
            price = instrument.price(max(1, instrument.ticks + sign * int(world.random() * 2)))
            size = instrument.quantity(lots)
            fill = world.event(
                "trading.order.filled",
                base["order_id"],
                base
                | {"strategy": strategy, "fill_id": f"{venue_order_id}-{piece + 1}", "side": side, "price": price}
                | {"quantity": size, "cumulative_quantity": instrument.quantity(filled)}
                | {"leaves_quantity": instrument.quantity(whole - filled)}
                | {"fee": (price * size * _FEE_RATE).quantize(MONEY_STEP), "fee_currency": instrument.currency}
                | {"liquidity": "MAKER" if limit else "TAKER", "venue_order_id": venue_order_id}
                | {"fill_time_ns": world.now_ns},
                cause,
                sequence,
            )
            yield fill, world.delay(1, 5)
            yield from self._position(instrument, base["account"], strategy, sign * size, price, fill)
            cause = fill
        if filled < whole:
            cancel = {
                "cancelled_quantity": instrument.quantity(whole - filled),
                "cumulative_quantity": instrument.quantity(filled),
                "cancelled_by": "STRATEGY",
                "reason": "price moved away",
                "venue_order_id": venue_order_id,
                "venue_time_ns": world.now_ns,
            }
            yield world.event("trading.order.cancelled", base["order_id"], base | cancel, cause, sequence + 1), 0

    def _position(
        self, instrument: Instrument, account: str, strategy: str, signed: Decimal, price: Decimal, fill: Event
    ) -> Iterator[Step]:
        world = self._world
        holding = self._holdings.setdefault((account, instrument.symbol), Holding())
        before, cost = holding.quantity, holding.cost
        realised = holding.fill(signed, price)
        holding.fees += fill.data["fee"]
        holding.changes += 1
        self._realised[account] += realised
        subject = f"{account}:{instrument.symbol}"
        data: dict[str, Any] = {
            "account": account,
            "symbol": instrument.symbol,
            "venue": instrument.venue,
            "strategy": strategy,
            "currency": instrument.currency,
            "order_id": fill.data["order_id"],
        }
        if not before:
            holding.opened_ns, holding.quantity_max, holding.realised = world.now_ns, abs(signed), ZERO
            type = "trading.position.opened"
            data |= {"quantity": holding.quantity, "average_cost": holding.cost, "opened_ns": world.now_ns}
        elif not holding.quantity:
            type = "trading.position.closed"
            data |= {
                "direction": "LONG" if before > 0 else "SHORT",
                "quantity_max": holding.quantity_max,
                "average_cost": cost,
                "average_exit_price": price,
                "realised_pnl": holding.realised,
                "fees": holding.fees,
                "opened_ns": holding.opened_ns,
                "closed_ns": world.now_ns,
            }
            holding.fees = ZERO
        else:
            type = "trading.position.changed"
            data |= {"previous_quantity": before, "quantity": holding.quantity, "average_cost": holding.cost}
            data |= {"realised_pnl": holding.realised, "last_price": price, "changed_ns": world.now_ns}
            data |= {"unrealised_pnl": (price - holding.cost) * holding.quantity}
        position = world.event(type, subject, data, fill, holding.changes)
        yield position, world.delay(1, 8)
        if world.random() < 0.3:
            yield self._portfolio(account, position), world.delay(1, 4)
        exposure = (abs(holding.quantity) * price).quantize(MONEY_STEP)
        if exposure > _EXPOSURE_MAX:
            yield self._alert(account, instrument, exposure, position), world.delay(1, 4)

    def _portfolio(self, account: str, position: Event) -> Event:
        self._portfolios[account] += 1
        cash = Decimal(1_000_000) + self._realised[account]
        data = {
            "account": account,
            "currency": "USDT",
            "equity": cash,
            "cash": cash,
            "realised_pnl": self._realised[account],
            "as_of_ns": self._world.now_ns,
        }
        return self._world.event("trading.portfolio.updated", account, data, position, self._portfolios[account])

    def _alert(self, account: str, instrument: Instrument, exposure: Decimal, position: Event) -> Event:
        alert_id = self._world.id()
        data = {
            "alert_id": alert_id,
            "rule": "exposure_max",
            "severity": "WARNING",
            "message": f"exposure of {account} in {instrument.symbol} is above {_EXPOSURE_MAX}",
            "account": account,
            "symbol": instrument.symbol,
            "observed": exposure,
            "limit_value": _EXPOSURE_MAX,
            "unit": instrument.currency,
            "action": "NONE",
        }
        return self._world.event("risk.alert.raised", alert_id, data, position, 1)
