"""What an operator sees of a group's dead letters, and how wishes about them reach the consumer that owns the key.

Nothing is re-driven here: a request is written, and the member of the group that owns the source partition acts on it,
so a re-driven record reaches that group alone and in its place. All of it may be repeated: a request while one is open,
the same discard and the same edit change nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tradewire.core.clock import NS_PER_MS, Clock, SystemClock
from tradewire.core.settings import KafkaSettings
from tradewire.processors.dead_letters import topic_of
from tradewire.processors.parking.facts import Discard, Edit, Facts, ParkedKey, ParkedState, Request, is_open
from tradewire.processors.parking.reading import DeadLetter, FactsTail, in_order, read_letters
from tradewire.processors.parking.topics import found_topics, keys_topic_of
from tradewire.processors.parking.writing import ConfirmedWriter

CONFIRM_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class KeySeen:
    """One parked key as the topics have it. ``letters`` are those that wait, in order, as they were written."""

    key: ParkedKey
    state: ParkedState
    letters: Sequence[DeadLetter]
    request: Request | None
    edits: Mapping[int, Edit]
    discards: Mapping[int, Discard]

    @property
    def missing(self) -> int | None:
        """The offset of a letter that has to be there and is not: retention has taken it."""
        first = self.state.first
        return first if first >= 0 and (not self.letters or self.letters[0].offset > first) else None

    def current(self, letter: DeadLetter) -> DeadLetter:
        """A letter as a re-drive would hand it over."""
        return letter.with_edit(self.edits.get(letter.offset))


@dataclass(frozen=True, slots=True)
class Seen:
    """All dead letters of a group at one moment. ``settled`` are those that nobody waits for any more."""

    group: str
    keys: Mapping[ParkedKey, KeySeen]
    settled: Sequence[DeadLetter] = field(default=())

    def all_letters(self) -> Iterator[DeadLetter]:
        """Every letter, waiting or not, by position in the source."""
        waiting = (letter for seen in self.keys.values() for letter in seen.letters)
        yield from sorted((*self.settled, *waiting), key=lambda letter: (letter.topic, letter.partition, letter.offset))

    def find(self, topic: str, partition: int, offset: int) -> tuple[KeySeen | None, DeadLetter] | None:
        """The letter of a source position, and its key if it waits."""
        for seen in self.keys.values():
            for letter in seen.letters:
                if (letter.topic, letter.partition, letter.offset) == (topic, partition, offset):
                    return seen, letter
        for letter in self.settled:
            if (letter.topic, letter.partition, letter.offset) == (topic, partition, offset):
                return None, letter
        return None


def seen_of(group: str, facts: Facts, letters: Iterable[DeadLetter]) -> Seen:
    """What facts and letters come to. Pure."""
    by_key = in_order(letters)
    keys: dict[ParkedKey, KeySeen] = {}
    for key, state in facts.states.items():
        if state.drained:
            continue
        begin = max(state.parked_from, state.done_to + 1)
        waiting = [letter for letter in by_key.get(key, ()) if letter.offset >= begin]
        request = facts.requests.get(key)
        keys[key] = KeySeen(
            key,
            state,
            waiting,
            request if request is not None and is_open(state, request) else None,
            {place.offset: edit for place, edit in facts.edits.items() if place.source == key.source},
            {place.offset: discard for place, discard in facts.discards.items() if place.source == key.source},
        )
    waiting_at = {(seen.key, letter.offset) for seen in keys.values() for letter in seen.letters}
    settled = [
        letter for key, letters in by_key.items() for letter in letters if (key, letter.offset) not in waiting_at
    ]
    return Seen(group, keys, settled)


class Operator:
    """One operator's hand on the dead letters of a group. ``by`` is kept with whatever is wished.

    Raises:
        KafkaUnavailable: no broker answers.
        ProcessingError: the group has no topics of dead letters.
    """

    def __init__(self, kafka: KafkaSettings, group: str, by: str, clock: Clock | None = None) -> None:
        self.group = group
        self.by = by
        self._kafka = kafka
        self._clock = clock or SystemClock()
        self.partitions = found_topics(kafka, group)

    def look(self) -> Seen:
        """Reads both topics to their ends. Raises KafkaUnavailable."""
        return seen_of(
            self.group, self.facts(), read_letters(self._kafka, self.group, self.partitions[topic_of(self.group)])
        )

    def requests(self, keys: Iterable[KeySeen]) -> list[tuple[KeySeen, Request]]:
        """The requests that would have keys re-driven; none of one that is asked for already. Writes nothing."""
        return [
            (seen, Request(uuid.uuid4().hex, seen.state.parked_from, self.by, self._now_ms()))
            for seen in keys
            if seen.request is None
        ]

    def redrive(self, requests: Iterable[tuple[KeySeen, Request]]) -> None:
        """Asks for keys to be re-driven.

        When it returns the requests stand; what comes of them is in the state of the keys (``look``).

        Raises:
            ParkingUnconfirmed: it is not known which requests stand; repeat it.
        """
        with _Writing(self._kafka, self.group, self.partitions) as writer:
            for seen, request in requests:
                writer.fact("request", seen.key, request)

    def discard(self, positions: Iterable[ParkedKey], reason: str = "") -> None:
        """Marks letters, named by position: a re-drive will skip them. They stay in their topic until retention.

        Raises:
            ParkingUnconfirmed: it is not known which stand; repeat it.
        """
        with _Writing(self._kafka, self.group, self.partitions) as writer:
            for position in positions:
                writer.fact("discard", position, Discard(self.by, self._now_ms(), reason))

    def keep(self, positions: Iterable[ParkedKey]) -> None:
        """Takes discards back that no re-drive has acted on yet. Raises ParkingUnconfirmed."""
        with _Writing(self._kafka, self.group, self.partitions) as writer:
            for position in positions:
                writer.fact("discard", position, None)

    def new_edit(self, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] | None) -> Edit:
        """Other bytes for a letter; None leaves a part as it was. Writes nothing."""
        return Edit(value, None if headers is None else tuple(headers), self.by, self._now_ms(), uuid.uuid4().hex)

    def edit(self, letter: DeadLetter, edit: Edit) -> None:
        """Has a letter re-driven with other bytes. The letter itself is not touched; a later edit replaces this one.

        Raises:
            ParkingUnconfirmed: it is not known whether it stands; repeat it.
        """
        with _Writing(self._kafka, self.group, self.partitions) as writer:
            writer.fact("edit", letter.position, edit)

    def prune(self) -> int:
        """Takes away wishes about keys that are not parked any more; returns how many. Raises as ``redrive``."""
        facts = self.facts()
        parked: dict[tuple[str, int], int] = {}
        for key, state in facts.states.items():
            if not state.drained:
                parked[key.source] = min(parked.get(key.source, state.parked_from), state.parked_from)
        count = 0
        with _Writing(self._kafka, self.group, self.partitions) as writer:
            for key, request in facts.requests.items():
                held = facts.states.get(key)
                if request.orphan:
                    continue  # it says that this one was recovered, and is not to be again
                if held is None or not is_open(held, request):
                    writer.fact("request", key, None)
                    count += 1
            for place in (place for place in facts.edits if place.offset < parked.get(place.source, 1 << 62)):
                writer.fact("edit", place, None)
                count += 1
            for place in (place for place in facts.discards if place.offset < parked.get(place.source, 1 << 62)):
                writer.fact("discard", place, None)
                count += 1
        return count

    def facts(self) -> Facts:
        """The topic of parked keys as it stands. Raises KafkaUnavailable."""
        tail = FactsTail(self._kafka, self.group, self.partitions[keys_topic_of(self.group)])
        try:
            tail.catch_up()
        finally:
            tail.close()
        return tail.facts

    def _now_ms(self) -> int:
        return self._clock.now_ns() // NS_PER_MS


class _Writing:
    """A writer whose records stand when the block ends."""

    def __init__(self, kafka: KafkaSettings, group: str, partitions: Mapping[str, int]) -> None:
        self._writer = ConfirmedWriter(kafka, group, partitions, CONFIRM_TIMEOUT_S)

    def __enter__(self) -> ConfirmedWriter:
        return self._writer

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._writer.confirm("a wish about dead letters")
