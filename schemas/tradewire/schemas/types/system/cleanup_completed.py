"""system.cleanup.completed v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupCompleted:
    """Old events were removed from a topic or table. Published by the cleanup service."""

    event_type: ClassVar[str] = "system.cleanup.completed"
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
    deleted_count: int
    """Number of events removed. Set by the cleanup service."""
    deleted_bytes: int | None = None
    """Storage set free, bytes; null where not measured. Set by the cleanup service."""
    archived_count: int = 0
    """Number of events put into the archive before removal. Set by the cleanup service."""
    archive_uri: str | None = None
    """Where the archive lies; null where nothing was archived. Set by the cleanup service."""
    duration_ms: int | None = None
    """How long it took, milliseconds; null where not measured. Set by the cleanup service."""
    manual: bool = False
    """True if a person asked for it, false if it was due. Set by the cleanup service."""
    dry_run: bool = False
    """True if it only counted and removed nothing. Set by the cleanup service."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "cleanup_id": self.cleanup_id,
            "target": self.target,
            "retention_ms": self.retention_ms,
            "cutoff_ns": self.cutoff_ns,
            "deleted_count": self.deleted_count,
            "deleted_bytes": self.deleted_bytes,
            "archived_count": self.archived_count,
            "archive_uri": self.archive_uri,
            "duration_ms": self.duration_ms,
            "manual": self.manual,
            "dry_run": self.dry_run,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            cleanup_id=data["cleanup_id"],
            target=data["target"],
            retention_ms=data["retention_ms"],
            cutoff_ns=data["cutoff_ns"],
            deleted_count=data["deleted_count"],
            deleted_bytes=data["deleted_bytes"],
            archived_count=data["archived_count"],
            archive_uri=data["archive_uri"],
            duration_ms=data["duration_ms"],
            manual=data["manual"],
            dry_run=data["dry_run"],
        )
