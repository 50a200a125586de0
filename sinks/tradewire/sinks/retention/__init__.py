"""How long ClickHouse keeps what it has stored, and the archives of what it no longer keeps."""

from tradewire.sinks.retention.archive import read_archive
from tradewire.sinks.retention.archived_history import ArchivedHistory
from tradewire.sinks.retention.plan import Due, DueRange
from tradewire.sinks.retention.policy import Policy, PolicyInvalid, Rule
from tradewire.sinks.retention.retention import ArchiveDiffers, Cleaned, CleanupInterrupted, EarlierFailure, Retention

__all__ = [
    "ArchiveDiffers",
    "ArchivedHistory",
    "Cleaned",
    "CleanupInterrupted",
    "Due",
    "DueRange",
    "EarlierFailure",
    "Policy",
    "PolicyInvalid",
    "Retention",
    "Rule",
    "read_archive",
]
