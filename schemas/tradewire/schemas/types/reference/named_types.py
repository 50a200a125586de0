"""Records and enums inside the event types of reference. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from enum import StrEnum


class Importance(StrEnum):
    """How far markets care about the indicator. Set by the provider."""

    UNKNOWN = "UNKNOWN"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
