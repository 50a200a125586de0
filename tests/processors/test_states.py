"""States in memory: bounded, and never dropped before they are in the store."""

from __future__ import annotations

from tradewire.processors.states import StateCache


def test_a_state_stays_in_memory_until_its_batch_is_stored() -> None:
    cache = StateCache(1)
    cache.keep("a", 1, batch=1)
    cache.keep("b", 2, batch=2)
    cache.stored(0)
    cache.keep("c", 3, batch=3)
    cache.stored(1)
    cache.stored(1)
    assert [cache.get(key) for key in "abc"] == [1, 2, 3]


def test_memory_is_bounded_once_batches_are_stored() -> None:
    cache = StateCache(10)
    for batch in range(1, 200):
        for number in range(5):
            cache.keep(f"{batch}-{number}", batch, batch)
        cache.stored(batch)
    assert len(cache) <= 30


def test_the_newest_state_wins_over_the_older_generation() -> None:
    cache = StateCache(1)
    cache.keep("a", "old", batch=1)
    cache.stored(1)
    cache.keep("a", "new", batch=2)
    assert cache.get("a") == "new"
    cache.stored(2)
    assert cache.get("a") == "new"
