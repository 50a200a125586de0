"""The tables of the worker: which read model each holds, where it is written, and from which topic it is fed.

A read model's topic is also the changelog of its table. State and output are one record, so a crash between the two
cannot happen, and whoever reads the topic sees the state that the worker will go on from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tradewire.processors.flows import flow_data, flow_of
from tradewire.processors.projections.candles import candle_data, candle_of
from tradewire.processors.projections.last_price import last_price_data, last_price_of
from tradewire.processors.projections.orders import order_data, order_of
from tradewire.processors.projections.positions import position_data, position_of

STEPS_TOPIC: Final = "flows.steps"
FILLS_TOPIC: Final = "positions.fills"


@dataclass(frozen=True, slots=True)
class Table:
    """One read model. Its topic has as many partitions as its source: a state lies in the partition that feeds it.

    A ``deferred`` table is written after everything else of the same batch is confirmed: the last price is the cursor
    that says which candle is open, so it must never be ahead of the candles.
    """

    name: str
    type: str
    topic: str
    source: str
    data_of: Callable[[Any], Mapping[str, Any]]
    state_of: Callable[[Mapping[str, Any]], Any]
    deferred: bool = False


LAST_PRICE: Final = Table(
    "last_price",
    "readmodel.last_price.changed",
    "readmodel.last_price.v1",
    "market.events",
    last_price_data,
    last_price_of,
    deferred=True,
)
CANDLE: Final = Table(
    "candle", "readmodel.candle.changed", "readmodel.candle.v1", "market.events", candle_data, candle_of
)
ORDER: Final = Table("order", "readmodel.order.changed", "readmodel.order.v1", "trading.events", order_data, order_of)
POSITION: Final = Table(
    "position", "readmodel.position.changed", "readmodel.position.v1", FILLS_TOPIC, position_data, position_of
)
FLOW: Final = Table("flow", "flows.state.changed", "flows.state", STEPS_TOPIC, flow_data, flow_of)

TABLES: Final = (LAST_PRICE, CANDLE, ORDER, POSITION, FLOW)
