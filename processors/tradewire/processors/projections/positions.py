"""Positions by the average cost method, folded from ``trading.order.filled``.

The books always balance, to the last of 18 decimal places:

    cost - realised_pnl  =  sum over all fills of (price * signed quantity, rounded once)

``cost`` (book value) is carried, not the average: an average rounded at each fill would let money leak. Fees are
summed beside and are in no P&L. Valuation is at the price of the last fill; the join with market prices is left to SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from tradewire.core.errors import ProcessingError
from tradewire.processors.amounts import ZERO, difference, product, quotient, share, total
from tradewire.processors.applied import Applied, At, advanced, holds


class Position(NamedTuple):
    """What an account holds of an instrument: above zero is long, below zero is short.

    ``average_cost`` (0 when flat) and ``unrealised_pnl`` (as if closed at ``last_price``) follow from the rest.
    """

    account: str
    symbol: str
    quantity: Decimal
    average_cost: Decimal
    realised_pnl: Decimal
    unrealised_pnl: Decimal | None
    last_price: Decimal | None
    fees: Decimal
    fill_count: int
    opened_ns: int | None
    updated_ns: int
    cost: Decimal
    applied: Applied


def apply_fill(state: Position | None, fill: Mapping[str, Any], at: At) -> Position:
    """The position after a fill; the same object if ``at`` was applied before.

    A fill against the position closes that part of it at average cost. One that is larger turns the position round: all
    that was held is closed at the fill's price and the rest is opened at it.

    Raises:
        ProcessingError: the fill does not say whether it bought or sold, its quantity is not above zero, or an amount
            outgrows its field.
    """
    held = _flat(fill) if state is None else state
    if holds(held.applied, at):
        return held
    if fill["side"] not in ("BUY", "SELL") or fill["quantity"] <= 0:
        raise ProcessingError(
            f"fill {fill['fill_id']} of order {fill['order_id']} has side {fill['side']} and quantity "
            f"{fill['quantity']}: a position needs BUY or SELL and a quantity above zero",
            fill_id=fill["fill_id"],
        )
    bought = fill["quantity"] if fill["side"] == "BUY" else -fill["quantity"]
    quantity, cost, realised, opened_ns = _booked(held, bought, fill["price"], fill["fill_time_ns"])
    return Position(
        held.account,
        held.symbol,
        quantity,
        quotient(cost, quantity) if quantity else ZERO,
        realised,
        difference(product(quantity, fill["price"]), cost),
        fill["price"],
        total(held.fees, fill["fee"]),
        held.fill_count + 1,
        opened_ns,
        max(held.updated_ns, fill["fill_time_ns"]),
        cost,
        advanced(held.applied, at),
    )


def _flat(fill: Mapping[str, Any]) -> Position:
    time_ns = fill["fill_time_ns"]
    return Position(
        account=fill["account"],
        symbol=fill["symbol"],
        quantity=ZERO,
        average_cost=ZERO,
        realised_pnl=ZERO,
        unrealised_pnl=None,
        last_price=None,
        fees=ZERO,
        fill_count=0,
        opened_ns=None,
        updated_ns=time_ns,
        cost=ZERO,
        applied={},
    )


def _booked(
    held: Position, bought: Decimal, price: Decimal, time_ns: int
) -> tuple[Decimal, Decimal, Decimal, int | None]:
    """Quantity, cost, realised P&L and opening time after ``bought`` (signed) at ``price``."""
    amount = product(price, bought)
    quantity = total(held.quantity, bought)
    if not held.quantity:
        return quantity, amount, held.realised_pnl, time_ns
    if (held.quantity > 0) == (bought > 0):
        return quantity, total(held.cost, amount), held.realised_pnl, held.opened_ns
    if not quantity or (quantity > 0) == (held.quantity > 0):
        leaving = held.cost if not quantity else share(held.cost, -bought, held.quantity)
        realised = difference(difference(held.realised_pnl, amount), leaving)
        return quantity, difference(held.cost, leaving), realised, held.opened_ns if quantity else None
    closing = product(price, -held.quantity)
    realised = difference(difference(held.realised_pnl, closing), held.cost)
    return quantity, difference(amount, closing), realised, time_ns


def position_key(account: str, symbol: str) -> str:
    return f"{account}:{symbol}"


def position_data(position: Position) -> dict[str, Any]:
    """The data of ``readmodel.position.changed``."""
    return position._asdict()


def position_of(data: Mapping[str, Any]) -> Position:
    """The position of ``readmodel.position.changed`` data."""
    return Position(**data)
