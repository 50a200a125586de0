"""Dead letters: a record that cannot be processed, kept byte for byte beside the reason, for the group that failed."""

from __future__ import annotations

from typing import Final

from tradewire.processors.records import Forward, RawRecord

PREFIX: Final = "__dlq.errors."
# A message of a library may quote the whole record; headers are read by people.
MESSAGE_CHARACTERS_MAX: Final = 1_000


def topic_of(group: str) -> str:
    """The topic that holds the dead letters of a group."""
    return f"deadletter.{group}"


def dead_letter(record: RawRecord, group: str, error: BaseException, delivery_count: int = 1) -> Forward:
    """The record as it was read: key, value, all its headers, then where it came from and why it is here."""
    reason = f"{type(error).__name__}: {error}"[:MESSAGE_CHARACTERS_MAX]
    return Forward(
        topic_of(group),
        record.key,
        record.value,
        [
            *record.headers,
            (f"{PREFIX}topic", record.topic.encode()),
            (f"{PREFIX}partition", str(record.partition).encode()),
            (f"{PREFIX}offset", str(record.offset).encode()),
            (f"{PREFIX}group", group.encode()),
            (f"{PREFIX}delivery.count", str(delivery_count).encode()),
            (f"{PREFIX}message", reason.encode(errors="replace")),
        ],
    )
