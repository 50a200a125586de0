"""What a worker is there for: projections, correlation, patterns; and so which topics it reads and tables it keeps.

Workers of one group must have the same duties, as their group hands any partition to any of them. Groups may share the
work (one projects, one correlates), but a table is folded by one group alone: two would write the same topic.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tradewire.core.errors import SettingsError
from tradewire.processors.patterns import Patterns
from tradewire.processors.projections import orders
from tradewire.processors.tables import (
    CANDLE,
    FILLS_TOPIC,
    FLOW,
    KEYED_PATTERN,
    LAST_PRICE,
    MARKET_PATTERN,
    ORDER,
    PATTERNS_TOPIC,
    POSITION,
    STEPS_TOPIC,
    TIMER,
    Table,
)

TRADE: Final = "market.trade.reported"
# In the order in which a record is folded. The value is what the projection cannot do without.
_PROJECTIONS: Final = {LAST_PRICE.name: None, CANDLE.name: LAST_PRICE.name, ORDER.name: None, POSITION.name: ORDER.name}
_BY_NAME: Final = {table.name: table for table in (LAST_PRICE, CANDLE, ORDER, POSITION)}
PROJECTIONS: Final = tuple(_PROJECTIONS)


@dataclass(frozen=True, slots=True)
class Duties:
    """Which ``projections`` (names of tables) a worker folds, and whether it correlates events into flows.

    Patterns are no part of it: they are watched as soon as one is declared.
    """

    projections: frozenset[str] = frozenset(PROJECTIONS)
    correlation: bool = True

    @classmethod
    def of(cls, projections: Collection[str], *, correlation: bool) -> Duties:
        """Checks that each projection has what it needs.

        Raises:
            SettingsError: one does not; names both.
        """
        for name in projections:
            needed = _PROJECTIONS[name]
            if needed is not None and needed not in projections:
                raise SettingsError(f"worker.projections names {name} without {needed}, which it is folded from")
        return cls(frozenset(projections), correlation)

    @property
    def data_types(self) -> frozenset[str]:
        """The event types whose data a projection asks for."""
        trades = frozenset({TRADE}) if LAST_PRICE.name in self.projections else frozenset()
        return trades | (orders.ORDER_TYPES if ORDER.name in self.projections else frozenset())

    def tables(self, patterns: Patterns) -> tuple[Table, ...]:
        """The tables that are kept."""
        kept = [_BY_NAME[name] for name in PROJECTIONS if name in self.projections]
        if self.correlation:
            kept += [FLOW, TIMER]
        if any(patterns.in_place(type) for type in patterns.types):
            kept.append(MARKET_PATTERN)
        if any(patterns.elsewhere(type) for type in patterns.types):
            kept.append(KEYED_PATTERN)
        return tuple(kept)

    def own_sources(self, patterns: Patterns) -> tuple[str, ...]:
        """The topics that the worker writes for itself to read."""
        read = {table.source for table in self.tables(patterns)}
        return tuple(topic for topic in (STEPS_TOPIC, FILLS_TOPIC, PATTERNS_TOPIC) if topic in read)
