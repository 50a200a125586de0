"""What a cleanup did, as events: ``system.cleanup.completed`` and ``system.cleanup.failed``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tradewire.core import NS_PER_MS
from tradewire.core.settings import Settings
from tradewire.producers import Publisher
from tradewire.schemas import Contract
from tradewire.sinks.retention import Cleaned, CleanupInterrupted

SOURCE = "retention"


def cleanup_event(cleaned: Cleaned, *, manual: bool, retry_ns: int | None = None) -> tuple[str, dict[str, Any]]:
    """The type and the data of the event of one rule."""
    data: dict[str, Any] = {
        "cleanup_id": cleaned.cleanup_id,
        "target": cleaned.rule.target,
        "retention_ms": cleaned.rule.keep_ms,
        "cutoff_ns": cleaned.cutoff_ms * NS_PER_MS,
        "deleted_count": cleaned.deleted,
        "manual": manual,
    }
    if cleaned.error is not None:
        # The run that finds what a killed one has left applies the rule again at once.
        again_ns = time.time_ns() if isinstance(cleaned.error, CleanupInterrupted) else retry_ns
        failed = {"error_type": type(cleaned.error).__name__, "message": str(cleaned.error), "retry_ns": again_ns}
        return "system.cleanup.failed", data | failed
    done = {
        "archived_count": cleaned.archived,
        "archive_uri": None if cleaned.archive_folder is None else f"file://{cleaned.archive_folder}",
        "duration_ms": cleaned.duration_ms,
    }
    return "system.cleanup.completed", data | done


def publish_cleanups(
    settings: Settings, contract: Contract, done: Sequence[Cleaned], *, manual: bool, retry_ns: int | None = None
) -> None:
    """Publishes one event for each rule that was applied, and returns when the brokers have confirmed them.

    Raises:
        PublishError: one was not confirmed; what was cleaned stays cleaned, and is in the ledger.
    """
    if not done:
        return
    with Publisher(settings, contract=contract, source=SOURCE) as publisher:
        handles = [
            publisher.publish(*cleanup_event(cleaned, manual=manual, retry_ns=retry_ns), subject=cleaned.rule.target,
                              idempotency_key=cleaned.cleanup_id)
            for cleaned in done
        ]  # fmt: skip
        publisher.flush()
        for handle in handles:
            handle.result()
