"""What publishing an event type needs every time, prepared once: topic, encoder, lane, constant headers, a count."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from tradewire.producers._lanes import Lane
from tradewire.schemas import Contract
from tradewire.schemas.headers import CONTENT_TYPE, SEQUENCE_DIGITS, SPEC_VERSION

OutHeader = tuple[str, str | bytes | None]
CE_SPEC_VERSION: Final[OutHeader] = SPEC_VERSION
CE_CONTENT_TYPE: Final[OutHeader] = CONTENT_TYPE


class Route:
    """An event type on its way to its topic. ``published`` counts events taken by the queue or the spool.

    ``produce`` is its lane's own, or goes by way of the spool; the arguments are those of ``Producer.produce``.
    """

    __slots__ = ("ce_type", "encode", "lane", "produce", "published", "topic", "type")

    def __init__(self, contract: Contract, type: str, lane: Lane, produce: Callable[..., None]) -> None:
        self.type = type
        self.topic = contract.topic_of(type)
        self.encode = contract.codec.encoder(type, self.topic)
        self.lane = lane
        self.produce = produce
        self.ce_type: OutHeader = ("ce_type", type.encode())
        self.published = 0


def rare_headers(causation_id: str | None, sequence: int | None, tags: Mapping[str, str] | None) -> list[OutHeader]:
    """The headers that stand between the correlation id and the content type where an event has them.

    Raises TypeError, ValueError: a reader would refuse them; ``bad_attribute`` says why.
    """
    headers: list[OutHeader] = []
    if causation_id is not None:
        headers.append(("ce_causationid", causation_id))
    if sequence is not None:
        if sequence < 0:
            raise ValueError("sequence")
        headers.append(("ce_sequence", f"{sequence:0{SEQUENCE_DIGITS}d}"))
    if tags:
        "".join((*tags, *tags.values())).encode()
        headers.append(("ce_tags", json.dumps(dict(tags), sort_keys=True, separators=(",", ":"))))
    return headers
