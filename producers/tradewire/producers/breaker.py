"""The circuit breaker of a publisher: whether its brokers answer, decided from what is seen of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

# On a busy machine one probe may time out though a broker is there.
_UNANSWERED_AWAY: Final = 3


class BreakerState(StrEnum):
    """``closed``: events go to Kafka. ``open``: no broker answers. ``half_open``: one does, and it is being tried."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is seen at one moment. ``now_ns`` is of a clock that never steps back.

    ``pending`` events are with librdkafka; of ``settled``, the count of those that are no longer, only changes matter.
    ``drained``: what waits in the spool can be handed over in one go. ``brokers_down``: librdkafka has said since the
    last look that it is connected to no broker. ``answered``: how a probe since the last look ended; None where there
    was none.
    """

    now_ns: int
    pending: int
    settled: int
    drained: bool = True
    brokers_down: bool = False
    answered: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One state of the breaker; ``look`` gives the next.

    It opens when librdkafka says that every broker is gone while events wait for them, or when nothing was settled for
    ``stall_ns`` while events wait: a hung broker keeps its connections. Open, it wants a probe every ``probe_ns``; one
    that is answered half-opens it. Half open, it closes when an event got through and the spool is drained, and
    opens again as if it were closed. An idle publisher has no opinion: a broker closes idle connections too.
    """

    stall_ns: int
    probe_ns: int
    state: BreakerState = BreakerState.CLOSED
    opened_ns: int | None = None
    progress_ns: int
    probe_ns_due: int = 0
    settled: int = 0
    down: bool = False
    proven: bool = False
    unanswered: int = 0

    @classmethod
    def made(cls, *, stall_ms: int, probe_ms: int, now_ns: int, opened: bool = False) -> Self:
        """A new breaker; ``opened`` where a spool already holds events, which must go before any other."""
        breaker = cls(stall_ns=stall_ms * 1_000_000, probe_ns=probe_ms * 1_000_000, progress_ns=now_ns)
        if opened:
            return replace(breaker, state=BreakerState.OPEN, opened_ns=now_ns, probe_ns_due=now_ns)
        return breaker

    @property
    def away(self) -> bool:
        """Open, and not only because a spool had events from the start: then three probes must have failed."""
        return self.state is BreakerState.OPEN and self.unanswered >= _UNANSWERED_AWAY

    def wants_probe(self, now_ns: int) -> bool:
        """Whether a broker should be asked now; the answer goes into the next sight."""
        return self.state is BreakerState.OPEN and now_ns >= self.probe_ns_due

    def look(self, sight: Sight) -> Self:
        """The breaker after ``sight``."""
        moved = sight.settled != self.settled
        idle = sight.pending == 0
        down = not idle and (sight.brokers_down or (self.down and not moved))
        now = replace(
            self,
            settled=sight.settled,
            down=down,
            progress_ns=sight.now_ns if moved or idle else self.progress_ns,
            proven=self.proven or moved,
        )
        if self.state is BreakerState.OPEN:
            return now._when_open(sight)
        if not moved and not idle and (down or sight.now_ns - now.progress_ns >= self.stall_ns):
            opened = self.opened_ns if self.opened_ns is not None else sight.now_ns
            due = sight.now_ns + self.probe_ns
            return replace(
                now,
                state=BreakerState.OPEN,
                opened_ns=opened,
                probe_ns_due=due,
                down=False,
                unanswered=_UNANSWERED_AWAY,
            )
        if self.state is BreakerState.HALF_OPEN and sight.drained and (idle or now.proven):
            return replace(now, state=BreakerState.CLOSED, opened_ns=None)
        return now

    def _when_open(self, sight: Sight) -> Self:
        if sight.answered:
            return replace(self, state=BreakerState.HALF_OPEN, progress_ns=sight.now_ns, down=False, proven=False)
        if sight.answered is False:
            return replace(self, probe_ns_due=sight.now_ns + self.probe_ns, unanswered=self.unanswered + 1)
        return self
