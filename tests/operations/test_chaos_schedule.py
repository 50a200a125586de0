"""The schedule of faults is a function of its seed, and no fault is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operations.chaos_schedule import BEGINS_WITHIN_S, FAULTS, IN_EVERY_RUN, schedule, seeds_of, steps

SEEDS = st.integers(0, 100_000)


@given(SEEDS)
def test_a_seed_gives_the_same_faults_each_time_and_its_neighbour_others(seed: int) -> None:
    assert schedule(seed) == schedule(seed)
    assert schedule(seed) != schedule(seed + 1)


@given(SEEDS)
def test_three_seeds_deal_out_every_fault_once(third: int) -> None:
    first = 3 * third
    dealt = [fault for seed in range(first, first + 3) for fault in schedule(seed)]
    assert sorted((part, what) for part, what, _, _ in FAULTS) == sorted((fault.part, fault.what) for fault in dealt)


def test_the_seeds_of_every_run_of_the_tests_make_every_fault() -> None:
    made = {(fault.part, fault.what) for seed in IN_EVERY_RUN for fault in schedule(seed)}
    assert {(part, what) for part, what, _, _ in FAULTS} == made


@given(SEEDS)
def test_a_fault_begins_in_time_and_lasts_as_long_as_it_may(seed: int) -> None:
    bounds = {(part, what): (shortest, longest) for part, what, shortest, longest in FAULTS}
    for fault in schedule(seed):
        shortest, longest = bounds[fault.part, fault.what]
        assert 0 <= fault.begins_s <= BEGINS_WITHIN_S
        assert shortest - 0.02 <= fault.ends_s - fault.begins_s <= longest + 0.02


@given(SEEDS)
def test_each_fault_begins_once_and_ends_once_after_that(seed: int) -> None:
    todo = steps(schedule(seed))
    assert [at for at, _, _ in todo] == sorted(at for at, _, _ in todo)
    for fault in schedule(seed):
        assert [True, False] == [begins for _, which, begins in todo if which == fault]


def test_seeds_are_written_as_a_range_or_one_by_one() -> None:
    assert (0, 1, 2) == seeds_of("0-2")
    assert (7,) == seeds_of("7")
    assert (7, 12, 13, 14) == seeds_of("7, 12-14,12")
    with pytest.raises(ValueError, match="0-19 or 7,12"):
        seeds_of("many")
