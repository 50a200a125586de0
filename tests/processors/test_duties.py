"""What a worker is there for decides what it reads, keeps and writes; the rest of its work stays the same."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.processors.pure import NO_PATTERNS, PureWorker, pure_contract

from tradewire.core import SettingsError
from tradewire.core.clock import NS_PER_MS
from tradewire.processors.declared_work import source_topics, sources_of
from tradewire.processors.duties import PROJECTIONS, Duties
from tradewire.processors.patterns import ChangeWithin, Pattern, Patterns
from tradewire.processors.tables import FILLS_TOPIC, PATTERNS_TOPIC, STEPS_TOPIC, TABLES
from tradewire.schemas import Event

CONTRACT = pure_contract()
TRADE = "market.trade.reported"
PRICE_MOVE = Patterns(
    [
        Pattern(
            "moves",
            ChangeWithin(frozenset({TRADE}), Decimal("0.05"), 10_000 * NS_PER_MS, "any"),
            10_000 * NS_PER_MS,
            0,
            "key",
            "price",
            "market.alert.triggered",
            "WARNING",
            True,
        )
    ]
)


def trade(number: int, price: str) -> Event:
    time_ns = 1_700_000_000_000_000_000 + number * 1_000_000
    return Event(
        id=f"t{number}",
        type=TRADE,
        data={
            "venue": "v",
            "symbol": "S",
            "trade_id": str(number),
            "price": Decimal(price),
            "quantity": Decimal("2"),
            "aggressor_side": "BUY",
            "trade_time_ns": time_ns,
            "received_time_ns": time_ns,
        },
        source="tests",
        subject="v:S",
        time_ns=time_ns,
        correlation_id=f"t{number}",
    )


def test_a_worker_that_is_told_nothing_does_everything() -> None:
    """Who never heard of the settings has all read models and all flows."""
    everything = Duties()

    assert set(PROJECTIONS) == {"last_price", "candle", "order", "position"} == everything.projections
    assert source_topics(CONTRACT.topics) == sources_of(everything, NO_PATTERNS, CONTRACT)
    assert [table for table in TABLES if "pattern" not in table.name] == list(everything.tables(NO_PATTERNS))
    assert (STEPS_TOPIC, FILLS_TOPIC) == everything.own_sources(NO_PATTERNS)


def test_one_projection_reads_one_topic_and_keeps_one_table() -> None:
    """Its worker joins no group for, and recovers nothing of, what it does not do."""
    duties = Duties.of(["last_price"], correlation=False)

    assert ["market.events"] == sources_of(duties, NO_PATTERNS, CONTRACT)
    assert ["last_price"] == [table.name for table in duties.tables(NO_PATTERNS)]
    assert () == duties.own_sources(NO_PATTERNS)


def test_correlation_alone_reads_all_domains_and_keeps_flows() -> None:
    """A group that only correlates can be scaled by itself."""
    duties = Duties.of([], correlation=True)

    assert source_topics(CONTRACT.topics) == sources_of(duties, NO_PATTERNS, CONTRACT)
    assert ["flow", "flow_timer"] == [table.name for table in duties.tables(NO_PATTERNS)]
    assert (STEPS_TOPIC,) == duties.own_sources(NO_PATTERNS)


def test_a_declared_pattern_is_watched_whatever_the_duties() -> None:
    """Its file switches it on; a setting about projections does not switch it off."""
    duties = Duties.of([], correlation=False)

    assert ["market.events"] == sources_of(duties, PRICE_MOVE, CONTRACT)
    assert ["market_pattern"] == [table.name for table in duties.tables(PRICE_MOVE)]
    assert PATTERNS_TOPIC not in duties.own_sources(PRICE_MOVE)


@pytest.mark.parametrize(("named", "missing"), [("candle", "last_price"), ("position", "order")])
def test_a_projection_without_what_it_is_folded_from_is_refused(named: str, missing: str) -> None:
    """Candles close by the cursor of the last price, positions are made of fills that orders have taken."""
    with pytest.raises(SettingsError) as refused:
        Duties.of([named], correlation=True)
    assert named in str(refused.value)
    assert missing in str(refused.value)


def test_a_worker_with_nothing_to_do_is_refused() -> None:
    """It would run for ever and never read a record."""
    with pytest.raises(SettingsError) as refused:
        sources_of(Duties.of([], correlation=False), NO_PATTERNS, CONTRACT)
    assert "worker.correlation" in str(refused.value)


def test_the_last_price_alone_is_that_of_a_worker_that_folds_all() -> None:
    """Only its candle is left out, and no step is written."""
    everything = PureWorker()
    alone = PureWorker(duties=Duties.of(["last_price"], correlation=False))
    for number, price in enumerate(("10", "12", "11")):
        everything.publish(trade(number, price))
        alone.publish(trade(number, price))

    assert everything.states["last_price"]["v:S"]._replace(candle=None) == alone.states["last_price"]["v:S"]
    assert {} == alone.states["candle"] == alone.states["flow"]
    assert [] == alone.logs[STEPS_TOPIC]
    assert 3 == len(everything.logs[STEPS_TOPIC])


def test_candles_go_on_when_they_are_switched_on_again() -> None:
    """The last price keeps its cursor meanwhile: the candle that was open is closed by the first trade after it."""
    worker = PureWorker(candle_interval_ms=60_000)
    worker.publish(trade(0, "10"))
    (first,) = worker.states["candle"].values()
    pause = PureWorker(duties=Duties.of(["last_price"], correlation=False))
    pause.states, pause.logs = worker.states, worker.logs
    pause.publish(trade(1, "11"))
    worker.publish(trade(120_000, "12"))

    old, new = worker.states["candle"].values()
    assert (first.open, True, 1) == (old.open, old.closed, old.trade_count)
    assert (Decimal("12"), False) == (new.open, new.closed)
    assert 3 == worker.states["last_price"]["v:S"].trade_count
