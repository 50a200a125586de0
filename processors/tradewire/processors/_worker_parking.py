"""Parking in the worker: the rules of ``parking``, written by the engine's own outbox, in its batches.

Letters are outputs of a batch like any other. The states of parked keys are its last writes, confirmed after all
effects and before its claims are settled; a batch is settled after the one before it, so no newer state of a key is
overwritten by an older one. What a crash between these leaves behind:

- letters without their state: they are read again, and tried again; of a letter that is written twice one counts.
- effects of a re-drive without its state: it is done again, and the folds know the positions that they have applied.

Topics are read in threads of their own: the loop never waits for them, but when partitions come.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from tradewire.core.errors import KafkaUnavailable, ProcessingError
from tradewire.core.logs import get_logger
from tradewire.core.settings import KafkaSettings
from tradewire.processors._batch import Batch
from tradewire.processors.dead_letters import dead_letter, topic_of
from tradewire.processors.parking.errors import ParkingFull
from tradewire.processors.parking.facts import (
    ParkedKey,
    ParkedState,
    Partition,
    Request,
    Write,
    encode_fact,
    encode_key,
    reason_of,
)
from tradewire.processors.parking.metrics import ParkingMetrics
from tradewire.processors.parking.reading import (
    DeadLetter,
    FactsTail,
    committed_of,
    committed_or_first,
    in_order,
    read_letters,
)
from tradewire.processors.parking.redrive import missing_letter
from tradewire.processors.parking.rules import Parking, Standing
from tradewire.processors.parking.topics import keys_topic_of
from tradewire.processors.records import Forward, RawRecord
from tradewire.processors.states import BatchStates

_log = get_logger(__name__)

# Letters of one batch: a long re-drive lets records of other keys pass between.
LETTERS_AT_ONCE: Final = 500
KEYS_AT_ONCE: Final = 20
LOOK_INTERVAL_S: Final = 0.5
# What a letter's fold says: None if it is done; ``Later`` to try again without an answer to the operator.
FoldLetter = Callable[[DeadLetter, BatchStates], Exception | None]


class Later(ProcessingError):
    """Raised inside the engine when a letter cannot be folded now, through no fault of its own. Its request stays."""

    retriable = True


class WorkerParking:
    """The parked keys of one worker, on its event loop. ``partitions`` are those of its two topics, by name."""

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        partitions: Mapping[str, int],
        *,
        parked_per_key_max: int,
        metrics: ParkingMetrics,
    ) -> None:
        self._kafka = kafka
        self._group = group
        self._keys_topic = keys_topic_of(group)
        self._letter_partitions = partitions[topic_of(group)]
        self._key_partitions = partitions[self._keys_topic]
        self._metrics = metrics
        self._parking = Parking(parked_per_key_max, uuid.uuid4().hex[:12])
        self._tail: FactsTail | None = None
        self._reading = threading.Lock()
        self._committed: dict[Partition, int] = {}
        self.paused = True

    @property
    def keys(self) -> Mapping[ParkedKey, ParkedState]:
        """While this is empty every record is free."""
        return self._parking.keys

    # --- ownership

    async def take_over(self, places: Sequence[Partition]) -> None:
        """Learns what is parked in the partitions that this worker has from now on. Before their first record is read.

        Raises:
            KafkaUnavailable: it could not be learned.
        """
        self._parking.forget()
        reached, states, letters = await asyncio.to_thread(self._look, places)
        self._parking.assigned(reached, states, letters)
        self._committed.clear()
        self._count()
        if states:
            keys, waiting = self._parking.counts()
            _log.warning("keys are parked", keys=keys, letters=waiting)

    def _look(
        self, places: Sequence[Partition]
    ) -> tuple[dict[Partition, int], dict[ParkedKey, ParkedState], list[tuple[ParkedKey, int]]]:
        with self._reading:
            if self._tail is None:
                self._tail = FactsTail(self._kafka, self._group, self._key_partitions)
            self._tail.catch_up()
            ours = set(places)
            states = {key: state for key, state in self._tail.facts.states.items() if key.source in ours}
            waiting = {key: state.since_ms for key, state in states.items() if not state.drained}
            letters = [
                (letter.parked_key, letter.offset)
                for letter in read_letters(self._kafka, self._group, self._letter_partitions, waiting)
            ]
            begin = {place: max(0, offset) for place, offset in committed_of(self._kafka, self._group, ours).items()}
            if states:
                begin |= committed_or_first(self._kafka, self._group, {key.source for key in states})
            return begin, states, letters

    # --- records

    def admits(self, record: RawRecord, batch: Batch, states: BatchStates) -> bool:
        """Whether a record may be folded; else it was dealt with: a letter now or before, or settled by a re-drive."""
        standing = self._parking.standing(record.topic, record.partition, record.key, record.offset)
        if standing is Standing.PARKED:
            self.park(record, None, batch, states)
        return standing is Standing.FREE

    def park(self, record: RawRecord, error: Exception | None, batch: Batch, states: BatchStates) -> None:
        """Makes a letter of a record that failed, or stands behind one that did.

        Raises:
            ParkingFull: the key has its most; nothing from this record on may be committed.
        """
        key = ParkedKey.of(record.topic, record.partition, record.key, record.offset)
        said = None if error is None else f"{type(error).__name__}: {error}"
        now_ms = time.time_ns() // 1_000_000
        try:
            letter = self._parking.park(key, record.offset, error=said, event_type=_type_of(record), now_ms=now_ms)
        except ParkingFull:
            self._metrics.full.labels(self._group).inc()
            raise
        if letter is None:
            return
        if letter.state is not None:
            batch.facts[key] = letter.state
        why = reason_of(self._parking.keys[key], letter.kind) if error is None else error
        made = dead_letter(record, self._group, why, 0 if error is None else 1, kind=letter.kind, at_ms=now_ms)
        states.forward(made._replace(partition=record.partition % self._letter_partitions))
        self._metrics.written.labels(self._group, letter.kind).inc()
        self._count()
        _log.error(
            "dead letter",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            kind=letter.kind,
            reason=str(why),
        )

    def facts(self, writes: Iterable[Write]) -> list[Forward]:
        """The records of states of parked keys."""
        return [
            Forward(
                self._keys_topic,
                encode_key("state", key),
                None if state is None else encode_fact(state),
                [],
                key.partition % self._key_partitions,
            )
            for key, state in writes
        ]

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Tells what is committed, so that settled keys can be forgotten with the next look."""
        self._committed.update(offsets)

    # --- re-drives

    async def due(self) -> tuple[dict[ParkedKey, tuple[Request, list[DeadLetter]]], list[Write]]:
        """What is to be re-driven now, with its letters, and states to be written all the same."""
        learned = await asyncio.to_thread(self._follow)
        if self.paused or self._tail is None:
            return {}, []
        facts = self._tail.facts
        writes = self._parking.committed(self._committed, facts.requests)
        writes += self._parking.adopt(facts.requests, facts.states)
        for kind, key in learned:
            heal = self._parking.meet(key, facts.states.get(key)) if kind == "state" else None
            if heal is not None:
                writes.append(heal)
        keys = [key for key, _ in zip(self._parking.due(facts.requests), range(KEYS_AT_ONCE), strict=False)]
        if not keys:
            return {}, writes
        since = {key: self._parking.keys[key].since_ms for key in keys}
        try:
            found = await asyncio.to_thread(self._letters, since)
        except KafkaUnavailable as error:
            _log.warning("letters cannot be read now", reason=str(error))
            return {}, writes
        if self.paused:
            return {}, writes
        for key, letters in found.items():
            for letter in letters:
                self._parking.learn(key, letter.offset)
        return {key: (facts.requests[key], found.get(key, [])) for key in keys if key in facts.requests}, writes

    def _follow(self) -> list[tuple[Any, ParkedKey]]:
        with self._reading:
            return [] if self._tail is None else self._tail.poll()

    def _letters(self, since: Mapping[ParkedKey, int]) -> dict[ParkedKey, list[DeadLetter]]:
        with self._reading:
            return in_order(read_letters(self._kafka, self._group, self._letter_partitions, since))

    def redrive(
        self,
        key: ParkedKey,
        request: Request,
        letters: Sequence[DeadLetter],
        batch: Batch,
        states: BatchStates,
        fold: FoldLetter,
    ) -> int:
        """Folds letters of a key that is due, in order, as far as they go; returns how many it took.

        The request is answered when the key is drained or a letter failed; with letters left it stays open.
        """
        if self._tail is None or key not in self._parking.keys:
            return 0
        facts, by_offset, taken = self._tail.facts, {letter.offset: letter for letter in letters}, 0
        while taken < LETTERS_AT_ONCE:
            missing = self._parking.missing(key)
            offset = self._parking.first_waiting(key) if missing is None else missing
            if offset is None:
                batch.facts[key] = self._parking.drained(key, request.id)
                _log.info("key is free again", key=str(key))
                break
            outcome = "done"
            error: Exception | None = None
            if ParkedKey(key.topic, key.partition, None, offset) in facts.discards:
                outcome = "discarded"
            elif missing is not None:
                error = missing_letter(key, missing)
            elif offset not in by_offset:
                break  # parked since the letters were read: the next look has it
            else:
                letter = by_offset[offset]
                try:
                    error = fold(letter.with_edit(facts.edits.get(letter.position)), states)
                except Later as later:
                    _log.warning("a letter waits", key=str(key), offset=offset, reason=str(later))
                    break
            if error is not None:
                said = f"{type(error).__name__}: {error}"
                batch.facts[key] = self._parking.failed(key, said, request.id)
                self._metrics.redriven.labels(self._group, "failed").inc()
                _log.error("re-drive failed", key=str(key), offset=offset, reason=said)
                break
            batch.facts[key] = self._parking.done(key, offset)
            self._metrics.redriven.labels(self._group, outcome).inc()
            taken += 1
        self._count()
        return taken

    def _count(self) -> None:
        keys, letters = self._parking.counts()
        self._metrics.keys.labels(self._group).set(keys)
        self._metrics.letters.labels(self._group).set(letters)


def _type_of(record: RawRecord) -> str:
    value = next((value for name, value in record.headers if name.lower() == "ce_type"), None)
    return (value or b"").decode(errors="replace")[:200]
