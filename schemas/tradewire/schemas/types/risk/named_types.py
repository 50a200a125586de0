"""Records and enums inside the event types of risk. Made by `tradewire schemas generate-types`; do not edit."""

from __future__ import annotations

from enum import StrEnum


class RiskAction(StrEnum):
    """What risk control did about it at once. ORDERS_CANCELLED, since v2: open orders were pulled, new ones are still
    taken. Set by risk control.
    """

    UNKNOWN = "UNKNOWN"
    NONE = "NONE"
    ORDERS_BLOCKED = "ORDERS_BLOCKED"
    POSITIONS_REDUCED = "POSITIONS_REDUCED"
    TRADING_HALTED = "TRADING_HALTED"
    ORDERS_CANCELLED = "ORDERS_CANCELLED"


class Severity(StrEnum):
    """How bad it is, least first. Set by the component that reports it."""

    UNKNOWN = "UNKNOWN"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"
