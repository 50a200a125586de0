"""Typed event data as a trading service writes it; type-checked against the wheel, never run. Mistakes are marked."""

from decimal import Decimal

from tradewire.schemas import Event, TypedData
from tradewire.schemas.types.trading import OrderCreated, OrderFilled, Side


def order(price: Decimal) -> TypedData:
    return OrderCreated(
        order_id="o-1",
        account="main",
        symbol="BTCUSDT",
        venue="binance.spot",
        side=Side.BUY,
        quantity=Decimal("1.5"),
        limit_price=price,
        stop_price=61837.63,  # mistake: arg-type
    )


def typo() -> TypedData:
    return OrderCreated(order_id="o", account="a", symbl="s", venue="v", quantity=Decimal(1))  # mistake: call-arg


def fee_of(event: Event) -> Decimal | None:
    fill = OrderFilled.from_data(event.data)
    fill.price = Decimal(0)  # mistake: misc
    print(fill.fe)  # mistake: attr-defined
    return fill.fee
