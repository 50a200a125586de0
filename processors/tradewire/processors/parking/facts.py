"""What stands in the topic ``deadletter.<group>.keys`` (compacted; the newest record of a key counts).

- ``state``: a key is parked, how far it was re-driven, or up to where it is settled. Written by the consumer that owns
  the source partition, and by nobody else.
- ``coverage``: how far each source partition was read, and where reading began anew. Written by the owner too.
- ``request``, ``edit``, ``discard``: what an operator wants done. Written by the ``tradewire`` command alone.

So no key of it has two kinds of writers. A request names the offset from which its key was parked and has an id; the
state keeps the id that was answered last, so the owner never has to take a request away.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple

from tradewire.core.errors import MalformedRecord
from tradewire.processors.dead_letters import FAILED
from tradewire.schemas import Header

Partition = tuple[str, int]
Kind = Literal["state", "coverage", "request", "edit", "discard"]
ERROR_CHARACTERS_MAX: Final = 500
_KINDS: Final[tuple[Kind, ...]] = ("state", "coverage", "request", "edit", "discard")


class ParkedKey(NamedTuple):
    """What is parked together: records of one key in one partition, or one record without a key (``offset``)."""

    topic: str
    partition: int
    key: bytes | None
    offset: int = -1

    @classmethod
    def of(cls, topic: str, partition: int, key: bytes | None, offset: int) -> ParkedKey:
        """The one that a record belongs to."""
        return cls(topic, partition, key) if key is not None else cls(topic, partition, None, offset)

    @property
    def source(self) -> Partition:
        return self.topic, self.partition

    def __str__(self) -> str:
        name = f"@{self.offset}" if self.key is None else self.key.decode(errors="backslashreplace")
        return f"{self.topic}[{self.partition}] {name}"


@dataclass(frozen=True, slots=True)
class ParkedState:
    """One parked key. ``attempts`` counts deliveries of the failing record and re-drives that failed.

    ``done_to`` is the last source offset that a re-drive has settled; once all are the key is ``drained`` and free. A
    key that is parked again before that was committed keeps from where to where it was settled before. ``first`` is
    the first offset that waits, -1 if it is not known: where no letter lies there, retention has taken it.
    ``answered`` is the id of the last request that came to its end.
    """

    parked_from: int
    since_ms: int
    attempts: int
    error: str
    event_type: str = ""
    first: int = -1
    done_to: int = -1
    drained: bool = False
    settled_from: int = -1
    settled_to: int = -1
    answered: str = ""
    writer: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """An operator wants a key re-driven. It concerns the parking that began at ``parked_from`` and no later one.

    Of an ``orphan`` there is no parking yet: the owner makes one of its letter, which the command has written.
    """

    id: str
    parked_from: int
    by: str
    at_ms: int
    orphan: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a group has committed of one source partition: ranges of offsets, ends exclusive, the last one open.

    ``exact`` says of each whether it was ended in good order; else its end may be some seconds too low.
    """

    ranges: tuple[tuple[int, int], ...]
    exact: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """Another value or other headers for a letter. ``headers`` are all that it shall have; None leaves a part as is."""

    value: bytes | None
    headers: tuple[Header, ...] | None
    by: str
    at_ms: int
    id: str = ""


@dataclass(frozen=True, slots=True)
class Discard:
    """A letter that a re-drive skips."""

    by: str
    at_ms: int
    reason: str = ""


Fact = ParkedState | Coverage | Request | Edit | Discard


class Write(NamedTuple):
    """A state to be written (None: deleted), in the partition of its source partition."""

    key: ParkedKey
    state: ParkedState | None


def encode_key(kind: Kind, key: ParkedKey) -> bytes:
    """The key of a record in the topic of parked keys. Of an edit or a discard ``key`` names one letter by offset."""
    head = f"{kind}|{key.topic}|{key.partition}|".encode()
    return head + (b"@%d" % key.offset if key.key is None else b"k" + key.key)


def decode_key(raw: bytes | None) -> tuple[Kind, ParkedKey]:
    """The other way round. Raises MalformedRecord."""
    parts = (raw or b"").split(b"|", 3)
    try:
        kind, topic, partition, rest = parts[0].decode(), parts[1].decode(), int(parts[2]), parts[3]
        if kind not in _KINDS or rest[:1] not in (b"k", b"@"):
            raise ValueError(kind)
        if rest[:1] == b"k":
            return kind, ParkedKey(topic, partition, rest[1:])
        return kind, ParkedKey(topic, partition, None, int(rest[1:]))
    except (IndexError, ValueError) as error:
        raise MalformedRecord(f"{raw!r} is not a key of the topic of parked keys") from error


def encode_fact(fact: Fact) -> bytes:
    """JSON, not Avro: a registry that is away must not keep a worker from parking."""
    data = asdict(fact)
    if isinstance(fact, Edit):
        data["value"] = _encoded(fact.value)
        data["headers"] = None if fact.headers is None else [[name, _encoded(value)] for name, value in fact.headers]
    return json.dumps(data, separators=(",", ":")).encode()


_CLASSES: Final[Mapping[Kind, type[Fact]]] = {
    "state": ParkedState,
    "coverage": Coverage,
    "request": Request,
    "edit": Edit,
    "discard": Discard,
}


def decode_fact(kind: Kind, raw: bytes) -> Fact:
    """The other way round; fields that this version does not know are left out. Raises MalformedRecord."""
    wanted = _CLASSES[kind]
    try:
        data: dict[str, Any] = {name: value for name, value in json.loads(raw).items() if name in wanted.__slots__}
        if wanted is Edit:
            data["value"] = _decoded(data["value"])
            headers = data["headers"]
            data["headers"] = None if headers is None else tuple((name, _decoded(value)) for name, value in headers)
        if wanted is Coverage:
            data = {"ranges": tuple((int(lo), int(hi)) for lo, hi in data["ranges"]), "exact": tuple(data["exact"])}
        return wanted(**data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MalformedRecord(f"a {kind} of the topic of parked keys cannot be read: {error!r}") from error


def _encoded(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def reason_of(state: ParkedState, kind: str) -> str:
    """What the letter of a record says that was not tried: why the key is parked."""
    return state.error if kind == FAILED else f"parked behind offset {state.parked_from} of its key: {state.error}"


class Facts:
    """The topic of parked keys as it stands: the newest of each key. Fed in the order of its partitions."""

    def __init__(self) -> None:
        self.states: dict[ParkedKey, ParkedState] = {}
        self.coverages: dict[ParkedKey, Coverage] = {}
        self.requests: dict[ParkedKey, Request] = {}
        self.edits: dict[ParkedKey, Edit] = {}
        self.discards: dict[ParkedKey, Discard] = {}

    def take(self, raw_key: bytes | None, raw_value: bytes | None) -> tuple[Kind, ParkedKey]:
        """Learns one record; returns what it was about. Raises MalformedRecord, then nothing has changed."""
        kind, key = decode_key(raw_key)
        kept: dict[ParkedKey, Any] = getattr(self, f"{kind}s")
        if raw_value is None:
            kept.pop(key, None)
        else:
            kept[key] = decode_fact(kind, raw_value)
        return kind, key

    def requested(self, key: ParkedKey) -> Request | None:
        """The request of a parked key that is still open."""
        state, request = self.states.get(key), self.requests.get(key)
        return request if request is not None and state is not None and is_open(state, request) else None


def is_open(state: ParkedState, request: Request) -> bool:
    """Whether a request is meant for this parking of the key, and was not answered."""
    return not state.drained and request.parked_from == state.parked_from and request.id != state.answered
