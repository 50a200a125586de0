"""market.alert.triggered v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import AlertCondition


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTriggered:
    """A price or volume condition that somebody asked to be told of came true. Published by the alerting service, once
    per triggering.
    """

    event_type: ClassVar[str] = "market.alert.triggered"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "alert_id"

    alert_id: str
    """Id of the alert that triggered, given when it was set up. Set by the alerting service."""
    symbol: str
    """Instrument watched. Set by whoever set the alert up."""
    venue: str | None = None
    """Venue whose price triggered it, e.g. 'binance.spot'; null where any venue counts. Set by the alerting service."""
    condition: AlertCondition = AlertCondition.UNKNOWN
    """The condition that came true. Set by the alerting service."""
    threshold: Decimal
    """The level asked for: quote currency for prices, base units for volume, a ratio (0.05 is 5 %) for PRICE_CHANGE.
    Set by whoever set the alert up.
    """
    observed: Decimal
    """The value that met the condition, in the unit of threshold. Set by the alerting service."""
    setup_id: str | None = None
    """The trading setup this alert belongs to; null for an alert that stands alone. Set by whoever set the alert up."""
    message: str | None = None
    """Text for the person alerted; null where there is none. Set by whoever set the alert up."""
    trigger_time_ns: int
    """UTC epoch nanoseconds of the market data that met the condition. Set by the alerting service."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "alert_id": self.alert_id,
            "symbol": self.symbol,
            "venue": self.venue,
            "condition": self.condition,
            "threshold": self.threshold,
            "observed": self.observed,
            "setup_id": self.setup_id,
            "message": self.message,
            "trigger_time_ns": self.trigger_time_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            alert_id=data["alert_id"],
            symbol=data["symbol"],
            venue=data["venue"],
            condition=AlertCondition(data["condition"]),
            threshold=data["threshold"],
            observed=data["observed"],
            setup_id=data["setup_id"],
            message=data["message"],
            trigger_time_ns=data["trigger_time_ns"],
        )
