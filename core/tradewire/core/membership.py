"""The name under which a static member (KIP-345) joins its consumer group."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Final

_DIGITS: Final = 8


def static_name(instance_id: str, topics: Iterable[str]) -> str:
    """The ``group.instance.id`` of a member that begins by subscribing to ``topics``: the same for the same set.

    A static member that comes back within its session timeout gets its old partitions without a rebalance, and the
    broker compares no more than the name of the protocol (Kafka's ``updateStaticMemberThenRebalanceOrCompleteJoin``):
    under its old name one that has a topic more would never be given that topic, however often it is started. Under
    another name it is another member, which is a rebalance. The member of the old name keeps its partitions until its
    session ends; then they move.
    """
    digest = hashlib.sha256("\n".join(sorted(set(topics))).encode()).hexdigest()
    return f"{instance_id}-{digest[:_DIGITS]}"


def static_config(instance_id: str | None, topics: Collection[str]) -> dict[str, str]:
    """What makes a consumer of librdkafka a static member under ``static_name``.

    Nothing without an instance id, or without topics: what it subscribes to later would not be in its name.
    """
    if instance_id is None or not topics:
        return {}
    return {"group.instance.id": static_name(instance_id, topics)}
