"""Which handlers get which events."""

from __future__ import annotations

import functools
import threading
import types
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradewire.core import UnknownEventType
from tradewire.processors import RetryPolicy, SubscriptionInvalid, Subscriptions, subscribe
from tradewire.schemas import Catalogue, Event

CATALOGUE = Catalogue.load()
ORDER_TYPES = {type for type in CATALOGUE if type.startswith("trading.order.")}


def ignore(event: Event) -> None:
    """A handler."""


def names(subscriptions: Subscriptions, type: str, *, is_replayed: bool = False) -> list[str]:
    return [subscription.name for subscription in subscriptions.of(type, is_replayed=is_replayed)]


def test_a_pattern_stands_for_all_types_that_it_matches() -> None:
    subscription = Subscriptions(CATALOGUE).subscribe(ignore, "trading.order.*")

    assert ORDER_TYPES == subscription.types


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from([*CATALOGUE, "*", "trading.*", "*.order.*", "*.rejected", "m*.t*.*"]), min_size=1))
def test_a_handler_gets_a_type_if_and_only_if_a_pattern_of_it_matches(patterns: list[str]) -> None:
    subscriptions = Subscriptions(CATALOGUE)
    subscriptions.subscribe(ignore, *patterns)

    for type in CATALOGUE:
        assert any(fnmatchcase(type, pattern) for pattern in patterns) == bool(subscriptions.of(type))


def test_a_pattern_that_matches_nothing_is_refused_with_near_names() -> None:
    with pytest.raises(SubscriptionInvalid, match=r"'trading\.order\.filed' matches no .*trading\.order\.filled"):
        Subscriptions(CATALOGUE).subscribe(ignore, "trading.order.filed")
    with pytest.raises(SubscriptionInvalid, match=r"'tradng\.ordr\.\*' matches no event type.*trading\.order"):
        Subscriptions(CATALOGUE).subscribe(ignore, "tradng.ordr.*")
    with pytest.raises(SubscriptionInvalid, match=r"'zzz\.\*' matches no .*the domains are backtest, flow"):
        Subscriptions(CATALOGUE).subscribe(ignore, "zzz.*")
    with pytest.raises(SubscriptionInvalid, match=rf"^{__name__}\.ignore: the pattern"):
        Subscriptions(CATALOGUE).subscribe(ignore, "zzz.*")


@pytest.mark.parametrize(
    "pattern", ["", ".", "trading..order", "trading.order.", "trading order", "tr[ae]ding.*", "a?"]
)
def test_what_is_no_pattern_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(SubscriptionInvalid) as refused:
        subscribe(pattern)
    assert repr(pattern) in str(refused.value)


def test_the_decorator_without_patterns_is_refused() -> None:
    with pytest.raises(SubscriptionInvalid, match="no pattern is given"):
        subscribe()
    with pytest.raises(SubscriptionInvalid) as refused:
        subscribe(ignore)  # type: ignore[arg-type]
    assert f'{__name__}.ignore: @subscribe has no event types; write @subscribe("trading.order.*")' in str(
        refused.value
    )
    with pytest.raises(SubscriptionInvalid, match="is called with names of event types"):
        subscribe(7)  # type: ignore[arg-type]


def test_the_decorator_leaves_the_function_as_it_is_and_subscribes_it_to_nothing() -> None:
    subscriptions = Subscriptions(CATALOGUE)

    assert subscribe("trading.*")(ignore_too) is ignore_too
    assert 0 == len(subscriptions)


def ignore_too(event: Event) -> None:
    """Another."""


def test_many_handlers_of_a_type_are_called_in_the_order_of_their_subscription() -> None:
    subscriptions = Subscriptions(CATALOGUE)
    for name in ("first", "second", "third"):
        subscriptions.subscribe(ignore, "market.trade.reported", name=name)

    assert ["first", "second", "third"] == names(subscriptions, "market.trade.reported")


class Desk:
    """A service with handlers."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @subscribe("trading.order.created")
    def created(self, event: Event) -> None:
        self.seen.append(event)

    @subscribe("trading.order.filled", side_effects=True)
    @subscribe("trading.order.cancelled", name="gone")
    async def ended(self, event: Event) -> None:
        self.seen.append(event)

    @property
    def broken(self) -> None:
        raise AssertionError("looking for handlers must not run properties")


def test_marked_methods_of_an_object_are_subscribed_as_its_own() -> None:
    desk = Desk()
    subscriptions = Subscriptions(CATALOGUE, desk)
    (created,) = subscriptions.of("trading.order.created")
    created.handler("an event")  # type: ignore[arg-type]

    assert ["an event"] == desk.seen
    assert ["gone"] == names(subscriptions, "trading.order.cancelled")
    assert ["Desk.ended"] == names(subscriptions, "trading.order.filled")


def test_marked_functions_of_a_module_are_subscribed() -> None:
    module = types.ModuleType("handlers")
    module.note = subscribe("market.*")(lambda event: None)  # type: ignore[attr-defined]
    module.other = ignore  # type: ignore[attr-defined]

    assert 1 == len(Subscriptions(CATALOGUE, module))


def test_a_source_without_a_marked_handler_is_refused() -> None:
    for source in (ignore, types.ModuleType("empty"), object()):
        with pytest.raises(SubscriptionInvalid, match="has no handler: mark one with @subscribe"):
            Subscriptions(CATALOGUE, source)


def test_what_cannot_be_marked_is_refused() -> None:
    with pytest.raises(SubscriptionInvalid, match=r"cannot be marked: subscribe it with Subscriptions\.subscribe"):
        subscribe("market.*")([].append)


def test_what_cannot_be_called_with_one_event_is_refused_by_name() -> None:
    def two(event: Event, other: int) -> None: ...
    def generator(event: Event) -> Any:
        yield event

    subscriptions = Subscriptions(CATALOGUE)
    with pytest.raises(SubscriptionInvalid, match=r"two cannot be called with one event: missing .*'other'"):
        subscriptions.subscribe(two, "market.*")
    with pytest.raises(SubscriptionInvalid, match="generator is a generator"):
        subscriptions.subscribe(generator, "market.*")
    with pytest.raises(SubscriptionInvalid, match="is no function"):
        subscriptions.subscribe("handler", "market.*")  # type: ignore[arg-type]
    subscriptions.subscribe(functools.partial(two, other=1), "market.*")
    assert 1 == len(subscriptions)


def test_a_handler_with_side_effects_sees_no_replay_unless_it_asks() -> None:
    subscriptions = Subscriptions(CATALOGUE)
    subscriptions.subscribe(ignore, "market.*", name="fold")
    subscriptions.subscribe(ignore, "market.*", name="mail", side_effects=True)
    subscriptions.subscribe(ignore, "market.*", name="asks", side_effects=True, replayed=True)
    subscriptions.subscribe(ignore, "market.*", name="live only", replayed=False)

    assert ["fold", "mail", "asks", "live only"] == names(subscriptions, "market.trade.reported")
    assert ["fold", "asks"] == names(subscriptions, "market.trade.reported", is_replayed=True)


def test_an_ended_subscription_gets_nothing_and_ends_once() -> None:
    subscriptions = Subscriptions(CATALOGUE)
    kept = subscriptions.subscribe(ignore, "market.*", name="kept")
    ended = subscriptions.subscribe(ignore, "market.*", name="ended")

    assert subscriptions.unsubscribe(ended)
    assert not subscriptions.unsubscribe(ended)
    assert not subscriptions.holds(ended)
    assert subscriptions.holds(kept)
    assert ["kept"] == names(subscriptions, "market.trade.reported")
    subscriptions.unsubscribe(kept)
    assert frozenset() == subscriptions.types


def test_a_refused_source_leaves_nothing_half_subscribed() -> None:
    class Half:
        @subscribe("market.*")
        def fine(self, event: Event) -> None: ...
        @subscribe("nothing.like.it")
        def wrong(self, event: Event) -> None: ...

    subscriptions = Subscriptions(CATALOGUE)
    with pytest.raises(SubscriptionInvalid):
        subscriptions.include(Half())
    assert 0 == len(subscriptions)


def test_a_type_that_the_check_refuses_is_not_subscribed() -> None:
    """A subscriber asks so for the topic of each type."""

    def check(type: str) -> None:
        if type.startswith("risk."):
            raise UnknownEventType(f"no topic is declared for {type}", type=type)

    subscriptions = Subscriptions(CATALOGUE, check=check)
    subscriptions.subscribe(ignore, "market.*")
    with pytest.raises(UnknownEventType, match="no topic is declared for risk"):
        subscriptions.subscribe(ignore, "*")
    assert 1 == len(subscriptions)


def test_readers_never_see_a_change_half_made() -> None:
    """While one thread subscribes and ends, another sees the kept handler every time, and each list whole."""
    subscriptions = Subscriptions(CATALOGUE)
    subscriptions.subscribe(ignore, "market.*", name="kept")
    ended = threading.Event()

    def change() -> None:
        for _ in range(300):
            made = [subscriptions.subscribe(ignore, "market.*", name="other") for _ in range(2)]
            for one in made:
                subscriptions.unsubscribe(one)
        ended.set()

    thread = threading.Thread(target=change)
    thread.start()
    while not ended.is_set():
        assert "kept" == names(subscriptions, "market.trade.reported")[0]
    thread.join()


def test_a_handler_may_have_a_retry_policy_of_its_own() -> None:
    policy = RetryPolicy(attempts_max=1)
    subscriptions = Subscriptions(CATALOGUE, subscribe("market.*", retry=policy)(lambda event: None))

    assert policy is subscriptions.of("market.trade.reported")[0].retry
