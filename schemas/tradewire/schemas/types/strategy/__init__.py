"""The event types of strategy. Made by `tradewire schemas generate-types`; do not edit."""

from .analysis_completed import AnalysisCompleted
from .named_types import Outlook, PlanStep, RunMode, RunStopReason, TradeAction
from .parameter_updated import ParameterUpdated
from .performance_updated import PerformanceUpdated
from .plan_formulated import PlanFormulated
from .run_started import RunStarted
from .run_stopped import RunStopped
from .signal_generated import SignalGenerated

__all__ = [
    "AnalysisCompleted",
    "Outlook",
    "ParameterUpdated",
    "PerformanceUpdated",
    "PlanFormulated",
    "PlanStep",
    "RunMode",
    "RunStarted",
    "RunStopReason",
    "RunStopped",
    "SignalGenerated",
    "TradeAction",
]
