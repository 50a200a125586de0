"""What goes in and out of the folds: records as read, records to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from tradewire.core.ids import derived_id
from tradewire.processors.applied import At
from tradewire.schemas import Envelope, Header
from tradewire.schemas.headers import CONTENT_TYPE, SPEC_VERSION, format_time_ns

# Put on by a replay into a topic (``tradewire.sinks.replay``).
REPLAY_HEADER: Final = "tradewire_replay_id"


class RawRecord(Protocol):
    """A Kafka record as the consumer gives it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[Header]: ...


class Cause(NamedTuple):
    """The event that an output comes from, and the record (of the topic that the worker read) that brought it."""

    event_id: str
    correlation_id: str
    time_ns: int
    at: At


class Read(NamedTuple):
    """A record taken apart: ``envelope`` is None on flows.steps, which needs none, ``data`` where nobody asks for it.

    ``origin`` is where the event lies in its own topic: ``at`` itself, but for records that were keyed anew.
    """

    record: RawRecord
    at: At
    origin: At
    envelope: Envelope | None
    data: Mapping[str, Any] | None


def is_replayed(headers: Sequence[Header]) -> bool:
    """Whether a record is one that a replay wrote again: folds take it, alarms do not."""
    return any(name == REPLAY_HEADER for name, _ in headers)


class Forward(NamedTuple):
    """A record to write that is not a state: steps, a fill under another key, a dead letter.

    Without ``partition`` the key decides it.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    partition: int | None = None


def headers_of(type: str, source: str, subject: str, cause: Cause) -> list[Header]:
    """The envelope of an output: the same cause gives the same id, so an output repeated after a crash is known as one.

    It joins the flow of its cause, and its time is that of its cause.
    """
    return headers_with_id(derived_id(type, subject, *cause.at), type, source, subject, cause)


def headers_with_id(id: str, type: str, source: str, subject: str, cause: Cause) -> list[Header]:
    """As ``headers_of``, with an id that is derived from something else than a place in the log."""
    return [
        SPEC_VERSION,
        ("ce_id", id.encode()),
        ("ce_type", type.encode()),
        ("ce_source", source.encode()),
        ("ce_time", format_time_ns(cause.time_ns).encode()),
        ("ce_subject", subject.encode()),
        ("ce_correlationid", cause.correlation_id.encode()),
        ("ce_causationid", cause.event_id.encode()),
        CONTENT_TYPE,
    ]
