"""setup.plan.created v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCreated:
    """A trading setup is laid out and ready to be watched. Published by the setup service."""

    event_type: ClassVar[str] = "setup.plan.created"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "setup_id"

    setup_id: str
    """Id of the setup, unique for ever; alerts and signals refer to it. Set by the setup service."""
    ticker: str
    """Ticker, upper case, e.g. 'AAPL'. Set by the author."""
    direction: Direction = Direction.UNKNOWN
    """Which way it expects the price to move. Set by the parser."""
    message_id: str | None = None
    """Message that it comes from (setup.message.received); null for one made by hand. Set by the setup service."""
    setup_type: str | None = None
    """Pattern in the author's words, lower case, e.g. 'breakout', 'rejection', 'bounce'; null where unsaid. Set by the
    parser.
    """
    trigger_price: Decimal | None = None
    """Price that sets it off, in the ticker's currency: above it for LONG, below it for SHORT; null where there is
    none. Set by the author.
    """
    entry_price_min: Decimal | None = None
    """Lower end of the entry zone in the ticker's currency; null where there is no zone. Set by the author."""
    entry_price_max: Decimal | None = None
    """Upper end of the entry zone in the ticker's currency; null where there is no zone. Set by the author."""
    target_prices: tuple[Decimal, ...] = ()
    """Prices at which to take profit, nearest first, in the ticker's currency. Set by the author."""
    stop_price: Decimal | None = None
    """Price that proves it wrong, in the ticker's currency; null where there is none. Set by the author."""
    confidence: Decimal | None = None
    """How sure the parser is of its reading, 0 to 1; null where not rated."""
    trading_date: str | None = None
    """Day it is meant for, 'YYYY-MM-DD' in the market's own calendar; null for any. Set by the parser."""
    valid_until_ns: int | None = None
    """UTC epoch nanoseconds after which it is void; null for until withdrawn. Set by the setup service."""
    note: str | None = None
    """What else the author said about it; null where nothing. Set by the author."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "setup_id": self.setup_id,
            "ticker": self.ticker,
            "direction": self.direction,
            "message_id": self.message_id,
            "setup_type": self.setup_type,
            "trigger_price": self.trigger_price,
            "entry_price_min": self.entry_price_min,
            "entry_price_max": self.entry_price_max,
            "target_prices": list(self.target_prices),
            "stop_price": self.stop_price,
            "confidence": self.confidence,
            "trading_date": self.trading_date,
            "valid_until_ns": self.valid_until_ns,
            "note": self.note,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            setup_id=data["setup_id"],
            ticker=data["ticker"],
            direction=Direction(data["direction"]),
            message_id=data["message_id"],
            setup_type=data["setup_type"],
            trigger_price=data["trigger_price"],
            entry_price_min=data["entry_price_min"],
            entry_price_max=data["entry_price_max"],
            target_prices=tuple(data["target_prices"]),
            stop_price=data["stop_price"],
            confidence=data["confidence"],
            trading_date=data["trading_date"],
            valid_until_ns=data["valid_until_ns"],
            note=data["note"],
        )
