"""trading.portfolio.updated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Self

from .named_types import Holding


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioUpdated:
    """What an account is worth and holds, as a whole. Each event replaces the one before. Published by the portfolio
    service or the broker bridge.
    """

    event_type: ClassVar[str] = "trading.portfolio.updated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "account"

    account: str
    """Account described. Set by the portfolio service."""
    currency: str
    """Currency of all amounts here, e.g. 'USD'. Set by the portfolio service."""
    equity: Decimal
    """Worth of everything held, cash included, in currency. Set by the portfolio service."""
    cash: Decimal | None = None
    """Cash not tied up, in currency; null where not told. Set by the portfolio service."""
    buying_power: Decimal | None = None
    """What may still be bought, in currency; null where not told. Set by the broker."""
    margin_used: Decimal | None = None
    """Margin tied up, in currency; null where not told. Set by the broker."""
    realised_pnl: Decimal | None = None
    """Profit made since the account began or its last reset, in currency; null where not told. Set by the portfolio
    service.
    """
    unrealised_pnl: Decimal | None = None
    """Profit if all were closed at the last prices, in currency; null where not told. Set by the portfolio service."""
    holdings: tuple[Holding, ...] = ()
    """Every instrument held; empty where only the totals are told. Set by the portfolio service."""
    balances: Mapping[str, Decimal] = field(default_factory=dict)
    """Balance of each currency held, by currency code, in that currency. Set by the broker."""
    as_of_ns: int
    """UTC epoch nanoseconds that the figures are valid for. Set by the portfolio service."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "account": self.account,
            "currency": self.currency,
            "equity": self.equity,
            "cash": self.cash,
            "buying_power": self.buying_power,
            "margin_used": self.margin_used,
            "realised_pnl": self.realised_pnl,
            "unrealised_pnl": self.unrealised_pnl,
            "holdings": [item.to_data() for item in self.holdings],
            "balances": dict(self.balances),
            "as_of_ns": self.as_of_ns,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            account=data["account"],
            currency=data["currency"],
            equity=data["equity"],
            cash=data["cash"],
            buying_power=data["buying_power"],
            margin_used=data["margin_used"],
            realised_pnl=data["realised_pnl"],
            unrealised_pnl=data["unrealised_pnl"],
            holdings=tuple(Holding.from_data(item) for item in data["holdings"]),
            balances=data["balances"],
            as_of_ns=data["as_of_ns"],
        )
