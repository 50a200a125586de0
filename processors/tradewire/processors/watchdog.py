"""When a worker counts as hung: commits that stand while there is something to commit. Pure; ``group_watch`` looks.

Faust can hang without a word after trouble with a broker, so the judge stands outside: it compares the end offsets of
the topics with what the group has committed. Killing a worker is safe at any moment, but a worker that is killed again
and again while it catches up never arrives; so time counts against it only between two looks that both found it in a
settled group, with the same partitions, with work waiting, and with no other sign of work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

# One partition may wait for its turn while others are caught up; a worker that is pushed around by rebalances, or busy
# with something that never ends, is given as long.
PATIENCE = 5
# After restarts that changed nothing the limit is doubled, as often as this: the fault lies elsewhere.
_DOUBLINGS_MAX = 4


class Place(NamedTuple):
    """A partition that the worker has to commit."""

    topic: str
    partition: int


class Offsets(NamedTuple):
    """Of one partition: the oldest there is, the one after the last, and the one committed (None: none yet)."""

    low: int
    end: int
    committed: int | None

    @property
    def next(self) -> int:
        """The first offset that is there and not committed."""
        return max(self.low, self.committed if self.committed is not None else self.low)

    @property
    def waiting(self) -> int:
        return max(0, self.end - self.next)


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at a group. ``at_ms`` is of a monotonic clock.

    ``places`` are those that belong to the watched worker; ``ends`` is the sum of the end offsets of all that its group
    reads. ``work`` is whatever the worker says of itself (a count of states still to recover, of waits for a schema):
    as long as it changes, the worker is at work.
    """

    at_ms: int
    places: Mapping[Place, Offsets]
    ends: int = 0
    member: bool = True
    rebalancing: bool = False
    work: str | None = None


class Hang(StrEnum):
    """In which way a worker hangs."""

    WORKER = "the worker commits nothing"
    PARTITION = "some partitions stand while others go on"
    OUTSIDE = "the worker is outside of its group"
    UNSETTLED = "the group does not settle"


class Standing(NamedTuple):
    """A verdict: the worker is to be killed. ``places`` are those that stand, with what was seen of them last."""

    hang: Hang
    places: Mapping[Place, Offsets]
    stood_ms: int

    def __str__(self) -> str:
        named = [f"{place.topic}/{place.partition}" for place in sorted(self.places)[:3]]
        more = ", …" if len(self.places) > len(named) else ""
        return f"{self.hang} for {self.stood_ms / 1000:.0f} s" + (f" ({', '.join(named)}{more})" if named else "")


@dataclass(frozen=True, slots=True)
class Rules:
    """``standing_ms_max`` is how long commits may stand. Looks further apart than ``gap_ms_max`` are not compared:
    between them the broker, or this machine, was away."""

    standing_ms_max: int = 60_000
    gap_ms_max: int = 30_000


@dataclass(frozen=True, slots=True)
class Watch:
    """What is remembered between looks. A new one is as patient as one that has just seen a commit."""

    last: Sight | None = None
    stood_ms: int = 0
    unsettled_ms: int = 0
    partition_ms: Mapping[Place, int] = field(default_factory=dict)
    # Up to here a partition holds nothing to read (ends of transactions, compacted away), whatever its end offset says.
    hollow_to: Mapping[Place, int] = field(default_factory=dict)
    restarts: int = 0

    def look(self, sight: Sight, rules: Rules) -> Watch:
        """The memory after one more look. No sight is taken while the broker does not answer."""
        last = self.last
        if last is None or not 0 <= sight.at_ms - last.at_ms <= rules.gap_ms_max:
            return self._fresh(sight)
        if sight.work is not None and sight.work != last.work:
            return self._fresh(sight)
        elapsed_ms = sight.at_ms - last.at_ms
        if sight.rebalancing:
            # Nobody owns anything meanwhile; what was owed before is compared with what is owed afterwards.
            return replace(
                self,
                last=replace(last, at_ms=sight.at_ms, rebalancing=True, work=sight.work),
                unsettled_ms=self.unsettled_ms + elapsed_ms,
            )
        if _committed(last, sight):
            return replace(self._fresh(sight, restarts=0), partition_ms=self._partitions(last, sight, elapsed_ms))
        if last.member and sight.member and last.places.keys() != sight.places.keys():
            # Others' partitions have come: their tables have to be recovered first.
            return replace(self._fresh(sight), unsettled_ms=self.unsettled_ms + elapsed_ms)
        if not self._owed(last, sight):
            return self._fresh(sight)
        counted_ms = 0 if last.rebalancing else elapsed_ms
        return replace(
            self,
            last=sight,
            stood_ms=self.stood_ms + counted_ms,
            unsettled_ms=self.unsettled_ms + elapsed_ms,
            partition_ms=self._partitions(last, sight, counted_ms),
        )

    def standing(self, rules: Rules) -> Standing | None:
        """The verdict after the last look; None as long as there is no reason to act."""
        sight = self.last
        if sight is None:
            return None
        limit_ms = rules.standing_ms_max << min(self.restarts, _DOUBLINGS_MAX)
        waiting = {place: offsets for place, offsets in sight.places.items() if self._waits(place, offsets)}
        if self.stood_ms > limit_ms:
            return Standing(Hang.WORKER if sight.member else Hang.OUTSIDE, waiting, self.stood_ms)
        late = {place: ms for place, ms in self.partition_ms.items() if ms > limit_ms * PATIENCE and place in waiting}
        if late:
            return Standing(Hang.PARTITION, {place: waiting[place] for place in late}, max(late.values()))
        if self.unsettled_ms > limit_ms * PATIENCE:
            return Standing(Hang.UNSETTLED, waiting, self.unsettled_ms)
        return None

    def hollow(self, place: Place, end: int) -> Watch:
        """The memory after it was found that a partition holds nothing to read between its commit and ``end``."""
        return replace(self._fresh(self.last), hollow_to={**self.hollow_to, place: end})

    def restarted(self) -> Watch:
        """The memory after the worker was killed: time begins anew, and more of it until a commit is seen."""
        return Watch(hollow_to=self.hollow_to, restarts=self.restarts + 1)

    def _fresh(self, sight: Sight | None, restarts: int | None = None) -> Watch:
        return Watch(sight, hollow_to=self.hollow_to, restarts=self.restarts if restarts is None else restarts)

    def _waits(self, place: Place, offsets: Offsets) -> bool:
        return offsets.end > max(offsets.next, self.hollow_to.get(place, 0))

    def _owed(self, last: Sight, sight: Sight) -> bool:
        """Whether something waited all the time. A worker outside of its group owes as soon as anything is written."""
        if not (last.member or sight.member):
            return self.stood_ms > 0 or sight.ends > last.ends
        return any(self._waited(last, sight, place) for place in sight.places) or (
            last.member and not sight.member and self.stood_ms > 0
        )

    def _waited(self, last: Sight, sight: Sight, place: Place) -> bool:
        return (
            place in last.places
            and self._waits(place, sight.places[place])
            and self._waits(place, last.places[place])
            and (last.places[place].committed or 0) == (sight.places[place].committed or 0)
        )

    def _partitions(self, last: Sight, sight: Sight, counted_ms: int) -> Mapping[Place, int]:
        return {
            place: self.partition_ms.get(place, 0) + counted_ms
            for place in sight.places
            if self._waited(last, sight, place)
        }


def _committed(last: Sight, sight: Sight) -> bool:
    """Whether the worker has committed anything between two looks."""
    return any(
        place in last.places and (offsets.committed or 0) > (last.places[place].committed or 0)
        for place, offsets in sight.places.items()
    )
