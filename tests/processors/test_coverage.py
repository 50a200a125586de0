"""What a group has dealt with, by what its members write down of their offsets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradewire.processors.parking.coverage import RANGES_MAX, Gap, advanced, begun, gaps
from tradewire.processors.parking.facts import Coverage


def test_a_first_member_begins_a_range_and_what_lies_before_it_is_nobody_s_gap() -> None:
    coverage = advanced(begun(None, 100), 150, exact=True)
    assert Coverage(((100, 150),), (True,)) == coverage
    assert [] == list(gaps(coverage, 150))


def test_a_member_that_begins_ahead_of_where_the_last_one_ended_leaves_a_gap() -> None:
    coverage = advanced(begun(advanced(begun(None, 0), 50, exact=True), 80), 90)
    assert [Gap(50, 80, True)] == list(gaps(coverage, 90))


def test_behind_a_crash_a_gap_is_not_sure() -> None:
    assert [Gap(50, 80, False)] == list(gaps(begun(advanced(begun(None, 0), 50), 80), 80))


def test_an_offset_that_was_reset_while_no_member_runs_is_a_gap_too() -> None:
    assert [Gap(50, 500, True)] == list(gaps(advanced(begun(None, 0), 50, exact=True), 500))


def test_a_member_that_begins_behind_goes_on_with_the_range_and_leaves_no_gap() -> None:
    coverage = begun(advanced(begun(None, 40), 50, exact=True), 10)
    assert Coverage(((10, 50),), (False,)) == coverage
    assert [] == list(gaps(advanced(coverage, 30), 30))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.booleans()), min_size=1, max_size=80))
def test_no_offset_is_in_a_gap_that_a_member_has_committed(sessions: list[tuple[int, int, bool]]) -> None:
    """Each member begins somewhere and commits so many; jumps go forward here, ``begun`` goes back by itself."""
    coverage, handled, place = None, set(), 0
    for jump, count, exact in sessions:
        begin = place + jump
        coverage = advanced(begun(coverage, begin), begin + count, exact=exact)
        handled |= set(range(begin, begin + count))
        place = begin + count
    assert coverage is not None
    missed = {offset for gap in gaps(coverage, place) for offset in range(gap.first, gap.end)}
    assert not missed & handled
    if len(sessions) <= RANGES_MAX:
        first = coverage.ranges[0][0]
        assert set(range(first, place)) - handled == missed
