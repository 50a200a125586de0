"""The event: one frozen value from publisher to history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

NO_TAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a record lies in Kafka, and when the broker (or, on CreateTime topics, its producer) stamped it."""

    topic: str
    partition: int
    offset: int
    recorded_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact about one aggregate (``subject``), in the past tense.

    ``time_ns`` is when it occurred, in nanoseconds since the Unix epoch. ``causation_id`` is the id of the event that
    directly caused it, None at the root of a flow; all events of a flow share ``correlation_id``. ``sequence`` numbers
    the events of one aggregate where a single writer gives numbers. ``position`` and ``schema_id`` are None until read
    from Kafka; a record that names its schema by GUID has no ``schema_id``. ``data`` is that of the newest version
    known here and holds Decimals for money and quantities, never floats; ``version`` is the one that the record was
    written with, None where its schema does not tell. ``extensions`` are the CloudEvents attributes of other producers
    that have no field here (``partitionkey``, ``traceparent``), by name.
    """

    id: str
    type: str
    data: Mapping[str, Any]
    source: str
    subject: str
    time_ns: int
    correlation_id: str
    causation_id: str | None = None
    sequence: int | None = None
    tags: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)
    extensions: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)
    schema_id: int | None = None
    version: int | None = None
    position: Position | None = None
