"""The event types of flows. Made by `tradewire schemas generate-types`; do not edit."""

from .named_types import FlowRun, FlowStatus, FlowStep, ReachedStep, RecordedStep, Stall
from .state_changed import StateChanged
from .step_recorded import StepRecorded
from .steps_recorded import StepsRecorded
from .timer_changed import TimerChanged

__all__ = [
    "FlowRun",
    "FlowStatus",
    "FlowStep",
    "ReachedStep",
    "RecordedStep",
    "Stall",
    "StateChanged",
    "StepRecorded",
    "StepsRecorded",
    "TimerChanged",
]
