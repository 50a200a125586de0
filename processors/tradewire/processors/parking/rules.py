"""Which records wait behind a failed one, and what is written of it. No Kafka, no clock: the shells write and read.

What stands in the topic ``deadletter.<group>.keys`` (compacted; the newest record of a key counts):

- ``state``: a key is parked, how far it was re-driven, or up to where it is settled. Written by the consumer that owns
  the source partition, and by nobody else.
- ``request``, ``edit``, ``discard``: what an operator wants done. Written by the ``tradewire dlq`` command alone.

So no key of it has two kinds of writers. A request names the offset from which its key was parked and has an id; the
state keeps the id that was answered last, so the owner never has to take a request away.

A key is parked from the record that failed on. From there until it is drained its records become letters, in order.
Three answers for a record (``Standing``): FREE, its handler may have it; PARKED, it becomes a letter, or is one
already; SETTLED, it was handled or discarded by a re-drive and comes once more, its offset not having been committed.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from tradewire.core.errors import MalformedRecord
from tradewire.processors.dead_letters import FAILED, PARKED_BEHIND
from tradewire.processors.parking.errors import NotOwned, ParkingFull
from tradewire.schemas import Header

Partition = tuple[str, int]
Kind = Literal["state", "request", "edit", "discard"]
ERROR_CHARACTERS_MAX: Final = 500
_KINDS: Final[tuple[Kind, ...]] = ("state", "request", "edit", "discard")


class Standing(Enum):
    """What to do with a record; see the module."""

    FREE = "free"
    PARKED = "parked"
    SETTLED = "settled"


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
    """An operator wants a key re-driven. It concerns the parking that began at ``parked_from`` and no later one."""

    id: str
    parked_from: int
    by: str
    at_ms: int


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


Fact = ParkedState | Request | Edit | Discard


class Write(NamedTuple):
    """A state to be written (None: deleted), in the partition of its source partition."""

    key: ParkedKey
    state: ParkedState | None


class Letter(NamedTuple):
    """What has to be written of a record that is parked; ``state`` comes first where there is one."""

    state: Write | None
    kind: str


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


class Parking:
    """The parked keys of the partitions that this consumer owns. Not thread-safe.

    What a method returns must be written and confirmed before the record that it is about is acknowledged. The memory
    is ahead of what is written: after a failed write this object is of no use any more.
    """

    def __init__(self, parked_per_key_max: int, writer: str = "") -> None:
        self.keys: dict[ParkedKey, ParkedState] = {}
        self._letters: dict[ParkedKey, list[int]] = {}
        self._drained: set[ParkedKey] = set()
        # Per owned partition the offset below which every record was handled, parked or settled.
        self._reached: dict[Partition, int] = {}
        self._max = parked_per_key_max
        self._writer = writer

    # --- ownership

    def assigned(
        self,
        reached: Mapping[Partition, int],
        states: Mapping[ParkedKey, ParkedState],
        letters: Iterable[tuple[ParkedKey, int]],
    ) -> None:
        """Takes over partitions: where they will be read from, and what the topics hold of them."""
        for partition, offset in reached.items():
            self._reached[partition] = max(offset, 0)
        for key, state in states.items():
            if key.source in reached:
                self._set(key, state)
                self._letters[key] = []
        for key, offset in letters:
            self.learn(key, offset)

    def revoked(self, partitions: Iterable[Partition]) -> None:
        """Forgets what belongs to others now."""
        gone = set(partitions)
        for partition in gone:
            self._reached.pop(partition, None)
        for key in [key for key in self.keys if key.source in gone]:
            self._drop(key)

    def owns(self, partition: Partition) -> bool:
        return partition in self._reached

    def meet(self, key: ParkedKey, state: ParkedState | None) -> Write | None:
        """What to write when the topic says something of an owned key that is not known here.

        Only one who has lost the partition and does not know it yet can have written it. What this consumer knows
        counts; a parking that it does not know is taken over, as it would be by the next owner.
        """
        if state is None or state.writer == self._writer or not self.owns(key.source):
            return None
        mine = self.keys.get(key)
        if mine is not None:
            return Write(key, mine)
        self._set(key, state)
        self._letters.setdefault(key, [])
        return None

    # --- records as they are read

    def standing(self, topic: str, partition: int, key: bytes | None, offset: int) -> Standing:
        """What to do with a record. Asked of every record in order, as long as anything is parked."""
        standing = self._standing(ParkedKey.of(topic, partition, key, offset), offset)
        self.reach(topic, partition, offset + 1 if standing is Standing.SETTLED else offset)
        return standing

    def reach(self, topic: str, partition: int, offset: int) -> None:
        """Every record of the partition below ``offset`` has been dealt with."""
        if -1 < self._reached.get((topic, partition), -1) < offset:
            self._reached[topic, partition] = offset

    def _standing(self, key: ParkedKey, offset: int) -> Standing:
        state = self.keys.get(key)
        if state is None:
            return Standing.FREE
        if state.settled_from <= offset <= state.settled_to or state.parked_from <= offset <= state.done_to:
            return Standing.SETTLED
        return Standing.FREE if state.drained or offset < state.parked_from else Standing.PARKED

    def park(
        self,
        key: ParkedKey,
        offset: int,
        *,
        error: str | None,
        attempts: int = 1,
        event_type: str = "",
        now_ms: int,
    ) -> Letter | None:
        """What to write of a record that failed (``error``) or stands behind one; None if that stands already.

        Raises:
            ParkingFull: the key has its most; nothing has changed.
            NotOwned: the partition is not owned.
            ValueError: a record that is FREE and has not failed.
        """
        if not self.owns(key.source):
            raise NotOwned(f"{key}: its partition belongs to another consumer now, which will read offset {offset}")
        self.reach(key.topic, key.partition, offset)
        standing = self._standing(key, offset)
        if standing is Standing.SETTLED:
            self.reach(key.topic, key.partition, offset + 1)
            return None
        known = self._letters.get(key, [])
        if standing is Standing.PARKED and _has(known, offset):
            self.reach(key.topic, key.partition, offset + 1)
            return None
        if len(known) >= self._max:
            raise ParkingFull(
                f"{key}: {len(known)} records are parked, which is parking.parked_per_key_max; the record at offset "
                f"{offset} is not acknowledged. Correct what fails and run `tradewire dlq redrive`, or discard them",
                topic=key.topic,
                partition=key.partition,
                offset=offset,
            )
        if standing is Standing.PARKED:
            self.learn(key, offset)
            self.reach(key.topic, key.partition, offset + 1)
            # The first one again: its process ended between its state and its letter.
            return Letter(None, FAILED if offset == self.keys[key].parked_from else PARKED_BEHIND)
        if error is None:
            raise ValueError(f"{key}: the record at {offset} is free and has not failed: it must not be parked")
        before = self.keys.get(key)
        if before is not None and not before.drained:
            # The group was set back: an earlier record fails now, and those that are parked come behind it.
            state = replace(
                before, parked_from=offset, first=offset, done_to=-1, attempts=attempts, error=error, answered=""
            )
        else:
            self._letters[key] = []
            state = ParkedState(offset, now_ms, attempts, error, event_type, first=offset)
            if before is not None:
                begin = before.parked_from if before.settled_from < 0 else before.settled_from
                state = replace(state, settled_from=begin, settled_to=before.done_to)
        state = self._set(key, replace(state, error=state.error[:ERROR_CHARACTERS_MAX], writer=self._writer))
        self.learn(key, offset)
        self.reach(key.topic, key.partition, offset + 1)
        return Letter(Write(key, state), FAILED)

    # --- re-drives

    def due(self, requests: Mapping[ParkedKey, Request]) -> Iterator[ParkedKey]:
        """Owned keys with an open request.

        Not before everything up to the first parked record has been dealt with: after a crash it is read again, must
        not come behind the re-driven ones, and is no letter yet if the crash was between state and letter.
        """
        for key, request in requests.items():
            state = self.keys.get(key)
            if state is None or not is_open(state, request):
                continue
            if self._reached.get(key.source, -1) > state.parked_from:
                yield key

    def waiting(self, key: ParkedKey) -> list[int]:
        """Source offsets of the letters of a key that a re-drive has not settled, in order."""
        return list(self._letters.get(key, ()))

    def first_waiting(self, key: ParkedKey) -> int | None:
        """The next of them."""
        letters = self._letters.get(key)
        return letters[0] if letters else None

    def missing(self, key: ParkedKey) -> int | None:
        """The offset of a letter that has to be there and is not: retention has taken it, and maybe later ones."""
        first = self.keys[key].first
        letters = self._letters.get(key)
        return first if first >= 0 and (not letters or letters[0] > first) else None

    def done(self, key: ParkedKey, offset: int) -> Write:
        """The record at ``offset``, the first that waits or one that is missing, was handled or discarded."""
        letters = self._letters[key]
        if letters and letters[0] == offset:
            del letters[0]
        elif offset != self.missing(key):
            raise ValueError(f"{key}: the letter at {offset} is not the one that is next ({letters[:1]})")
        first = letters[0] if letters else -1
        state = replace(self.keys[key], done_to=offset, first=first, writer=self._writer)
        return Write(key, self._set(key, state))

    def failed(self, key: ParkedKey, error: str, request_id: str) -> Write:
        """The first letter that waits has failed again: the key stays parked, and the request is answered."""
        state = self.keys[key]
        state = replace(
            state,
            first=self._letters[key][0] if self._letters.get(key) else state.first,
            attempts=state.attempts + 1,
            error=error[:ERROR_CHARACTERS_MAX],
            answered=request_id,
            writer=self._writer,
        )
        return Write(key, self._set(key, state))

    def drained(self, key: ParkedKey, request_id: str) -> Write:
        """All letters are settled: later records of the key are free again.

        Raises:
            ValueError: letters wait, or are missing.
        """
        state = self.keys[key]
        if self._letters.get(key) or self.missing(key) is not None or state.done_to < state.parked_from:
            raise ValueError(f"{key}: letters wait or are missing, from {state.first}")
        state = replace(state, drained=True, answered=request_id, writer=self._writer)
        return Write(key, self._set(key, state))

    def committed(self, offsets: Mapping[Partition, int]) -> list[Write]:
        """Settled keys whose last record is committed: their state is not needed any more and goes away."""
        over = [key for key in self._drained if offsets.get(key.source, -1) > self.keys[key].done_to]
        for key in over:
            self._drop(key)
        return [Write(key, None) for key in over]

    def counts(self) -> tuple[int, int]:
        """Keys that are parked, letters that wait."""
        return len(self.keys) - len(self._drained), sum(map(len, self._letters.values()))

    def _set(self, key: ParkedKey, state: ParkedState) -> ParkedState:
        self.keys[key] = state
        if state.drained:
            self._drained.add(key)
        else:
            self._drained.discard(key)
        return state

    def _drop(self, key: ParkedKey) -> None:
        self.keys.pop(key, None)
        self._letters.pop(key, None)
        self._drained.discard(key)

    def learn(self, key: ParkedKey, offset: int) -> None:
        """A letter is in its topic; one that is known, settled, or of nothing that is parked here changes nothing."""
        state = self.keys.get(key)
        if state is None or state.drained or offset <= state.done_to or offset < state.parked_from:
            return
        letters = self._letters.setdefault(key, [])
        if not letters or letters[-1] < offset:
            letters.append(offset)
        elif not _has(letters, offset):
            insort(letters, offset)


def _has(offsets: list[int], offset: int) -> bool:
    at = bisect_right(offsets, offset)
    return at > 0 and offsets[at - 1] == offset
