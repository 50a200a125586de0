"""What operators do with dead letters, as events. Published before it is done: nothing is done that is not told."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from tradewire.core.settings import Settings
from tradewire.operations.letter_views import header_text, plain, position_text
from tradewire.processors.orphans import Orphan
from tradewire.processors.parking.facts import Edit, ParkedKey, Request
from tradewire.processors.parking.operating import KeySeen
from tradewire.processors.parking.reading import DeadLetter
from tradewire.producers import Publisher
from tradewire.schemas import Contract

SOURCE = "dlq"
# Type, data, the aggregate, and what makes the id: told again after a crash it is the same event.
Told = tuple[str, dict[str, Any], str, str]


def operator_name(given: str | None) -> str:
    """The name given, else user and host."""
    return given or f"{getpass.getuser()}@{socket.gethostname()}"


def key_text(key: ParkedKey) -> str:
    """``topic:partition:key``, of a record without a key ``topic:partition:@offset``."""
    name = f"@{key.offset}" if key.key is None else key.key.decode(errors="replace")
    return f"{key.topic}:{key.partition}:{name}"


def edited(
    group: str,
    letter: DeadLetter,
    edit: Edit,
    *,
    changed: list[str],
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    reason: str,
) -> Told:
    """``system.dead_letter.edited``. Pure."""
    data = _of(group, letter) | {
        "operator": edit.by,
        "edit_id": edit.id,
        "changed": changed,
        "data_before": None if before is None else json.dumps(plain(before), ensure_ascii=False),
        "data_after": None if after is None else json.dumps(plain(after), ensure_ascii=False),
        "reason": reason,
    }
    return "system.dead_letter.edited", data, position_text(letter), edit.id


def discarded(group: str, letter: DeadLetter, by: str, reason: str) -> Told:
    """``system.dead_letter.discarded``. Pure."""
    data = _of(group, letter) | {"operator": by, "reason": reason}
    return "system.dead_letter.discarded", data, position_text(letter), f"{group}/{position_text(letter)}"


def requested(group: str, seen: KeySeen, request: Request) -> Told:
    """``system.redrive.requested``. Pure."""
    data = {
        "group": group,
        "parked_key": key_text(seen.key),
        "source_topic": seen.key.topic,
        "source_partition": seen.key.partition,
        "parked_from": seen.state.parked_from,
        "letter_count": len(seen.letters),
        "operator": request.by,
    }
    return "system.redrive.requested", data, key_text(seen.key), request.id


def orphan_requested(group: str, orphan: Orphan, request: Request) -> Told:
    """``system.redrive.requested`` of an orphan, which is its only letter. Pure."""
    name = f"{orphan.topic}:{orphan.partition}:@{orphan.offset}"
    data = {
        "group": group,
        "parked_key": name,
        "source_topic": orphan.topic,
        "source_partition": orphan.partition,
        "parked_from": orphan.offset,
        "letter_count": 1,
        "operator": request.by,
    }
    return "system.redrive.requested", data, name, request.id


def tell(settings: Settings, contract: Contract, told: Iterable[Told]) -> None:
    """Publishes events and returns when the brokers have confirmed them.

    Raises:
        PublishError: one was not confirmed; nothing that it tells of has been done.
    """
    events = list(told)
    if not events:
        return
    with Publisher(settings, contract=contract, source=SOURCE) as publisher:
        handles = [
            publisher.publish(type, data, subject=subject, idempotency_key=key) for type, data, subject, key in events
        ]
        publisher.flush()
        for handle in handles:
            handle.result()


def _of(group: str, letter: DeadLetter) -> dict[str, Any]:
    return {
        "group": group,
        "position": position_text(letter),
        "source_topic": letter.topic,
        "source_partition": letter.partition,
        "source_offset": letter.offset,
        "letter_type": header_text(letter.headers, "ce_type"),
        "letter_id": header_text(letter.headers, "ce_id"),
    }
