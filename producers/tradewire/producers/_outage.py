"""An outage that is over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outage:
    """``spooled`` events waited on disk, ``turned_away`` found no room there; ``topics`` are those the broker has."""

    duration_ms: int
    spooled: int
    turned_away: int
    topics: frozenset[str]
