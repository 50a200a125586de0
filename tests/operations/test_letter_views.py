"""What `tradewire dlq` says where nothing is found."""

from __future__ import annotations

from typing import Any

from tradewire.operations.letter_views import nothing_parked, other_groups
from tradewire.processors.parking import ParkedKey
from tradewire.processors.parking.operating import Seen


def seen(*keys: bytes | None) -> Seen:
    parked: dict[ParkedKey, Any] = {ParkedKey("t", 0, key): None for key in keys}
    return Seen("desk", parked)


def test_a_key_that_is_not_parked_is_said_with_those_that_are() -> None:
    """At most ten of them."""
    wishes = {"key": "o-z", "type": None, "topic": None}
    assert nothing_parked(seen(b"o-2", None), wishes) == (
        "key 'o-z' is not parked in group desk. Parked keys: (no key), o-2."
    )
    assert nothing_parked(seen(*(b"%02d" % number for number in range(12))), wishes).endswith(", 09 and 2 more.")


def test_an_empty_group_is_said_to_be_empty() -> None:
    """With what was wished for, if anything was."""
    assert nothing_parked(seen(), {"key": None}) == "Nothing is parked of group desk. 0 letters are settled."
    assert nothing_parked(seen(), {"key": "o"}) == "key 'o': nothing is parked of group desk. 0 letters are settled."


def test_other_groups_are_named_without_the_one_that_was_asked() -> None:
    """A worker's handlers have a group of their own, which is easily forgotten."""
    assert other_groups("desk", ["desk", "desk.handlers"]) == (
        " Groups that have dead letters: desk.handlers; name one with --group."
    )
    assert other_groups("desk", ["desk"]) == ""
