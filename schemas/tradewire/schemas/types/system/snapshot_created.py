"""system.snapshot.created v1. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotCreated:
    """The state of an aggregate or of a whole projection was written down. Published by the projection."""

    event_type: ClassVar[str] = "system.snapshot.created"
    schema_version: ClassVar[int] = 1
    aggregate: ClassVar[str] = "snapshot_id"

    snapshot_id: str
    """Id of the snapshot, unique for ever. Set by the projection."""
    projection: str
    """Projection whose state it is, e.g. 'positions'. Set by the projection."""
    aggregate_id: str | None = None
    """Aggregate whose state it is; null for the whole projection. Set by the projection."""
    aggregate_sequence: int | None = None
    """Sequence number of the aggregate's last event in it; null for the whole projection. Set by the projection."""
    positions: Mapping[str, int] = field(default_factory=dict)
    """Last source offset in it, by 'topic:partition'. Set by the projection."""
    event_count: int
    """Number of events that the state was made from. Set by the projection."""
    size_bytes: int | None = None
    """Size as stored, bytes; null where not measured. Set by the projection."""
    uri: str | None = None
    """Where it lies; null where only the store's own key finds it. Set by the projection."""

    def to_data(self) -> dict[str, Any]:
        """A new dict for the codec."""
        return {
            "snapshot_id": self.snapshot_id,
            "projection": self.projection,
            "aggregate_id": self.aggregate_id,
            "aggregate_sequence": self.aggregate_sequence,
            "positions": dict(self.positions),
            "event_count": self.event_count,
            "size_bytes": self.size_bytes,
            "uri": self.uri,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The object of decoded data; KeyError names a field that is not there."""
        return cls(
            snapshot_id=data["snapshot_id"],
            projection=data["projection"],
            aggregate_id=data["aggregate_id"],
            aggregate_sequence=data["aggregate_sequence"],
            positions=data["positions"],
            event_count=data["event_count"],
            size_bytes=data["size_bytes"],
            uri=data["uri"],
        )
