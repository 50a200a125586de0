"""What a worker's handlers are named by, and which it can run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tradewire.core import SettingsError, load_settings
from tradewire.processors import SubscriptionInvalid, Subscriptions
from tradewire.processors.declared_work import handled_topics, sources_of
from tradewire.processors.duties import Duties
from tradewire.processors.handler_targets import load_handlers
from tradewire.processors.patterns import Patterns
from tradewire.schemas import Catalogue, Contract

MODULE = """
from tradewire.core import load_settings
from tradewire.processors import Subscriptions, subscribe
from tradewire.schemas import Contract

@subscribe("trading.order.*")
def plain(event): ...

@subscribe("market.trade.reported")
async def waits(event): ...

class Desk:
    @subscribe("risk.alert.raised")
    def alert(self, event): ...

class NeedsMore:
    def __init__(self, what): ...

desk = Desk()
def several(): return [Desk(), plain]
def broken(): raise RuntimeError("no database")
live = Subscriptions(Contract.load(load_settings()).catalogue)
live.subscribe(lambda event: None, "setup.*", name="given")
other = Subscriptions(Contract.load(load_settings()).catalogue)
unmarked = object()
"""


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract.load(load_settings())


@pytest.fixture
def catalogue(contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    (tmp_path / "a_service.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "a_service", raising=False)
    return contract.catalogue


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("a_service", ["plain", "waits"]),
        ("a_service:plain", ["plain"]),
        ("a_service:desk", ["Desk.alert"]),
        ("a_service:desk.alert", ["Desk.alert"]),
        ("a_service:Desk", ["Desk.alert"]),
        ("a_service:several", ["Desk.alert", "plain"]),
        ("a_service:live", ["given"]),
    ],
)
def test_a_target_is_a_module_or_something_in_one(target: str, names: list[str], catalogue: Catalogue) -> None:
    """Functions, objects, classes and factories, and Subscriptions."""
    assert names == [subscription.name for subscription in load_handlers([target], catalogue)._held]


def test_subscriptions_that_a_target_names_are_the_ones_in_use(catalogue: Catalogue) -> None:
    """So that the service can change them while the worker runs; other targets are added to them."""
    used = load_handlers(["a_service:plain", "a_service:live"], catalogue)

    assert sys.modules["a_service"].live is used
    assert ["given", "plain"] == [subscription.name for subscription in used._held]


@pytest.mark.parametrize(
    ("targets", "error", "why"),
    [
        (["a_service.inner"], SettingsError, "there is no module a_service.inner"),
        (["a_service:nothing"], SettingsError, "has no nothing"),
        (["a_service:broken"], SettingsError, "no database"),
        (["a_service:NeedsMore"], SettingsError, "without arguments"),
        (["a_service:unmarked"], SubscriptionInvalid, "has no handler"),
        (["a_service:other"], SettingsError, "hold no handler"),
        (["a_service:live", "a_service:other"], SettingsError, "two Subscriptions"),
    ],
)
def test_a_target_without_a_handler_is_refused_by_name(
    targets: list[str], error: type[Exception], why: str, catalogue: Catalogue
) -> None:
    """Before the worker joins its group."""
    with pytest.raises(error, match=why):
        load_handlers(targets, catalogue)


def test_a_restriction_asks_about_what_is_held_and_about_what_comes(contract: Contract) -> None:
    """Nothing is subscribed that is refused; what is held before stays."""

    def of_orders(type: str) -> None:
        if not type.startswith("trading.order."):
            raise SubscriptionInvalid(f"{type} is not read")

    subscriptions = Subscriptions(contract.catalogue)
    subscriptions.subscribe(print, "trading.order.filled")
    subscriptions.restrict(of_orders)
    with pytest.raises(SubscriptionInvalid, match="is not read"):
        subscriptions.subscribe(print, "trading.*")
    subscriptions.subscribe(print, "trading.order.created")
    assert frozenset({"trading.order.filled", "trading.order.created"}) == subscriptions.types

    other = Subscriptions(contract.catalogue)
    other.subscribe(print, "market.trade.reported")
    with pytest.raises(SubscriptionInvalid, match=r"market\.trade\.reported is not read"):
        other.restrict(of_orders)


def test_a_worker_reads_what_is_handled_beside_what_it_folds(contract: Contract, catalogue: Catalogue) -> None:
    """With nothing to fold the handlers' topics are enough; what a worker keeps as a table it has no handler for."""
    idle, no_patterns = Duties.of([], correlation=False), Patterns([])
    handled = handled_topics(load_handlers(["a_service:several"], catalogue), contract)

    assert frozenset({"risk.events", "trading.events"}) == handled
    assert [] == sources_of(idle, no_patterns, contract, handled)
    with pytest.raises(SettingsError, match="no handler named"):
        sources_of(idle, no_patterns, contract)
    for pattern in ("*", "readmodel.order.changed", "flows.*"):
        everything = Subscriptions(contract.catalogue)
        everything.subscribe(print, pattern)
        with pytest.raises(SubscriptionInvalid, match="name the domains"):
            handled_topics(everything, contract)
    notices = Subscriptions(contract.catalogue)
    notices.subscribe(print, "flow.run.*")
    assert frozenset({"flow.events"}) == handled_topics(notices, contract)
