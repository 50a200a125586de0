"""What may be committed: never past a record whose work is not done."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tradewire.processors.ledger import Claim, Ledger


def test_nothing_is_committable_before_anything_is_settled() -> None:
    ledger: Ledger[str] = Ledger()
    assert ledger.committable("p0") is None
    ledger.claim("p0", 0, 9)
    assert ledger.committable("p0") is None


def test_a_settled_range_is_committable_to_the_offset_behind_it() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.settle(ledger.claim("p0", 5, 9))
    assert ledger.committable("p0") == 10


def test_work_done_behind_an_open_range_does_not_count() -> None:
    """The head gap: Faust commits 2590 here, and 2585 is lost in a crash."""
    ledger: Ledger[str] = Ledger()
    ledger.claim("p0", 2585, 2585)
    ledger.settle(ledger.claim("p0", 2586, 2589))
    assert ledger.committable("p0") is None


def test_the_open_range_in_the_middle_is_the_limit() -> None:
    ledger: Ledger[str] = Ledger()
    first, second, third = (ledger.claim("p0", 10 * n, 10 * n + 9) for n in range(3))
    ledger.settle(first)
    ledger.settle(third)
    assert ledger.committable("p0") == 10
    ledger.settle(second)
    assert ledger.committable("p0") == 30


def test_gaps_between_offsets_do_not_hold_a_commit_up() -> None:
    """Compaction and transaction markers leave offsets that no reader ever sees."""
    ledger: Ledger[str] = Ledger()
    ledger.settle(ledger.claim("p0", 0, 3))
    ledger.settle(ledger.claim("p0", 100, 200))
    assert ledger.committable("p0") == 201


def test_a_claim_from_before_a_rebalance_settles_nothing_after_it() -> None:
    ledger: Ledger[str] = Ledger()
    old = ledger.claim("p0", 0, 9)
    ledger.forget()
    new = ledger.claim("p0", 0, 4)
    ledger.settle(old)
    assert ledger.committable("p0") is None
    ledger.settle(new)
    assert ledger.committable("p0") == 5


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_every_record_before_the_committable_offset_is_done(sizes: list[int], order: random.Random) -> None:
    ledger: Ledger[str] = Ledger()
    claims: list[Claim[str]] = []
    offset = 0
    for size in sizes:
        claims.append(ledger.claim("p0", offset, offset + size - 1))
        offset += size
    done: set[int] = set()
    for claim in order.sample(claims, len(claims)):
        ledger.settle(claim)
        done |= set(range(claim.first, claim.last + 1))
        limit = ledger.committable("p0")
        assert set(range(limit or 0)) <= done
        # Not lazy either: what stands without a gap is committable.
        assert (limit or 0) == next(number for number in range(offset + 1) if number not in done)
    assert ledger.open_claims() == 0


def test_a_range_that_is_split_is_committable_up_to_the_cut() -> None:
    ledger: Ledger[str] = Ledger()
    claim = ledger.claim("p0", 5, 9)
    rest = ledger.split(claim, 7)
    ledger.settle(claim)
    assert (ledger.committable("p0"), ledger.open_claims()) == (7, 1)
    ledger.settle(rest)
    assert ledger.committable("p0") == 10


def test_splitting_a_range_of_before_a_rebalance_opens_nothing() -> None:
    ledger: Ledger[str] = Ledger()
    claim = ledger.claim("p0", 5, 9)
    ledger.forget()
    ledger.split(claim, 7)
    assert (ledger.committable("p0"), ledger.open_claims()) == (None, 0)
