"""reference.onchain.updated v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class OnchainUpdated:
    """A figure read from a blockchain. Published by the data adapter."""

    event_type: ClassVar[str] = "reference.onchain.updated"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "chain:asset"

    chain: str
    """Blockchain, lower case, e.g. 'bitcoin'. Set by the data adapter."""
    asset: str
    """Asset on it, e.g. 'BTC' or a token's symbol. Set by the data adapter."""
    metric: str
    """What is measured, e.g. 'active_addresses', 'exchange_inflow'. Set by the data adapter."""
    value: Decimal
    """The figure, in unit; at most 20 digits before and 18 after the point. Set by the provider."""
    unit: str | None = None
    """Unit of the figure: an asset or currency code, 'count' or 'ratio'; null where the metric's name says it. Set by
    the data adapter.
    """
    as_of_ns: int
    """UTC epoch nanoseconds that the data are valid for. Set by the provider."""
    block_height: int | None = None
    """Height of the last block counted in; null where unsaid. Set by the provider."""
    block_hash: str | None = None
    """Hash of that block, to notice a fork; null where unsaid. Set by the provider."""
    transaction_hash: str | None = None
    """Transaction that it is about; null where it is about none alone. Set by the provider."""
    provider: str | None = None
    """Who delivers the data; null where unnamed. Set by the data adapter."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "chain": self.chain,
            "asset": self.asset,
            "metric": self.metric,
            "value": self.value,
            "unit": self.unit,
            "as_of_ns": self.as_of_ns,
            "block_height": self.block_height,
            "block_hash": self.block_hash,
            "transaction_hash": self.transaction_hash,
            "provider": self.provider,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            chain=data["chain"],
            asset=data["asset"],
            metric=data["metric"],
            value=data["value"],
            unit=data["unit"],
            as_of_ns=data["as_of_ns"],
            block_height=data["block_height"],
            block_hash=data["block_hash"],
            transaction_hash=data["transaction_hash"],
            provider=data["provider"],
        )
