"""The tables of the worker: which read model each holds, where it is written, and from which topic it is fed.

A read model's topic is also the changelog of its table. State and output are one record, so a crash between the two
cannot happen, and whoever reads the topic sees the state that the worker will go on from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tradewire.core.errors import ProcessingError
from tradewire.processors.flows import flow_data, flow_of
from tradewire.processors.patterns.memory import memory_data, memory_of
from tradewire.processors.projections.candles import candle_data, candle_of
from tradewire.processors.projections.last_price import last_price_data, last_price_of
from tradewire.processors.projections.orders import order_data, order_of
from tradewire.processors.projections.positions import position_data, position_of

STEPS_TOPIC: Final = "flows.steps"
FILLS_TOPIC: Final = "positions.fills"
PATTERNS_TOPIC: Final = "patterns.events"


@dataclass(frozen=True, slots=True)
class Table:
    """One read model. Its topic has as many partitions as its source: a state lies in the partition that feeds it.

    A ``deferred`` table is written after everything else of the same batch is confirmed. The last price is the cursor
    that says which candle is open, so it must never be ahead of the candles. A flow or a pattern must not know of what
    it has not said yet: what it says is confirmed first, and a flow's timer stands before the flow waits for it.
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
FLOW: Final = Table("flow", "flows.state.changed", "flows.state", STEPS_TOPIC, flow_data, flow_of, deferred=True)


class FlowTimer(NamedTuple):
    """When to look at a flow again: a hint, never later than the flow's own deadline."""

    correlation_id: str
    deadline_ns: int


def _timer_data(timer: FlowTimer) -> dict[str, Any]:
    return timer._asdict()


def _timer_of(data: Mapping[str, Any]) -> FlowTimer:
    return FlowTimer(data["correlation_id"], data["deadline_ns"])


TIMER: Final = Table("flow_timer", "flows.timer.changed", "flows.timers", STEPS_TOPIC, _timer_data, _timer_of)
# Patterns that are watched where their events lie, and those whose events are written again under another key.
MARKET_PATTERN: Final = Table(
    "market_pattern",
    "patterns.market.changed",
    "patterns.market",
    "market.events",
    memory_data,
    memory_of,
    deferred=True,
)
KEYED_PATTERN: Final = Table(
    "keyed_pattern",
    "patterns.keyed.changed",
    "patterns.state",
    PATTERNS_TOPIC,
    memory_data,
    memory_of,
    deferred=True,
)

TABLES: Final = (LAST_PRICE, CANDLE, ORDER, POSITION, FLOW, TIMER, MARKET_PATTERN, KEYED_PATTERN)
# Those with states that something happens to when time passes and no event comes.
TIMED_TABLES: Final = (TIMER, KEYED_PATTERN)


def refuse_unequal_partitions(partitions: Mapping[str, int], tables: Sequence[Table]) -> None:
    """A state must lie in the partition that feeds it.

    Raises:
        ProcessingError: a table's topic has another number of partitions than its source; names both.
    """
    for table in tables:
        if partitions[table.topic] != partitions[table.source]:
            raise ProcessingError(
                f"{table.topic} has {partitions[table.topic]} partitions and {table.source}, which feeds it, has "
                f"{partitions[table.source]}: give them the same number in the file of topics and create them anew",
                topic=table.topic,
            )
