"""When a worker counts as hung, and above all when it does not: the rules alone, over made-up looks at a group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewire.processors.watchdog import PATIENCE, Hang, Offsets, Place, Rules, Sight, Standing, Watch

RULES = Rules(standing_ms_max=60_000, gap_ms_max=30_000)
EVERY_MS = 5_000
A, B = Place("trading.events", 0), Place("market.events", 1)


def judged(sights: Iterator[Sight] | list[Sight], rules: Rules = RULES) -> Standing | None:
    """The first verdict over looks in a row."""
    watch = Watch()
    for sight in sights:
        watch = watch.look(sight, rules)
        if standing := watch.standing(rules):
            return standing
    return None


@dataclass
class Group:
    """A group with one worker of two partitions, as a broker would describe it."""

    now_ms: int = 0
    low: dict[Place, int] = field(default_factory=lambda: dict.fromkeys((A, B), 0))
    end: dict[Place, int] = field(default_factory=lambda: dict.fromkeys((A, B), 0))
    committed: dict[Place, int | None] = field(default_factory=lambda: dict.fromkeys((A, B)))
    owned: frozenset[Place] = frozenset((A, B))
    work: int | None = None

    def sight(self, **more: bool) -> Sight:
        self.now_ms += EVERY_MS
        places: Mapping[Place, Offsets] = {
            place: Offsets(self.low[place], self.end[place], self.committed[place]) for place in self.owned
        }
        work = None if self.work is None else str(self.work)
        return replace(Sight(self.now_ms, places, ends=sum(self.end.values()), work=work), **more)

    def publish(self, place: Place, count: int) -> None:
        self.end[place] += count

    def commit(self, place: Place, count: int) -> None:
        begin = max(self.low[place], self.committed[place] or 0)
        self.committed[place] = min(begin + count, self.end[place])

    def caught_up(self) -> bool:
        return all((self.committed[place] or self.low[place]) >= self.end[place] for place in self.owned)


def looks(group: Group, number: int, *, traffic: int = 0) -> Iterator[Sight]:
    for _ in range(number):
        group.publish(A, traffic)
        yield group.sight()


def test_commits_that_stand_under_moving_ends_are_a_hang() -> None:
    group = Group()
    group.publish(A, 10)
    group.commit(A, 10)
    standing = judged([group.sight(), *looks(group, 14, traffic=3)])
    assert standing is not None
    assert (standing.hang, standing.stood_ms) == (Hang.WORKER, 65_000)
    assert standing.places == {A: Offsets(0, 52, 10)}
    assert "trading.events/0" in str(standing)


def test_commits_that_stand_under_a_lag_are_a_hang_even_if_nothing_new_comes() -> None:
    group = Group()
    group.publish(A, 1)
    assert judged(list(looks(group, 20))) is not None


def test_without_anything_to_commit_nothing_is_a_hang() -> None:
    group = Group()
    group.publish(A, 7)
    group.commit(A, 7)
    assert judged(list(looks(group, 10_000))) is None


def test_what_was_deleted_before_it_was_committed_does_not_wait() -> None:
    group = Group()
    group.publish(A, 7)
    group.low[A] = 7
    assert judged(list(looks(group, 100))) is None


def test_one_partition_that_stands_while_others_go_on_is_given_more_time_and_no_more() -> None:
    group, sights = Group(), []
    group.publish(A, 1)
    for _ in range(100):
        group.publish(B, 10)
        group.commit(B, 10)
        sights.append(group.sight())
    standing = judged(sights)
    assert standing is not None
    assert (standing.hang, list(standing.places)) == (Hang.PARTITION, [A])
    assert standing.stood_ms == RULES.standing_ms_max * PATIENCE + EVERY_MS


def test_a_worker_outside_of_its_group_hangs_as_soon_as_there_is_something_to_do() -> None:
    group = Group(owned=frozenset())
    sights = [group.sight(member=False) for _ in range(1_000)]
    assert judged(sights) is None
    group.publish(A, 1)
    sights += [group.sight(member=False) for _ in range(20)]
    standing = judged(sights)
    assert standing is not None and standing.hang is Hang.OUTSIDE


def test_rebalances_without_end_are_a_hang_and_one_that_takes_long_is_not() -> None:
    group = Group()
    group.publish(A, 1)
    long = [group.sight(rebalancing=index > 0) for index in range(40)]
    assert judged(long) is None
    standing = judged([*long, *(group.sight(rebalancing=True) for _ in range(40))])
    assert standing is not None and standing.hang is Hang.UNSETTLED


def test_work_that_goes_on_is_no_hang_and_work_that_stands_is_one() -> None:
    group, sights = Group(), []
    group.publish(A, 1)
    for left in range(1_000, 0, -1):
        group.work = left
        sights.append(group.sight())
    assert judged(sights) is None
    sights += [group.sight() for _ in range(20)]
    assert judged(sights) is not None


def test_an_end_offset_beyond_the_last_record_is_asked_about_once() -> None:
    group = Group()
    group.publish(A, 3)
    group.committed[A] = 2
    watch = Watch()
    for sight in looks(group, 20):
        watch = watch.look(sight, RULES)
    assert watch.standing(RULES) is not None
    watch = watch.hollow(A, 3)
    for sight in looks(group, 100):
        watch = watch.look(sight, RULES)
        assert watch.standing(RULES) is None
    group.publish(A, 1)
    for sight in looks(group, 20):
        watch = watch.look(sight, RULES)
    assert watch.standing(RULES) is not None


def test_a_restart_that_changes_nothing_is_followed_by_longer_patience() -> None:
    group, waits = Group(), []
    group.publish(A, 1)
    watch = Watch()
    for _ in range(7):
        begun = group.now_ms
        while watch.standing(RULES) is None:
            watch = watch.look(group.sight(), RULES)
        waits.append((group.now_ms - begun) // 60_000)
        watch = watch.restarted()
    assert waits == [1, 2, 4, 8, 16, 16, 16]
    group.commit(A, 1)
    for sight in looks(group, 2):
        watch = watch.look(sight, RULES)
    assert watch.restarts in (0, 7)
    group.publish(A, 2)
    group.commit(A, 1)
    watch = watch.look(group.sight(), RULES)
    assert watch.restarts == 0


# What may happen between two looks at a worker that is well, for at most so long that it cannot have hung.
LIVELY = st.sampled_from(["quiet", "traffic", "burst", "commit_a", "commit_b", "commit_all", "retention", "work"])
STORY = st.lists(
    st.one_of(
        LIVELY.map(lambda what: (what, 1)),
        st.tuples(st.just("away"), st.integers(1, 500)),
        st.tuples(st.just("rebalance"), st.integers(1, 20)),
        st.tuples(st.just("moved"), st.just(1)),
        st.tuples(st.just("hollow"), st.integers(1, 11)),
    ),
    max_size=200,
)
BUSY_LOOKS_MAX = RULES.standing_ms_max // EVERY_MS - 2


def told(group: Group, what: str, number: int) -> Iterator[Sight]:
    """What a broker describes while this happens."""
    match what:
        case "away":
            # Nobody answers: there is no look at all.
            group.now_ms += RULES.gap_ms_max + number * EVERY_MS
        case "rebalance":
            yield from (replace(group.sight(rebalancing=True), places={}) for _ in range(number))
        case "moved":
            group.owned = frozenset((A, B)) if len(group.owned) == 1 else frozenset((A,))
            yield group.sight()
        case "hollow" | "quiet":
            yield from (group.sight() for _ in range(number))
        case "traffic" | "burst":
            group.publish(A, 1 if what == "traffic" else 100_000)
            group.publish(B, 1)
            yield group.sight()
        case "retention":
            group.low[A] = group.end[A]
            yield group.sight()
        case "work":
            group.work = (group.work or 0) + 1
            yield group.sight()
        case _:
            for place in group.owned:
                if what in ("commit_all", f"commit_{'a' if place == A else 'b'}"):
                    group.commit(place, 10)
            yield group.sight()


@given(STORY)
def test_a_worker_that_commits_in_time_is_never_taken_for_hung(story: list[tuple[str, int]]) -> None:
    """However long its backlog is, whoever joins and leaves, whether the broker is there or not, and if nothing comes.

    Alive means: it commits something of every partition that has anything to commit, at the latest before the limit.
    """
    group, watch, since = Group(), Watch(), 0
    for what, number in story:
        for sight in told(group, what, number):
            watch = watch.look(sight, RULES)
            assert watch.standing(RULES) is None, (what, watch)
            since = 0 if what == "commit_all" else since + (0 if sight.rebalancing else 1)
            if since >= BUSY_LOOKS_MAX:
                for place in group.owned:
                    group.commit(place, 1)
                watch, since = watch.look(group.sight(), RULES), 0


@given(STORY, st.integers(0, 3))
def test_a_worker_that_hangs_is_found_whatever_came_before(story: list[tuple[str, int]], traffic: int) -> None:
    group, watch = Group(), Watch()
    for what, number in story:
        for sight in told(group, what, number):
            watch = watch.look(sight, RULES)
    for place in (A, B):
        group.publish(place, 1)
    found_after = None
    for number, sight in enumerate(looks(group, 40, traffic=traffic)):
        watch = watch.look(sight, RULES)
        if watch.standing(RULES):
            found_after = number
            break
    assert found_after is not None and found_after <= RULES.standing_ms_max // EVERY_MS + 3


@pytest.mark.parametrize("step_ms", [-10_000, 40_000, 86_400_000])
def test_looks_too_far_apart_say_nothing(step_ms: int) -> None:
    """The broker was away, the machine asleep."""
    group, watch = Group(), Watch()
    group.publish(A, 5)
    for _ in range(50):
        watch = watch.look(group.sight(), RULES)
        group.now_ms += step_ms
        assert watch.standing(RULES) is None
