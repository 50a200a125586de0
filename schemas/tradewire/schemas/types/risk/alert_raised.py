"""risk.alert.raised v2. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import RiskAction, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRaised:
    """A risk limit was broken or nearly so. Overtakes bulk market data. Published by risk control."""

    event_type: ClassVar[str] = "risk.alert.raised"
    schema_version: ClassVar[int] = 2
    aggregate: ClassVar[str] = "alert_id"

    alert_id: str
    """Id of the alert, unique for ever. Set by risk control."""
    rule: str
    """Rule that was broken, stable for grouping, e.g. 'drawdown_daily_max'. Set by risk control."""
    severity: Severity = Severity.WARNING
    """How bad it is. Set by risk control."""
    message: str
    """What is wrong, in words. Set by risk control."""
    limit_id: str | None = None
    """Limit that was broken (risk.limit.changed); null for a rule without one. Set by risk control."""
    account: str | None = None
    """Account concerned; null for all. Set by risk control."""
    strategy: str | None = None
    """Strategy concerned; null for all. Set by risk control."""
    symbol: str | None = None
    """Instrument concerned, as the venue writes it; null for all. Set by risk control."""
    observed: Decimal | None = None
    """The value measured, in unit; null where there is no figure. Set by risk control."""
    limit_value: Decimal | None = None
    """The limit it was held against, in unit; null where there is no figure. Set by risk control."""
    unit: str | None = None
    """Unit of both figures: a currency code, 'ratio' or 'count'; null where there is no figure. Set by risk control."""
    action: RiskAction = RiskAction.UNKNOWN
    """What was done about it at once. Set by risk control."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "alert_id": self.alert_id,
            "rule": self.rule,
            "severity": self.severity,
            "message": self.message,
            "limit_id": self.limit_id,
            "account": self.account,
            "strategy": self.strategy,
            "symbol": self.symbol,
            "observed": self.observed,
            "limit_value": self.limit_value,
            "unit": self.unit,
            "action": self.action,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            alert_id=data["alert_id"],
            rule=data["rule"],
            severity=Severity(data["severity"]),
            message=data["message"],
            limit_id=data["limit_id"],
            account=data["account"],
            strategy=data["strategy"],
            symbol=data["symbol"],
            observed=data["observed"],
            limit_value=data["limit_value"],
            unit=data["unit"],
            action=RiskAction(data["action"]),
        )
