"""Orders, folded from ``trading.order.*``.

Rules:

- Events of an order come in the order of the log, and may be missing before the first one seen: what an event tells is
  taken, what none has told stays null or UNKNOWN.
- FILLED, CANCELLED and REJECTED are final: a later acceptance or amendment does not open the order again. A fill always
  counts, after a cancellation too (it can overtake one at the venue), without changing CANCELLED unless it fills the
  whole order.
- A fill whose ``fill_id`` was counted at another offset is a repeat: it changes nothing but ``applied``.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from tradewire.processors.amounts import ZERO, product, quotient, total
from tradewire.processors.applied import Applied, At, advanced, holds

# A fill published twice comes soon after itself; an order of many thousand fills must stay one small record.
FILL_IDS_MAX: Final = 512

CREATED: Final = "trading.order.created"
ACCEPTED: Final = "trading.order.accepted"
REJECTED: Final = "trading.order.rejected"
FILLED: Final = "trading.order.filled"
AMENDED: Final = "trading.order.amended"
CANCELLED: Final = "trading.order.cancelled"
ORDER_TYPES: Final = frozenset({CREATED, ACCEPTED, REJECTED, FILLED, AMENDED, CANCELLED})
_FINAL: Final = frozenset({"FILLED", "CANCELLED", "REJECTED"})


class Order(NamedTuple):
    """All that is known of one order. Quantities in base units, values and prices in quote currency."""

    order_id: str
    account: str
    symbol: str
    venue: str
    side: str
    order_type: str
    status: str
    quantity: Decimal | None
    limit_price: Decimal | None
    filled_quantity: Decimal
    average_fill_price: Decimal | None
    filled_value: Decimal
    fees: Decimal
    created_ns: int
    updated_ns: int
    reason: str | None
    event_count: int
    fill_ids: Mapping[str, int]
    applied: Applied


def _unseen(data: Mapping[str, Any], time_ns: int) -> Order:
    return Order(
        order_id=data["order_id"],
        account=data["account"],
        symbol=data["symbol"],
        venue=data["venue"],
        side="UNKNOWN",
        order_type="UNKNOWN",
        status="UNKNOWN",
        quantity=None,
        limit_price=None,
        filled_quantity=ZERO,
        average_fill_price=None,
        filled_value=ZERO,
        fees=ZERO,
        created_ns=time_ns,
        updated_ns=time_ns,
        reason=None,
        event_count=0,
        fill_ids={},
        applied={},
    )


def apply_event(state: Order | None, type: str, data: Mapping[str, Any], time_ns: int, at: At) -> Order:
    """The order after an event (``time_ns`` is when it occurred); the same object if ``at`` was applied before.

    Raises:
        ProcessingError: an amount outgrows its field.
    """
    order = _unseen(data, time_ns) if state is None else state
    if holds(order.applied, at):
        return order
    changed = order if type == FILLED and is_repeat(order, data, at) else _changed(order, type, data, at)
    return changed._replace(
        updated_ns=max(order.updated_ns, time_ns),
        event_count=order.event_count + 1,
        applied=advanced(order.applied, at),
    )


def is_repeat(order: Order, fill: Mapping[str, Any], at: At) -> bool:
    """Whether this fill was counted at another offset. Stays true and false alike when ``at`` is delivered again."""
    return order.fill_ids.get(fill["fill_id"], at.offset) != at.offset


def _changed(order: Order, type: str, data: Mapping[str, Any], at: At) -> Order:
    done = order.status in _FINAL
    if type == CREATED:
        return order._replace(
            side=data["side"],
            order_type=data["order_type"],
            quantity=data["quantity"] if order.quantity is None else order.quantity,
            limit_price=data["limit_price"] if order.limit_price is None else order.limit_price,
            status="CREATED" if order.status == "UNKNOWN" else order.status,
        )
    if type == ACCEPTED:
        return order._replace(status="ACCEPTED") if order.status in ("UNKNOWN", "CREATED") else order
    if type == REJECTED:
        return order if done else order._replace(status="REJECTED", reason=data["text"] or data["reason"])
    if type == CANCELLED:
        return order if done else order._replace(status="CANCELLED", reason=data["reason"])
    if type == AMENDED:
        return order._replace(
            quantity=order.quantity if data["quantity"] is None else data["quantity"],
            limit_price=order.limit_price if data["limit_price"] is None else data["limit_price"],
        )
    return _filled(order, data, at) if type == FILLED else order


def _filled(order: Order, fill: Mapping[str, Any], at: At) -> Order:
    ids = {**order.fill_ids, fill["fill_id"]: at.offset}
    if len(ids) > FILL_IDS_MAX:
        del ids[min(ids, key=ids.__getitem__)]
    whole = fill["leaves_quantity"] == 0
    quantity = total(order.filled_quantity, fill["quantity"])
    value = total(order.filled_value, product(fill["price"], fill["quantity"]))
    status = "FILLED" if whole else order.status if order.status in _FINAL else "PARTIALLY_FILLED"
    return order._replace(
        side=fill["side"] if order.side == "UNKNOWN" else order.side,
        status=status,
        filled_quantity=quantity,
        average_fill_price=quotient(value, quantity) if quantity else None,
        filled_value=value,
        fees=total(order.fees, fill["fee"]),
        fill_ids=ids,
    )


def order_data(order: Order) -> dict[str, Any]:
    """The data of ``readmodel.order.changed``."""
    return order._asdict()


def order_of(data: Mapping[str, Any]) -> Order:
    """The order of ``readmodel.order.changed`` data."""
    return Order(**data)
