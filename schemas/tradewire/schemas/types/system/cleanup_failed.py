"""system.cleanup.failed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupFailed:
    """Old events could not be removed, or only some. Published by the cleanup service."""

    event_type: ClassVar[str] = "system.cleanup.failed"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "target"

    cleanup_id: str
    """Id of this cleanup, unique for ever. Set by the cleanup service."""
    target: str
    """Topic or table cleaned, e.g. 'market.events' or 'events'. Set by the cleanup service."""
    retention_ms: int | None = None
    """How long events are kept there, milliseconds; null where another rule applies. Set by the operator."""
    cutoff_ns: int | None = None
    """UTC epoch nanoseconds: what is older was to go; null where another rule applies. Set by the cleanup service."""
    error_type: str
    """Kind of failure, stable for grouping. Set by the cleanup service."""
    message: str
    """What went wrong, in words. Set by the cleanup service."""
    deleted_count: int = 0
    """Number of events removed before it failed. Set by the cleanup service."""
    retry_ns: int | None = None
    """UTC epoch nanoseconds of the next attempt; null if there will be none. Set by the cleanup service."""
    manual: bool = False
    """True if a person asked for it, false if it was due. Set by the cleanup service."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "cleanup_id": self.cleanup_id,
            "target": self.target,
            "retention_ms": self.retention_ms,
            "cutoff_ns": self.cutoff_ns,
            "error_type": self.error_type,
            "message": self.message,
            "deleted_count": self.deleted_count,
            "retry_ns": self.retry_ns,
            "manual": self.manual,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            cleanup_id=data["cleanup_id"],
            target=data["target"],
            retention_ms=data["retention_ms"],
            cutoff_ns=data["cutoff_ns"],
            error_type=data["error_type"],
            message=data["message"],
            deleted_count=data["deleted_count"],
            retry_ns=data["retry_ns"],
            manual=data["manual"],
        )
