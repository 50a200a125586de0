"""The event types of flows. Made by `tradewire schemas generate-types`; do not edit."""

from .named_types import FlowStatus, FlowStep
from .state_changed import StateChanged
from .step_recorded import StepRecorded

__all__ = [
    "FlowStatus",
    "FlowStep",
    "StateChanged",
    "StepRecorded",
]
