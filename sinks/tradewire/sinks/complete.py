"""Up to where an answer out of history is complete: asked of Kafka before the question is put to ClickHouse."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tradewire.sinks.positions import PartitionPosition


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
        """Offsets in Kafka that are not confirmed in ClickHouse; transaction markers count."""
        return sum(partition.behind for partition in self.partitions)


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
        self._positions = positions
        self._topics = topics
        self._newest_ms = newest_ms
        self._clock_ms = clock_ms
        self._keep_ms = keep_ms
        self._kept: dict[str | None, CompleteUpTo] = {}
        self._asking = threading.Lock()

    def now(self, topic: str | None = None) -> CompleteUpTo:
        """Of one topic, or of all. Call it before the question.

        Raises:
            KafkaUnavailable, ClickHouseUnavailable: it cannot be told.
        """
        with self._asking:
            asked_ms = self._clock_ms()
            kept = self._kept.get(topic)
            if kept is not None and 0 <= asked_ms - kept.asked_ms < self._keep_ms:
                return kept
            positions = self._positions.read([topic] if topic is not None else self._topics)
            found = CompleteUpTo(asked_ms, self._recorded_ms(positions, asked_ms), positions)
            if topic is None or topic in self._topics:
                self._kept[topic] = found
            return found

    def _recorded_ms(self, found: Sequence[PartitionPosition], asked_ms: int) -> int | None:
        times = [asked_ms]
        for at in found:
            if at.behind:
                newest = self._newest_ms(at.topic, at.partition, at.stored_to) if at.stored_to else None
                if newest is None:
                    return None
                times.append(newest)
        return min(times)
