"""Time as integer nanoseconds since the Unix epoch, UTC. Code that decides by time takes a ``Clock`` to be testable."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    """Source of the current time; ``now_ns`` may step backwards when the host's clock is set."""

    def now_ns(self) -> int: ...


class SystemClock:
    """The host's clock."""

    def now_ns(self) -> int:
        return time.time_ns()


@dataclass(slots=True)
class ManualClock:
    """A clock that stands until it is moved."""

    time_ns: int = 0

    def now_ns(self) -> int:
        return self.time_ns

    def advance_ms(self, ms: int) -> None:
        """Moves the clock; a negative value steps it back, as a host's clock may."""
        self.time_ns += ms * NS_PER_MS
