"""Which records wait behind a failed one, and what is written of it. No Kafka, no clock: the shells write and read.

A key is parked from the record that failed on. From there until it is drained its records become letters, in order.
Three answers for a record (``Standing``): FREE, its handler may have it; PARKED, it becomes a letter, or is one
already; SETTLED, it was handled or discarded by a re-drive and comes once more, its offset not having been committed.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from tradewire.processors.dead_letters import FAILED, PARKED_BEHIND
from tradewire.processors.parking.errors import NotOwned, ParkingFull
from tradewire.processors.parking.facts import (
    ERROR_CHARACTERS_MAX,
    ParkedKey,
    ParkedState,
    Partition,
    Request,
    Write,
    is_open,
)


class Standing(Enum):
    """What to do with a record; see the module."""

    FREE = "free"
    PARKED = "parked"
    SETTLED = "settled"


class Letter(NamedTuple):
    """What has to be written of a record that is parked; ``state`` comes first where there is one."""

    state: Write | None
    kind: str


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
        # Ids of requests for orphans that were seen.
        self._adopted: set[str] = set()
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
        self._adopted.clear()
        gone = set(partitions)
        for partition in gone:
            self._reached.pop(partition, None)
        for key in [key for key in self.keys if key.source in gone]:
            self._drop(key)

    def forget(self) -> None:
        """Owns nothing any more."""
        self.revoked(list(self._reached))

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
                f"{key}: {len(known)} records are parked, which is parked_per_key_max; the record at offset "
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

    def adopt(self, requests: Mapping[ParkedKey, Request], states: Mapping[ParkedKey, ParkedState]) -> list[Write]:
        """Orphans that an operator wants handled: each becomes a parked record of its own, which holds nothing back.

        ``states`` are those of the topic: one that answered its request stays there, so it is not adopted again.
        """
        writes = []
        for key, request in requests.items():
            if not request.orphan or key in self.keys or request.id in self._adopted or not self.owns(key.source):
                continue
            self._adopted.add(request.id)
            known = states.get(key)
            if known is None or known.answered != request.id:
                state = ParkedState(
                    key.offset, request.at_ms, 0, "never processed", first=key.offset, writer=self._writer
                )
                self._letters[key] = [key.offset]
                writes.append(Write(key, self._set(key, state)))
        return writes

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

    def committed(
        self, offsets: Mapping[Partition, int], requests: Mapping[ParkedKey, Request] | None = None
    ) -> list[Write]:
        """Settled keys whose last record is committed: their state is not needed any more and goes away.

        That of an orphan is forgotten here and stays in the topic: without it its request would be open again.
        """
        asked = requests or {}
        over = [key for key in self._drained if offsets.get(key.source, -1) > self.keys[key].done_to]
        for key in over:
            self._drop(key)
        return [Write(key, None) for key in over if key not in asked or not asked[key].orphan]

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
