"""The event types of risk. Made by `tradewire schemas generate-types`; do not edit."""

from .alert_raised import AlertRaised
from .limit_changed import LimitChanged
from .named_types import RiskAction, Severity

__all__ = [
    "AlertRaised",
    "LimitChanged",
    "RiskAction",
    "Severity",
]
