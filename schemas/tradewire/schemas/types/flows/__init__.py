"""The event types of flows. Made by `tradewire schemas generate-types`; do not edit."""

from .named_types import FlowRun, FlowStatus, FlowStep, ReachedStep, Stall
from .state_changed import StateChanged
from .step_recorded import StepRecorded
from .timer_changed import TimerChanged

__all__ = [
    "FlowRun",
    "FlowStatus",
    "FlowStep",
    "ReachedStep",
    "Stall",
    "StateChanged",
    "StepRecorded",
    "TimerChanged",
]
