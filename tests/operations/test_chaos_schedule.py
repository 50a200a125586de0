"""The schedule of faults is a function of its seed, no fault is left out; and the judge finds what went wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operations.chaos_schedule import BEGINS_WITHIN_S, FAULTS, IN_EVERY_RUN, schedule, seeds_of, steps
from tests.operations.chaos_verdict import anomalies

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


def test_all_is_well_when_each_number_is_there_once_and_in_order() -> None:
    assert {} == anomalies({"a": [0, 2, 5], "b": [1, 4]}, range(6), unknown=[3])
    assert {} == anomalies({"a": [0, 2, 5], "b": [1, 3, 4]}, range(6), unknown=[3])


@given(st.lists(st.integers(0, 30), min_size=2, unique=True).map(sorted), st.data())
def test_what_is_lost_doubled_invented_or_out_of_order_is_named(numbers: list[int], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(numbers) - 1))
    one = numbers[at]
    assert {"lost-write": [one]} == anomalies({"a": [*numbers[:at], *numbers[at + 1 :]]}, numbers)
    assert {"duplicate": [one]} == anomalies({"a": [*numbers[:at], one, *numbers[at:]]}, numbers)
    assert {"never-sent": [99]} == anomalies({"a": [*numbers, 99]}, numbers)
    assert "nonmonotonic" in anomalies({"a": numbers[::-1]}, numbers)
