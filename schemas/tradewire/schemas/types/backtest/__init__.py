"""The event types of backtest. Made by `tradewire schemas generate-types`; do not edit."""

from .named_types import BacktestOutcome, Goal, SearchDimension, SearchMethod
from .optimization_requested import OptimizationRequested
from .run_completed import RunCompleted
from .run_requested import RunRequested
from .sweep_requested import SweepRequested

__all__ = [
    "BacktestOutcome",
    "Goal",
    "OptimizationRequested",
    "RunCompleted",
    "RunRequested",
    "SearchDimension",
    "SearchMethod",
    "SweepRequested",
]
