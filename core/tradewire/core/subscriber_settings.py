"""The settings of subscribers."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tradewire.core.settings_section import Section


class SubscriberSettings(Section):
    """Subscribers of services: how many handlers run at once, what they may leave unfinished, how they are retried.

    Of each partition at most ``buffer_rows_max`` records wait for a handler, and nothing is read beyond
    ``ahead_rows_max`` offsets after the oldest unfinished one. ``order`` "key" keeps the order of each key, "partition"
    that of a whole partition. A key with ``parked_per_key_max`` dead letters waiting halts the subscriber. ``begin`` is
    where a group begins that has no offsets yet. At a rebalance handlers that run get ``revoke_wait_ms`` to end, at the
    end of the subscriber ``stop_wait_ms``.
    """

    concurrency: int = Field(default=4, ge=1, le=256)
    order: Literal["key", "partition"] = "key"
    begin: Literal["earliest", "latest"] = "earliest"
    buffer_rows_max: int = Field(default=1_000, ge=1)
    ahead_rows_max: int = Field(default=10_000, ge=1)
    dedupe_rows: int = Field(default=1_000, ge=0, le=100_000)
    commit_interval_ms: int = Field(default=200, ge=10)
    retry_attempts_max: int = Field(default=8, ge=1)
    retry_base_ms: int = Field(default=100, ge=1)
    retry_cap_ms: int = Field(default=30_000, ge=1)
    retry_total_ms_max: int = Field(default=120_000, ge=0)
    parked_per_key_max: int = Field(default=10_000, ge=1)
    unknown_schema_wait_ms: int = Field(default=60_000, ge=0)
    poll_interval_ms_max: int = Field(default=300_000, ge=5_000)
    session_timeout_ms: int = Field(default=10_000, ge=1_000, le=300_000)
    revoke_wait_ms: int = Field(default=10_000, ge=0)
    stop_wait_ms: int = Field(default=20_000, ge=0)
    tracing: Literal["auto", "on", "off"] = "auto"

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        for low, high, why in (
            ("retry_base_ms", "retry_cap_ms", "the first wait would be cut at once"),
            ("session_timeout_ms", "poll_interval_ms_max", "Kafka refuses it"),
            ("revoke_wait_ms", "poll_interval_ms_max", "the group would evict a member that waits for its handlers"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"subscriber.{low}={getattr(self, low)} exceeds subscriber.{high}={getattr(self, high)}: {why}"
                )
        return self
