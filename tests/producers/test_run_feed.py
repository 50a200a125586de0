"""The feed runner on the real broker: counts, pace, malformed lines, and a run that fails when events are unknown."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tests.needs import market_file_or_skip
from tests.producers.records import Reader, headers_of

from tradewire.core import NS_PER_SECOND, EventInvalid, load_settings, new_id
from tradewire.producers import FeedError, Publisher
from tradewire.producers.feeds import (
    FeedItem,
    FeedProgress,
    LineFile,
    OtherKind,
    binance_trades,
    run_feed,
    simulate,
)
from tradewire.schemas import Contract, Event, FixedIds


def spaced(trade: dict[str, Any], *seconds: float) -> Iterator[Event]:
    """Events at the given seconds of their own time."""
    for second in seconds:
        yield Event(
            id=new_id(),
            type="market.trade.reported",
            data=trade,
            source="tests",
            subject="x",
            time_ns=10**18 + int(second * NS_PER_SECOND),
            correlation_id="c",
        )


def test_a_simulated_feed_arrives_whole_and_in_order(publisher: Publisher, reader: Reader) -> None:
    """Every event is in Kafka once, keyed by its subject, and each subject's events are in the order of the feed."""
    domains = ("market", "trading", "strategy", "setup", "risk")
    before = {domain: reader.ends(f"{domain}.events") for domain in domains}
    # Another start of time than other tests', so other ids.
    start_ns = time.time_ns()
    expected = list(simulate(11, 3_000, start_ns=start_ns))

    result = run_feed(publisher, simulate(11, 3_000, start_ns=start_ns))

    assert (result.total, result.unknown, result.skipped, result.failed) == (3_000, 0, 0, False)
    assert result.published == dict(sorted(Counter(event.type for event in expected).items()))
    wanted = {event.id: event for event in expected}
    found: dict[str, list[str]] = {}
    for domain in domains:
        for message in reader.since(f"{domain}.events", before[domain]):
            event_id = headers_of(message)["ce_id"].decode()
            if event_id in wanted:
                assert message.key() == wanted.pop(event_id).subject.encode()
                found.setdefault(f"{domain} {bytes(message.key() or b'').decode()}", []).append(event_id)  # type: ignore[arg-type]
    assert not wanted
    order: dict[str, list[str]] = {}
    for event in expected:
        order.setdefault(f"{event.type.split('.')[0]} {event.subject}", []).append(event.id)
    assert found == order


def test_malformed_lines_are_skipped_and_counted(publisher: Publisher, trade: dict[str, Any]) -> None:
    """What is wrong is kept with file and line; other kinds are counted by name."""
    items: list[FeedItem] = [*spaced(trade, 0, 1)]
    items[1:1] = [FeedError("broken", file="f", line=2), OtherKind("depth"), OtherKind("depth"), OtherKind("snapshot")]

    result = run_feed(publisher, items)

    assert (result.total, result.skipped) == (2, 1)
    assert [str(problem) for problem in result.problems] == ["f:2: broken"]
    assert result.other_kinds == {"depth": 2, "snapshot": 1}
    assert not result.failed


def test_strict_stops_at_the_first_malformed_line(publisher: Publisher, trade: dict[str, Any]) -> None:
    """The error comes out, the events before it are published, those behind it are not."""
    items: list[FeedItem] = [*spaced(trade, 0), FeedError("broken", file="f", line=2), *spaced(trade, 1)]

    with pytest.raises(FeedError, match="f:2"):
        run_feed(publisher, items, strict=True)

    assert publisher.outcome.published == 1


def test_an_event_that_breaks_its_schema_stops_the_feed(publisher: Publisher, trade: dict[str, Any]) -> None:
    """A parser that makes wrong events is a fault of the program, not of the line."""
    (event,) = spaced(trade, 0)

    with pytest.raises(EventInvalid):
        run_feed(publisher, [replace(event, data={})])


class Clock(threading.Event):
    """Time that passes only while a feed waits."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now += timeout
        return False


@pytest.mark.parametrize(("speed", "due"), [(1.0, [0, 0.3, 0.3, 0.6]), (3.0, [0, 0.1, 0.1, 0.2]), (None, [0, 0, 0, 0])])
def test_pace(
    publisher: Publisher, trade: dict[str, Any], monkeypatch: pytest.MonkeyPatch, speed: float | None, due: list[float]
) -> None:
    """Real time keeps the distances of the events, N times divides them; an earlier time is not waited for."""
    clock = Clock()
    monkeypatch.setattr("tradewire.producers.feeds.runner.time", clock)
    sent: list[float] = []

    def noted() -> Iterator[Event]:
        for event in spaced(trade, 0, 0.3, 0.1, 0.6):
            yield event
            sent.append(clock.now - 1_000)

    run_feed(publisher, noted(), speed=speed, stop=clock)

    assert sent == pytest.approx(due, abs=0.002)


def test_a_speed_of_nothing_is_refused(publisher: Publisher) -> None:
    """Zero and less is no pace."""
    with pytest.raises(ValueError, match="speed"):
        run_feed(publisher, [], speed=0)


def test_the_limit_ends_an_endless_feed(publisher: Publisher) -> None:
    """Exactly as many events as the limit are published."""
    result = run_feed(publisher, simulate(3), limit=700)

    assert result.total == publisher.outcome.published == 700
    assert run_feed(publisher, simulate(3), limit=0).total == 0


def test_stop_ends_a_feed_that_waits(publisher: Publisher, trade: dict[str, Any]) -> None:
    """A feed that waits an hour for its next event ends when told, and what it took is delivered."""
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)

    def two() -> Iterator[Event]:
        first, second = spaced(trade, 0, 3_600)
        yield first
        timer.start()  # the first one has been taken
        yield second

    result = run_feed(publisher, two(), speed=1.0, stop=stop)

    assert (result.total, result.unknown) == (1, 0)
    assert result.seconds < 3_600


def test_progress_reaches_the_end(publisher: Publisher) -> None:
    """It is told while the feed runs, never goes back, and ends with the totals."""
    told: list[FeedProgress] = []

    result = run_feed(publisher, simulate(5, 20_000), on_progress=told.append)

    assert told[-1].published == result.total == 20_000
    assert [progress.published for progress in told] == sorted(progress.published for progress in told)


def test_unknown_deliveries_fail_the_run(trade: dict[str, Any]) -> None:
    """With the broker away the run says how many events are unknown instead of calling itself done."""
    settings = load_settings(
        kafka={"bootstrap_servers": "127.0.0.1:9"}, publisher={"delivery_timeout_ms": 1_000, "block_ms_max": 0}
    )
    publisher = Publisher(settings, Contract.load(settings, schema_ids=FixedIds()))

    result = run_feed(publisher, islice(spaced(trade, *range(5)), 5))

    assert (result.total, result.unknown, result.failed) == (5, 5, True)
    publisher.close(0)


def test_a_real_file_is_published_whole(publisher: Publisher, reader: Reader, market_data: Path) -> None:
    """78,638 trades: as many records more in the topic, none unknown."""
    file = market_file_or_skip(market_data, "binance_trades_20240808.csv.gz")
    before = sum(reader.ends("market.events").values())

    with LineFile(file) as lines:
        result = run_feed(publisher, binance_trades(lines), strict=True)

    assert (result.total, result.unknown) == (78_638, 0)
    assert sum(reader.ends("market.events").values()) - before >= 78_638
