"""The guard of a publisher: a thread that watches whether brokers answer, and empties the spool when they do."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from tradewire.core import TradewireError, get_logger
from tradewire.core.settings import PublisherSettings
from tradewire.producers._lanes import Lane
from tradewire.producers._outage import Outage
from tradewire.producers.breaker import Breaker, BreakerState, Sight
from tradewire.producers.spool import Spool

_log = get_logger(__name__)
_PAUSE_SECONDS: Final = 0.05
_PROBE_SECONDS: Final = 1.0


class Guard:
    """Turns what is seen of lanes and spool into states of the breaker, and does what each state asks for."""

    def __init__(
        self,
        limits: PublisherSettings,
        spool: Spool | None,
        lanes: Callable[[], Sequence[Lane]],
        lane_of: Callable[[str], Lane],
        taken: Callable[[], int],
        over: Callable[[Outage], None],
    ) -> None:
        self._spool, self._lanes, self._lane_of, self._taken, self._over = spool, lanes, lane_of, taken, over
        self.breaker = Breaker.made(
            stall_ms=limits.breaker_stall_ms,
            probe_ms=limits.breaker_probe_ms,
            now_ns=time.monotonic_ns(),
            opened=spool is not None and not spool.direct,
        )
        self._down = False
        self._said = ""
        self._topics: frozenset[str] = frozenset()
        self._before = (0, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tradewire-publisher-guard", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what it was doing is finished."""
        self._stop.set()
        self._thread.join()

    def on_error(self, error: KafkaError) -> None:
        """librdkafka's error callback."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down = True

    def _run(self) -> None:
        pause = _PAUSE_SECONDS
        while not self._stop.wait(pause):
            try:
                pause = 0.0 if self._step() else _PAUSE_SECONDS
            except (KafkaException, sqlite3.Error, TradewireError) as error:
                if str(error) != self._said:
                    self._said = str(error)
                    _log.error("the spool cannot go on; it is tried again", error=self._said)
                pause = 10 * _PAUSE_SECONDS
            except Exception:  # without this thread no event of the spool would ever leave it
                _log.exception("guard")
                pause = 10 * _PAUSE_SECONDS

    def _step(self) -> bool:
        """One look; True if there is more to do at once."""
        spool = self._spool
        answered = self._probe() if self.breaker.wants_probe(time.monotonic_ns()) else None
        down, self._down = self._down, False
        pending = sum(len(lane.producer) for lane in self._lanes())
        sight = Sight(
            now_ns=time.monotonic_ns(),
            pending=pending,
            settled=spool.reports if spool else self._taken() - pending,
            drained=spool is None or spool.drained,
            brokers_down=down,
            answered=answered,
        )
        self._enter(self.breaker.look(sight), sight)
        if spool is None:
            return False
        spool.now_ms = time.time_ns() // 1_000_000
        spool.sweep()
        spool.copy()
        if self.breaker.state is not BreakerState.HALF_OPEN:
            return False
        spool.verify(self._stop.is_set)
        return spool.drain(self._lane_of) > 0

    def _enter(self, new: Breaker, sight: Sight) -> None:
        old, spool = self.breaker, self._spool
        if new.state is BreakerState.CLOSED and old.state is not BreakerState.CLOSED:
            if spool is not None and not spool.close_breaker(self._lane_of):
                self.breaker = replace(new, state=old.state, opened_ns=old.opened_ns)
                return
            self.breaker = new
            self._tell(sight.now_ns - (old.opened_ns or sight.now_ns))
            return
        if new.state is BreakerState.OPEN and old.state is BreakerState.CLOSED:
            if spool is not None:
                self._before = (spool.accepted, spool.turned_away)
                spool.open()
            _log.warning("deliveries stand still", pending=sight.pending, spooling=spool is not None)
        self.breaker = new

    def _tell(self, duration_ns: int) -> None:
        accepted, turned_away = (self._spool.accepted, self._spool.turned_away) if self._spool else (0, 0)
        outage = Outage(
            duration_ns // 1_000_000, accepted - self._before[0], turned_away - self._before[1], self._topics
        )
        _log.warning(
            "deliveries go on", duration_ms=outage.duration_ms, spooled=outage.spooled, refused=outage.turned_away
        )
        self._over(outage)

    def _probe(self) -> bool:
        try:
            found = self._lanes()[0].producer.list_topics(timeout=_PROBE_SECONDS)
        except KafkaException:
            return False
        self._topics = frozenset(found.topics)
        return True
