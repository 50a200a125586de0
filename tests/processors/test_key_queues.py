"""Order within a unit, and no unit held up by another."""

from __future__ import annotations

import random
from collections import defaultdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tradewire.processors.key_queues import KeyQueues

units = st.sampled_from("abcd")


def test_a_unit_that_waits_holds_up_no_other() -> None:
    queues: KeyQueues[str, int] = KeyQueues()
    for unit, item in (("a", 1), ("a", 2), ("b", 3)):
        queues.add(unit, item)
    assert ("a", 1) == queues.take(0)
    queues.again("a", 10)
    assert ("b", 3) == queues.take(0)
    queues.done("b")
    assert queues.take(9) is None
    assert 10 == queues.next_due()
    assert ("a", 1) == queues.take(10)


def test_units_take_turns() -> None:
    queues: KeyQueues[str, int] = KeyQueues()
    for unit, item in (("a", 1), ("a", 2), ("a", 3), ("b", 4)):
        queues.add(unit, item)
    taken = []
    while (found := queues.take(0)) is not None:
        taken.append(found[1])
        queues.done(found[0])
    assert [1, 4, 2, 3] == taken


def test_trimming_keeps_what_is_out_and_the_oldest_but_no_retry() -> None:
    queues: KeyQueues[str, int] = KeyQueues()
    for unit, item in (("out", 1), ("out", 2), ("out", 7), ("waits", 3), ("waits", 4), ("ready", 5), ("ready", 9)):
        queues.add(unit, item)
    queues.add("new", 8)
    assert [("out", 1), ("waits", 3)] == [queues.take(0), queues.take(0)]
    queues.again("waits", 1)
    queues.trim(lambda unit: True, lambda item: item <= 5)
    assert queues.is_busy(lambda unit: unit == "out")
    assert not queues.is_busy(lambda unit: unit in ("waits", "new"))
    found = []
    queues.done("out")
    while (taken := queues.take(2)) is not None:
        found.append(taken[1])
        queues.done(taken[0])
    assert [5, 2] == found
    assert 0 == len(queues)


def test_what_is_added_to_a_dropped_unit_waits_for_the_call_that_still_runs() -> None:
    queues: KeyQueues[str, int] = KeyQueues()
    queues.add("a", 1)
    queues.add("a", 2)
    queues.take(0)
    assert [2] == queues.drop(lambda unit: True)
    queues.add("a", 3)
    assert queues.take(0) is None
    queues.again("a", 100)  # the old owner's retry: there is none
    assert ("a", 3) == queues.take(0)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(units, st.integers())), st.randoms(use_true_random=False))
def test_items_of_a_unit_come_out_in_the_order_in_which_they_went_in(
    items: list[tuple[str, int]], chance: random.Random
) -> None:
    queues: KeyQueues[str, int] = KeyQueues()
    expected, found = defaultdict(list), defaultdict(list)
    out: list[tuple[str, int]] = []
    left, now = list(items), 0.0
    while left or out or len(queues):
        now += 1
        if left and chance.random() < 0.5:
            unit, item = left.pop(0)
            expected[unit].append(item)
            queues.add(unit, item)
        elif out and chance.random() < 0.5:
            unit, item = out.pop(chance.randrange(len(out)))
            if chance.random() < 0.3:
                queues.again(unit, now + chance.random() * 5)
            else:
                found[unit].append(item)
                queues.done(unit)
        elif (taken := queues.take(now)) is not None:
            assert taken[0] not in {unit for unit, _ in out}
            out.append(taken)
    assert expected == found


class QueuesWithDrops(RuleBasedStateMachine):
    """Against lists: rebalances drop units while items of them are out."""

    def __init__(self) -> None:
        super().__init__()
        self.queues: KeyQueues[str, int] = KeyQueues()
        self.model: dict[str, list[int]] = defaultdict(list)
        self.out: dict[str, int] = {}
        self.stale: set[str] = set()
        self.now, self.number = 0.0, 0

    @rule(unit=units)
    def add(self, unit: str) -> None:
        self.number += 1
        self.queues.add(unit, self.number)
        self.model[unit].append(self.number)

    @rule(step=st.floats(0, 3))
    def take(self, step: float) -> None:
        self.now += step
        taken = self.queues.take(self.now)
        if taken is not None:
            unit, item = taken
            assert unit not in self.out
            assert item == self.model[unit][0]
            self.out[unit] = item

    @rule(unit=units, again=st.booleans(), wait=st.floats(0, 3))
    def give_back(self, unit: str, again: bool, wait: float) -> None:
        if unit not in self.out:
            return
        del self.out[unit]
        if again:
            self.queues.again(unit, self.now + wait)
        else:
            self.queues.done(unit)
        if unit in self.stale:
            self.stale.discard(unit)
        elif not again:
            self.model[unit].pop(0)

    @rule(chosen=st.sets(units))
    def drop(self, chosen: set[str]) -> None:
        self.queues.drop(lambda unit: unit in chosen)
        for unit in chosen:
            self.model[unit].clear()
            if unit in self.out:
                self.stale.add(unit)

    @rule()
    def drain(self) -> None:
        """Whatever happened, everything that is queued comes out, and the queues end empty."""
        for unit in list(self.out):
            self.give_back(unit, again=False, wait=0)
        self.now += 10
        while (taken := self.queues.take(self.now)) is not None:
            assert self.model[taken[0]].pop(0) == taken[1]
            self.queues.done(taken[0])
        assert not any(self.model.values())
        assert 0 == len(self.queues)

    @invariant()
    def counts_what_it_holds(self) -> None:
        assert len(self.queues) == sum(map(len, self.model.values())) + len(self.stale)


TestQueuesWithDrops = QueuesWithDrops.TestCase
TestQueuesWithDrops.settings = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
