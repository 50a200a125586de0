"""risk.limit.changed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChanged:
    """A risk limit has a new value. Published by risk control, for whoever changed it."""

    event_type: ClassVar[str] = "risk.limit.changed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "limit_id"

    limit_id: str
    """Id of the limit, stable over its changes. Set by risk control."""
    rule: str
    """Rule that the limit belongs to, e.g. 'drawdown_daily_max'. Set by risk control."""
    value: Decimal | None = None
    """The new limit, in unit; null if the limit is lifted. Set by whoever changed it."""
    previous_value: Decimal | None = None
    """The limit before, in unit; null if there was none. Set by risk control."""
    unit: str
    """Unit of both values: a currency code, 'ratio' or 'count'. Set by risk control."""
    account: str | None = None
    """Account it applies to; null for all. Set by whoever changed it."""
    strategy: str | None = None
    """Strategy it applies to; null for all. Set by whoever changed it."""
    symbol: str | None = None
    """Instrument it applies to, as the venue writes it; null for all. Set by whoever changed it."""
    changed_by: str | None = None
    """Person or service that changed it; null where unknown. Set by risk control."""
    reason: str | None = None
    """Why; null where unsaid. Set by whoever changed it."""
    effective_ns: int | None = None
    """UTC epoch nanoseconds from which it holds; null for at once. Set by whoever changed it."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "limit_id": self.limit_id,
            "rule": self.rule,
            "value": self.value,
            "previous_value": self.previous_value,
            "unit": self.unit,
            "account": self.account,
            "strategy": self.strategy,
            "symbol": self.symbol,
            "changed_by": self.changed_by,
            "reason": self.reason,
            "effective_ns": self.effective_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            limit_id=data["limit_id"],
            rule=data["rule"],
            value=data["value"],
            previous_value=data["previous_value"],
            unit=data["unit"],
            account=data["account"],
            strategy=data["strategy"],
            symbol=data["symbol"],
            changed_by=data["changed_by"],
            reason=data["reason"],
            effective_ns=data["effective_ns"],
        )
