"""The event types of system. Made by `tradewire schemas generate-types`; do not edit."""

from .cleanup_completed import CleanupCompleted
from .cleanup_failed import CleanupFailed
from .component_started import ComponentStarted
from .component_stopped import ComponentStopped
from .configuration_changed import ConfigurationChanged
from .dead_letter_discarded import DeadLetterDiscarded
from .dead_letter_edited import DeadLetterEdited
from .error_raised import ErrorRaised
from .health_reported import HealthReported
from .named_types import HealthCheck, HealthStatus, ReplayOutcome, Severity, StopReason
from .notice_posted import NoticePosted
from .redrive_requested import RedriveRequested
from .replay_completed import ReplayCompleted
from .snapshot_created import SnapshotCreated
from .warning_raised import WarningRaised

__all__ = [
    "CleanupCompleted",
    "CleanupFailed",
    "ComponentStarted",
    "ComponentStopped",
    "ConfigurationChanged",
    "DeadLetterDiscarded",
    "DeadLetterEdited",
    "ErrorRaised",
    "HealthCheck",
    "HealthReported",
    "HealthStatus",
    "NoticePosted",
    "RedriveRequested",
    "ReplayCompleted",
    "ReplayOutcome",
    "Severity",
    "SnapshotCreated",
    "StopReason",
    "WarningRaised",
]
