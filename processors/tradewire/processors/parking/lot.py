"""Order-keeping dead letters for a consumer that handles one record after the other in a partition.

What is written of a record that cannot be handled, and what a crash after each step leaves behind:

1. the key's state "parked from here" is written, and confirmed.    The record is read again and becomes a letter
                                                                     without its handler being asked.
2. its letter is written, and confirmed.                            The record is read again, and is known by its
                                                                     position: no second letter.
3. the caller acknowledges the source offset.                       Nothing is read again.

Later records of the key take steps 2 and 3. A re-drive, when an operator has asked for one:

4. the letters are read back in order; those that were discarded are skipped, edits are applied.
5. each is handed to the handler; its place is written, unawaited.   Handled letters whose place was not written yet
                                                                     are handed over once more.
6. the state "settled up to here" is written, and confirmed.         The request is open still: the re-drive finds no
                                                                     more letters and takes this step again.
7. the key is free. Records up to there that come again, because     As after 6: their offsets are in the state.
   their offsets were not committed, are skipped.
8. their offsets are committed: the state is deleted.                The deletion is made when the next ones are.

Records that come while a key is re-driven are parked behind; the re-drive takes them too before it ends.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import TopicPartition

from tradewire.core.clock import NS_PER_MS, Clock, SystemClock
from tradewire.core.errors import KafkaUnavailable
from tradewire.core.failpoints import failpoint
from tradewire.core.logs import get_logger
from tradewire.core.settings import KafkaSettings
from tradewire.processors.dead_letters import dead_letter, topic_of
from tradewire.processors.parking.coverage import advanced, begun
from tradewire.processors.parking.errors import ParkingFull
from tradewire.processors.parking.facts import Coverage, ParkedKey, ParkedState, Partition, reason_of
from tradewire.processors.parking.metrics import ParkingMetrics
from tradewire.processors.parking.reading import (
    DeadLetter,
    FactsTail,
    committed_or_first,
    in_order,
    read_letters,
)
from tradewire.processors.parking.redrive import Redrive, missing_letter
from tradewire.processors.parking.rules import Parking, Standing
from tradewire.processors.parking.topics import keys_topic_of, prepare_topics
from tradewire.processors.parking.writing import ConfirmedWriter
from tradewire.processors.records import RawRecord
from tradewire.schemas import Topic

_log = get_logger(__name__)

PARKED_PER_KEY_MAX: Final = 10_000
# Keys whose letters are in memory at the same time.
REDRIVES_AT_ONCE: Final = 20
COVERAGE_INTERVAL_S: Final = 5.0


class ParkingLot:
    """The dead letters of one member of a group. One thread at a time; a lock makes others wait.

    Constructing it creates the two topics of the group if they are missing, and blocks for that. ``offsets_group`` is
    the consumer group that commits the source offsets, if it has another name than the group of the letters.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        *,
        offsets_group: str | None = None,
        parked_per_key_max: int = PARKED_PER_KEY_MAX,
        confirm_timeout_s: float = 30.0,
        topics: Mapping[str, Topic] | None = None,
        metrics: ParkingMetrics | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.group = group
        self._offsets_group = offsets_group or group
        self._kafka = kafka
        self._clock = clock or SystemClock()
        self._metrics = metrics
        counts = prepare_topics(kafka, group, topics)
        self._letter_partitions = counts[topic_of(group)]
        self._parking = Parking(parked_per_key_max, uuid.uuid4().hex[:12])
        self._tail = FactsTail(kafka, group, counts[keys_topic_of(group)])
        self._writer = ConfirmedWriter(kafka, group, counts, confirm_timeout_s)
        self._lock = threading.RLock()
        self._covered: dict[Partition, Coverage] = {}
        self._covered_at = time.monotonic()

    # --- ownership

    def assigned(self, partitions: Iterable[TopicPartition | Partition]) -> None:
        """Takes over partitions: reads what is parked in them. Call it before their first record is handled.

        Blocks until both topics are read to their ends. Where each partition begins is the group's committed offset,
        or its first one.

        Raises:
            KafkaUnavailable: the topics could not be read; the partitions are not taken over.
        """
        places = [_place(partition) for partition in partitions]
        if not places:
            return
        with self._lock:
            self._learn(self._tail.catch_up())
            states = {key: state for key, state in self._tail.facts.states.items() if key.source in set(places)}
            waiting = {key: state.since_ms for key, state in states.items() if not state.drained}
            letters = [
                (letter.parked_key, letter.offset)
                for letter in read_letters(self._kafka, self.group, self._letter_partitions, waiting)
            ]
            reached = committed_or_first(self._kafka, self._offsets_group, places)
            self._parking.assigned(reached, states, letters)
            self._cover(reached)
            self._count()
        if waiting:
            _log.warning("keys are parked", group=self.group, keys=len(waiting), letters=len(letters))

    def revoked(self, partitions: Iterable[TopicPartition | Partition]) -> None:
        """Gives partitions up. Their open re-drives end with the letter that is being handled."""
        places = [_place(partition) for partition in partitions]
        with self._lock:
            self._uncover(places)
            self._parking.revoked(places)
            self._count()

    # --- records

    @property
    def keys(self) -> Mapping[ParkedKey, ParkedState]:
        """The keys that ``standing`` knows something of; while this is empty every record is FREE."""
        return self._parking.keys

    def standing(self, topic: str, partition: int, key: bytes | None, offset: int) -> Standing:
        """What to do with a record that was read: hand it over (FREE), ``park`` it, or acknowledge it (SETTLED).

        Ask it of every record, in order, before its handler; with nothing parked the answer is one look at a dict.
        """
        if not self._parking.keys:
            return Standing.FREE
        if ParkedKey.of(topic, partition, key, offset) not in self._parking.keys:
            # Without the lock: who parks a key has it until Kafka has confirmed, which other keys do not wait for.
            self._parking.reach(topic, partition, offset)
            return Standing.FREE
        with self._lock:
            return self._parking.standing(topic, partition, key, offset)

    def is_parked(self, topic: str, partition: int, key: bytes | None) -> bool:
        """Whether records of a key wait. A record also has an offset: ``standing`` is what a consumer asks."""
        state = self._parking.keys.get(ParkedKey(topic, partition, key)) if key is not None else None
        return state is not None and not state.drained

    def park(
        self, record: RawRecord, error: BaseException | None = None, attempts: int = 1, *, event_type: str = ""
    ) -> None:
        """Makes a letter of a record that failed (``error``) or stands behind one that did (None).

        When it returns the letter is confirmed, and the source offset may be acknowledged. A record that is a letter
        already, or was settled by a re-drive, is left as it is. Blocks up to ``confirm_timeout_s`` for each of two
        writes.

        Raises:
            ParkingFull: the key has its most; nothing was written. Do not acknowledge; end the process.
            NotOwned: the partition was revoked. Do not acknowledge; its new owner reads the record.
            ParkingUnconfirmed: it is not known what was written. Do not acknowledge; end the process.
        """
        key = ParkedKey.of(record.topic, record.partition, record.key, record.offset)
        with self._lock:
            self._writer.refuse_broken()
            said = None if error is None else f"{type(error).__name__}: {error}"
            try:
                letter = self._parking.park(
                    key,
                    record.offset,
                    error=said,
                    attempts=attempts,
                    event_type=event_type or _type_of(record),
                    now_ms=self._now_ms(),
                )
            except ParkingFull as full:
                if self._metrics is not None:
                    self._metrics.full.labels(self.group).inc()
                _log.critical("parking is full", group=self.group, key=str(key), offset=record.offset)
                raise full
            if letter is None:
                return
            if letter.state is not None:
                self._writer.state(letter.state)
                self._writer.confirm(f"the state of {key}")
                failpoint("parking.after_state")
            why = reason_of(self._parking.keys[key], letter.kind) if error is None else error
            at_ms = self._now_ms()
            forward = dead_letter(record, self.group, why, attempts if error else 0, kind=letter.kind, at_ms=at_ms)
            self._writer.letter(record.partition, forward)
            self._writer.confirm(f"the letter of {record.topic}[{record.partition}]@{record.offset}")
            failpoint("parking.after_letter")
            if self._metrics is not None:
                self._metrics.written.labels(self.group, letter.kind).inc()
            self._count()
        _log.error(
            "dead letter",
            group=self.group,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            kind=letter.kind,
            reason=said,
        )

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Tells which source offsets (the next to read) are committed, so that settled keys can be forgotten."""
        with self._lock:
            for write in self._parking.committed(offsets, self._tail.facts.requests):
                self._writer.state(write)
            for place, offset in offsets.items():
                if place in self._covered:
                    self._covered[place] = advanced(self._covered[place], offset)
            now = time.monotonic()
            if now - self._covered_at > COVERAGE_INTERVAL_S:
                self._covered_at = now
                for place, coverage in self._covered.items():
                    self._writer.fact("coverage", ParkedKey(*place, None), coverage)

    # --- re-drives

    def due(self) -> list[Redrive]:
        """Re-drives that an operator has asked for, of keys that are owned here; never blocks while there are none.

        Call it between records, about once a second. Their letters are read from Kafka: with some due it blocks for
        that, up to ``READ_TIMEOUT_S``.

        Raises:
            ParkingUnconfirmed: an earlier write has failed.
            KafkaUnavailable: the letters could not be read; ask again.
        """
        with self._lock:
            self._writer.poll()
            self._writer.refuse_broken()
            self._learn(self._tail.poll())
            requests = self._tail.facts.requests
            for write in self._parking.adopt(requests, self._tail.facts.states):
                self._writer.state(write)
            due = []
            for key in self._parking.due(requests):
                due.append(key)
                if len(due) == REDRIVES_AT_ONCE:
                    break
            if not due:
                return []
            letters = self._load(due)
            return [Redrive(self, key, requests[key], letters.get(key, [])) for key in due]

    def close(self) -> None:
        """Waits for what is written, up to ``confirm_timeout_s``, and closes the clients."""
        with self._lock:
            self._uncover(list(self._covered))
            self._writer.close()
            self._tail.close()
            if self._metrics is not None:
                self._metrics.keys.labels(self.group).set(0)
                self._metrics.letters.labels(self.group).set(0)

    # --- what a re-drive asks for

    def _load(self, keys: Iterable[ParkedKey]) -> dict[ParkedKey, list[DeadLetter]]:
        since = {key: self._parking.keys[key].since_ms for key in keys}
        found = in_order(read_letters(self._kafka, self.group, self._letter_partitions, since))
        for key, letters in found.items():
            for letter in letters:
                self._parking.learn(key, letter.offset)
        return found

    def next_letter(self, redrive: Redrive) -> DeadLetter | None:
        """Used by ``Redrive``: the next letter to hand over; None when the key is drained, or no longer ours."""
        key = redrive.key
        with self._lock:
            while self._parking.keys.get(key) is not None and self._parking.owns(key.source):
                self._writer.refuse_broken()
                facts, wanted = self._tail.facts, self._parking.first_waiting(key)
                missing = self._parking.missing(key)
                if missing is not None:
                    if ParkedKey(key.topic, key.partition, None, missing) not in facts.discards:
                        self.fail(redrive, missing_letter(key, missing))
                        return None
                    wanted = missing
                if wanted is None:
                    self._writer.state(self._parking.drained(key, redrive.request.id))
                    self._writer.confirm(f"the end of the re-drive of {key}")
                    failpoint("parking.after_drained")
                    self._count()
                    _log.info("key is free again", group=self.group, key=str(key), settled=redrive.settled)
                    return None
                if ParkedKey(key.topic, key.partition, None, wanted) in facts.discards:
                    self.settle(redrive, wanted, "discarded")
                    continue
                letter = redrive.take(wanted)
                if letter is None:
                    redrive.refill(self._load([key]).get(key, []))
                    letter = redrive.take(wanted)
                if letter is None:
                    self.fail(redrive, missing_letter(key, wanted))
                    return None
                return letter.with_edit(facts.edits.get(letter.position))
            return None

    def settle(self, redrive: Redrive, offset: int, outcome: str) -> None:
        """Used by ``Redrive``: the letter at ``offset`` was handled or discarded."""
        with self._lock:
            if self._parking.owns(redrive.key.source) and redrive.key in self._parking.keys:
                self._writer.state(self._parking.done(redrive.key, offset))
                redrive.settled += 1
                self._count(outcome)

    def fail(self, redrive: Redrive, error: BaseException) -> None:
        """Used by ``Redrive``: the next letter failed, or is missing."""
        key = redrive.key
        with self._lock:
            if self._parking.owns(key.source) and key in self._parking.keys:
                said = f"{type(error).__name__}: {error}"
                self._writer.state(self._parking.failed(key, said, redrive.request.id))
                self._writer.confirm(f"the state of {key}")
                self._count("failed")
                _log.error("re-drive failed", group=self.group, key=str(key), reason=said)

    # --- coverage

    def _cover(self, reached: Mapping[Partition, int]) -> None:
        """Writes down where partitions are read from: ahead of where they were left, something was passed over."""
        for place, begin in reached.items():
            coverage = begun(self._tail.facts.coverages.get(ParkedKey(*place, None)), begin)
            self._covered[place] = coverage
            self._writer.fact("coverage", ParkedKey(*place, None), coverage)

    def _uncover(self, places: list[Partition]) -> None:
        """Writes down how far partitions are committed that are let go."""
        ours = [place for place in places if place in self._covered]
        if not ours:
            return
        try:
            committed = committed_or_first(self._kafka, self._offsets_group, ours)
        except KafkaUnavailable as error:
            _log.warning("how far partitions are committed cannot be written down", reason=str(error))
            committed = {}
        for place in ours:
            coverage = self._covered.pop(place)
            if place in committed:
                coverage = advanced(coverage, committed[place], exact=True)
                self._writer.fact("coverage", ParkedKey(*place, None), coverage)

    # --- Kafka

    def _learn(self, learned: Iterable[tuple[str, ParkedKey]]) -> None:
        for kind, key in learned:
            if kind == "state":
                heal = self._parking.meet(key, self._tail.facts.states.get(key))
                if heal is not None:
                    _log.warning("another consumer wrote the state of a key that is owned here", key=str(key))
                    self._writer.state(heal)

    def _now_ms(self) -> int:
        return self._clock.now_ns() // NS_PER_MS

    def _count(self, outcome: str | None = None) -> None:
        if self._metrics is not None:
            keys, letters = self._parking.counts()
            self._metrics.keys.labels(self.group).set(keys)
            self._metrics.letters.labels(self.group).set(letters)
            if outcome is not None:
                self._metrics.redriven.labels(self.group, outcome).inc()


def _place(partition: TopicPartition | Partition) -> Partition:
    return partition if isinstance(partition, tuple) else (partition.topic, partition.partition)


def _type_of(record: RawRecord) -> str:
    """The event's type for the list of parked keys, as far as the headers say."""
    value = next((value for name, value in record.headers if name.lower() == "ce_type"), None)
    return (value or b"").decode(errors="replace")[:200]
