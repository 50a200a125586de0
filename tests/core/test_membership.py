"""The names of static members."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradewire.core.membership import static_config, static_name

TOPICS = st.lists(st.sampled_from(["market.events", "trading.events", "patterns.events", "system.events"]), min_size=1)


@given(TOPICS, st.randoms())
def test_the_same_topics_in_any_order_give_the_same_name(topics: list[str], random: object) -> None:
    shuffled = [*topics, *topics[:1]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert static_name("worker-1", topics) == static_name("worker-1", shuffled)


@given(TOPICS, TOPICS)
def test_other_topics_and_other_ids_give_another_name(one: list[str], other: list[str]) -> None:
    assert (set(one) == set(other)) == (static_name("worker-1", one) == static_name("worker-1", other))
    assert static_name("worker-1", one) != static_name("worker-2", one)


def test_the_name_is_the_same_in_every_process_and_release() -> None:
    """Another name for the same topics would cost every restart after an upgrade a session timeout."""
    assert "worker-1-6442fcd5" == static_name("worker-1", ["market.events", "trading.events"])


def test_who_has_no_id_or_no_topics_yet_is_no_static_member() -> None:
    """Topics that come later are not in the name: it would pass for one with whichever others."""
    assert {} == static_config(None, ["a"]) == static_config("x", [])
    assert {"group.instance.id": static_name("x", ["a"])} == static_config("x", ["a"])
