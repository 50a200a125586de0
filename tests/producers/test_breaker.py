"""The circuit breaker, from sights alone."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tradewire.producers.breaker import Breaker, BreakerState, Sight

STALL_MS, PROBE_MS = 1_000, 100
MS = 1_000_000


def closed() -> Breaker:
    return Breaker.made(stall_ms=STALL_MS, probe_ms=PROBE_MS, now_ns=0)


def opened() -> Breaker:
    return closed().look(Sight(now_ns=1, pending=5, settled=0, brokers_down=True))


def half_open() -> Breaker:
    return opened().look(Sight(now_ns=200 * MS, pending=5, settled=0, answered=True))


def test_it_opens_at_once_when_every_broker_is_gone_and_events_wait() -> None:
    """librdkafka's word is enough, and the start of the outage is kept."""
    assert (BreakerState.OPEN, 1, True) == (opened().state, opened().opened_ns, opened().away)


def test_an_idle_publisher_does_not_open() -> None:
    """Brokers close idle connections; that is no outage, and later events do not inherit the word."""
    idle = closed().look(Sight(now_ns=1, pending=0, settled=0, brokers_down=True))
    assert BreakerState.CLOSED is idle.state

    later = idle.look(Sight(now_ns=2, pending=3, settled=0))
    assert BreakerState.CLOSED is later.state


def test_the_word_that_brokers_are_gone_outlives_the_last_confirmations() -> None:
    """Reports that were still under way when the connection broke do not keep it closed."""
    moved = closed().look(Sight(now_ns=1, pending=5, settled=3, brokers_down=True))
    assert BreakerState.CLOSED is moved.state

    assert BreakerState.OPEN is moved.look(Sight(now_ns=2, pending=5, settled=3)).state


def test_it_opens_when_nothing_is_settled_for_the_stall_time() -> None:
    """A hung broker says nothing; the time counts from the last progress, not from the first event."""
    breaker = closed().look(Sight(now_ns=900 * MS, pending=5, settled=1))
    assert BreakerState.CLOSED is breaker.look(Sight(now_ns=1_899 * MS, pending=5, settled=1)).state

    assert BreakerState.OPEN is breaker.look(Sight(now_ns=1_900 * MS, pending=5, settled=1)).state


def test_probes_are_wanted_at_their_pace_and_only_when_open() -> None:
    """Closed and half open it asks nothing."""
    assert not closed().wants_probe(10**12)
    assert not half_open().wants_probe(10**12)
    breaker = opened()
    assert [False, True] == [breaker.wants_probe(99 * MS), breaker.wants_probe(101 * MS)]

    failed = breaker.look(Sight(now_ns=101 * MS, pending=5, settled=0, answered=False))
    assert [False, True] == [failed.wants_probe(200 * MS), failed.wants_probe(201 * MS)]


def test_half_open_closes_only_when_an_event_got_through_and_the_spool_is_drained() -> None:
    """An answer alone proves nothing, and the spool goes before new events."""
    waiting = half_open().look(Sight(now_ns=201 * MS, pending=5, settled=0))
    assert BreakerState.HALF_OPEN is waiting.state
    proven = waiting.look(Sight(now_ns=202 * MS, pending=4, settled=1, drained=False))
    assert BreakerState.HALF_OPEN is proven.state

    done = proven.look(Sight(now_ns=203 * MS, pending=4, settled=1))
    assert (BreakerState.CLOSED, None) == (done.state, done.opened_ns)


def test_half_open_opens_again_and_the_outage_goes_on() -> None:
    """The broker went while it was tried: the outage has its first beginning."""
    again = half_open().look(Sight(now_ns=300 * MS, pending=5, settled=0, brokers_down=True))

    assert (BreakerState.OPEN, 1) == (again.state, again.opened_ns)


def test_old_rows_open_it_without_calling_the_broker_away() -> None:
    """A publisher that starts with a spool asks at once, and a close waits for the answer."""
    breaker = Breaker.made(stall_ms=STALL_MS, probe_ms=PROBE_MS, now_ns=5, opened=True)
    assert (BreakerState.OPEN, False, True) == (breaker.state, breaker.away, breaker.wants_probe(5))

    for _ in range(2):
        breaker = breaker.look(Sight(now_ns=6, pending=0, settled=0, answered=False))
        assert not breaker.away
    assert breaker.look(Sight(now_ns=6, pending=0, settled=0, answered=False)).away


SIGHTS = st.lists(
    st.tuples(
        st.integers(0, 1_500), st.integers(0, 3), st.integers(0, 2), st.booleans(), st.booleans(),
        st.sampled_from([None, True, False]),
    ),
    max_size=40,
)  # fmt: skip


@given(SIGHTS)
def test_states_follow_one_another_as_they_may(sights: list[tuple[int, int, int, bool, bool, bool | None]]) -> None:
    """Whatever is seen: no way from open to closed past half open, none to half open without an answer, none to closed
    without progress and an empty spool, and an outage has a beginning exactly while it lasts.
    """
    breaker, now, settled = closed(), 0, 0
    for waited, pending, moved, drained, down, answered in sights:
        now, settled = now + waited * MS, settled + moved
        sight = Sight(
            now_ns=now, pending=pending, settled=settled, drained=drained, brokers_down=down,
            answered=answered if breaker.wants_probe(now) else None,
        )  # fmt: skip
        new = breaker.look(sight)
        step = (breaker.state.value, new.state.value)
        assert step not in {("open", "closed"), ("closed", "half_open")}
        if step == ("open", "half_open"):
            assert sight.answered is True
        if step == ("half_open", "closed"):
            assert drained
            assert pending == 0 or new.proven
        if step in {("closed", "open"), ("half_open", "open")}:
            assert pending
            assert not moved
        assert (new.opened_ns is None) == (new.state is BreakerState.CLOSED)
        assert new == breaker.look(replace(sight))
        breaker = new
