"""Up to where an answer out of history is complete: asked of Kafka before the question is put to ClickHouse."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tradewire.core.clock import NS_PER_MS
from tradewire.core.errors import TradewireError
from tradewire.schemas.headers import format_time_ns
from tradewire.sinks.positions import PartitionPosition

# Brokers that did not answer are not asked again for so long: history is read without them meanwhile.
AWAY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class CompleteUpTo:
    """What an answer can contain. Everything below ``stored_to`` of a partition was in ClickHouse when it was asked.

    ``recorded_ms``: every record that the brokers have stamped before it is in the answer, if it belongs there. None
    when nothing can be said: of some partition nothing is stored yet. It is the time of asking when nothing is behind.
    """

    asked_ms: int
    recorded_ms: int | None
    partitions: Sequence[PartitionPosition]

    @property
    def behind(self) -> int:
        """Offsets in Kafka that are not confirmed in ClickHouse; above zero, ends of transactions may be among them."""
        return sum(partition.behind for partition in self.partitions)


def complete_line(found: CompleteUpTo | None, *, of: str = "") -> str:
    """The line under an answer; None: Kafka could not be asked. ``of`` says of what, where it is not all of history."""
    head = f"complete{of and f' of {of}'}"
    if found is None:
        return f"{head} up to: not known, Kafka could not be asked"
    if not found.behind:
        return f"{head}: everything in Kafka is stored"
    if found.recorded_ms is None:
        return f"NOT {head}: {found.behind:,} records are not stored, of some partition nothing is"
    ago_s = (found.asked_ms - found.recorded_ms) / 1000
    upto = format_time_ns(found.recorded_ms * NS_PER_MS)[:23]
    return f"{head} up to {upto}Z ({ago_s:,.1f} s ago); {found.behind:,} records behind"


class ReadsPositions(Protocol):
    """``SinkPositions``, or what a test puts in its place."""

    def read(self, topics: Iterable[str]) -> Sequence[PartitionPosition]: ...


class Completeness:
    """Asks for positions; ``newest_ms`` gives the broker's time of the last stored record below an offset.

    Thread-safe, one at a time. An answer is given again for ``keep_ms``: what was complete then is complete now.
    """

    def __init__(
        self,
        positions: ReadsPositions,
        topics: Sequence[str],
        newest_ms: Callable[[str, int, int], int | None],
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        *,
        keep_ms: int = 0,
    ) -> None:
        """``topics`` are those that are asked of when none are named."""
        self._positions = positions
        self._topics = tuple(topics)
        self._newest_ms = newest_ms
        self._clock_ms = clock_ms
        self._keep_ms = keep_ms
        self._kept: dict[tuple[str, ...], CompleteUpTo] = {}
        self._asking = threading.Lock()
        self._away_until = 0.0

    def now(self, *topics: str) -> CompleteUpTo:
        """Of some topics, or of all. Call it before the question.

        Raises:
            KafkaUnavailable, ClickHouseUnavailable, QueryError: it cannot be told.
        """
        wanted = topics or self._topics
        with self._asking:
            asked_ms = self._clock_ms()
            kept = self._kept.get(wanted)
            if kept is not None and 0 <= asked_ms - kept.asked_ms < self._keep_ms:
                return kept
            positions = self._positions.read(wanted)
            found = CompleteUpTo(asked_ms, self._recorded_ms(positions, asked_ms), positions)
            if self._keep_ms and positions:
                self._kept[wanted] = found
            return found

    def told(self, *topics: str) -> CompleteUpTo | None:
        """The same, or None when it cannot be told: an answer does not fail for want of this."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return self.now(*topics)
        except TradewireError:
            self._away_until = time.monotonic() + AWAY_S
            return None

    def _recorded_ms(self, found: Sequence[PartitionPosition], asked_ms: int) -> int | None:
        times = [asked_ms]
        for at in found:
            if at.behind:
                newest = self._newest_ms(at.topic, at.partition, at.stored_to) if at.stored_to else None
                if newest is None:
                    return None
                times.append(newest)
        return min(times)
