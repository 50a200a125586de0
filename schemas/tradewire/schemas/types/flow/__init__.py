"""The event types of flow. Made by `tradewire schemas generate-types`; do not edit."""

from .named_types import Hop
from .run_completed import RunCompleted
from .run_failed import RunFailed
from .run_repaired import RunRepaired
from .run_stalled import RunStalled

__all__ = [
    "Hop",
    "RunCompleted",
    "RunFailed",
    "RunRepaired",
    "RunStalled",
]
