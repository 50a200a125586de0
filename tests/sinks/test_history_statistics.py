"""Statistics, positions beside answers, and the queries of ``docs/analytics.md``, over a simulated day."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer
from tests.sinks.arena import Arena
from tests.waiting import wait_until

from tradewire.core import KafkaUnavailable, QueryError, Settings, new_id
from tradewire.core.settings import ClickHouseSettings
from tradewire.operations.stack import free_ports
from tradewire.producers.feeds import simulate
from tradewire.schemas import Contract, Event, TopicAdmin, Topics, encode_headers
from tradewire.sinks.complete import Completeness
from tradewire.sinks.event_pages import EventFilter
from tradewire.sinks.history import History
from tradewire.sinks.positions import PartitionPosition
from tradewire.sinks.statistics import ErrorRate, StoredRatio, Volume

pytestmark = pytest.mark.timeout(300)
REPO = Path(__file__).resolve().parents[2]
QUERIES = re.findall(r"## (\d+)\. [^\n]*\n.*?```sql\n(.*?)```", (REPO / "docs/analytics.md").read_text(), re.DOTALL)
EVENTS = 6_000
BAD = 3


@dataclass
class Day:
    arena: Arena
    events: Sequence[Event]
    history: History

    def of(self, type: str) -> list[Event]:
        return [event for event in self.events if event.type == type]

    def rows(self, sql: str) -> list[dict[str, Any]]:
        answer = self.history.sql(sql).answer
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


@pytest.fixture(scope="module")
def day(
    settings: Settings,
    contract: Contract,
    clickhouse_settings: ClickHouseSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Day]:
    """6,000 simulated events and three records without a contract, on topics of their own, one per domain."""
    run, folder = new_id()[-12:], tmp_path_factory.mktemp("day")
    events = list(simulate(7, EVENTS))
    defaults = {
        "partitions": 2,
        "replication": -1,
        "cleanup": "delete",
        "retention_ms": -1,
        "timestamps": "LogAppendTime",
    }
    domains = sorted({event.type.split(".")[0] for event in events})
    file = folder / "topics.yaml"
    declared = {f"{domain}.{run}": {"domain": domain} for domain in domains}
    file.write_text(yaml.safe_dump({"defaults": defaults, "topics": declared}))
    topics = Topics.load(file)
    TopicAdmin(settings.kafka).ensure(topics)
    database = f"test_{new_id().replace('-', '')}"
    own = settings.model_copy(
        update={
            "sink": settings.sink.model_copy(update={"group": f"sink-{run}", "batch_age_ms_max": 100}),
            "clickhouse": settings.clickhouse.model_copy(update={"database": database}),
        }
    )
    arena = Arena(own, contract, topics, file, folder)
    publish(arena, events)
    with arena.running():
        wait_until(arena.all_stored, within_s=150)
        history = History.open(own, topics)
        wait_until(lambda: history.complete().behind == 0, within_s=60)
    yield Day(arena, events, history)
    history.close()
    arena.close()
    arena.drop_database()


def publish(arena: Arena, events: Sequence[Event]) -> None:
    contract = arena.contract
    producer = Producer({**arena.settings.kafka.client_config(), "enable.idempotence": True, "linger.ms": 5})
    for event in events:
        topic = arena.topic(event.type.split(".")[0])
        partition = sum(event.subject.encode()) % 2
        value = contract.codec.encode(event.type, event.data, contract.topic_of(event.type))
        producer.produce(topic, value, event.subject, partition, headers=encode_headers(event))
        arena.sent[topic, partition] = arena.sent.get((topic, partition), 0) + 1
        producer.poll(0)
    for _ in range(BAD):
        producer.produce(arena.topic("market"), b"not ours", "x", 0)
        arena.sent[arena.topic("market"), 0] += 1
    assert producer.flush(60) == 0


@pytest.mark.parametrize(("number", "sql"), QUERIES, ids=[number for number, _ in QUERIES])
def test_every_query_of_the_page_has_an_answer(day: Day, number: str, sql: str) -> None:
    assert day.rows(sql)


def test_the_page_has_ten_queries() -> None:
    assert [str(number) for number in range(1, 11)] == [number for number, _ in QUERIES]


def test_the_answers_of_the_page_are_those_of_the_events(day: Day) -> None:
    """Counted once more from what was published."""
    sql = dict(QUERIES)
    fills, closed = day.of("trading.order.filled"), day.of("trading.position.closed")
    trades, traded = day.of("market.trade.reported"), day.rows(sql["1"])
    assert sum(event.data["quantity"] for event in trades) == sum(row["volume"] for row in traded)
    assert sum(event.data["price"] * event.data["quantity"] for event in trades) == sum(
        row["turnover"] for row in traded
    )
    assert len(day.of("trading.order.created")) == sum(row["orders"] for row in day.rows(sql["3"]))
    fees: Counter[str] = Counter()
    for fill in fills:
        fees[fill.data["account"]] += fill.data["fee"]
    paid: Counter[str] = Counter()
    for row in day.rows(sql["9"]):
        paid[row["account"]] += row["fee_total"]
    assert fees == paid
    assert sum(event.data["realised_pnl"] for event in closed) == sum(row["realised"] for row in day.rows(sql["7"]))
    reasons = Counter(event.data["reason"] for event in day.of("trading.order.rejected"))
    answered: Counter[str] = Counter()
    for row in day.rows(sql["8"]):
        answered[row["why"]] += row["rejected"]
    assert reasons == answered
    assert len(fills) >= sum(row["fills"] for row in day.rows(sql["10"])) > 0


def test_markouts_and_latencies_have_the_values_that_the_events_give(day: Day) -> None:
    created = {event.data["order_id"]: event for event in day.of("trading.order.created")}
    acks: dict[str, list[int]] = {}
    for event in day.of("trading.order.accepted"):
        order = created.get(event.data["order_id"])
        if order is not None:
            acks.setdefault(order.data["venue"], []).append(event.time_ns - order.time_ns)
    answered = {row["venue"]: row for row in day.rows(dict(QUERIES)["5"])}

    assert {venue: len(times) for venue, times in acks.items()} == {v: row["orders"] for v, row in answered.items()}
    for venue, times in acks.items():
        assert median(times) / 1e6 == pytest.approx(answered[venue]["ack_ms_p50"], rel=0.2)


def test_volume_is_counted_by_type_topic_source_and_minute(day: Day) -> None:
    volume = day.history.volume(by="type").answer.rows
    assert Counter(event.type for event in day.events) == {found.name: found.events for found in volume}
    assert all(found.visible_ms_p50 <= found.visible_ms_p99 for found in volume)
    assert all(found.bytes > found.events for found in volume)
    per_minute = day.history.volume(by="topic", per_minute=True).answer.rows
    assert EVENTS == sum(found.events for found in per_minute)
    assert all(found.minute_ms is not None and found.minute_ms % 60_000 == 0 for found in per_minute)
    by_source = day.history.volume(by="source", wanted=EventFilter(type="trading.order.filled")).answer.rows
    assert len(day.of("trading.order.filled")) == sum(found.events for found in by_source)


@pytest.mark.parametrize("per_minute", [True, False])
def test_pages_of_volume_give_every_row_once(day: Day, per_minute: bool) -> None:
    whole = day.history.volume(by="type", per_minute=per_minute).answer
    pages: list[Volume] = []
    cursor: str | None = None
    while True:
        page = day.history.volume(by="type", per_minute=per_minute, limit=3, cursor=cursor).answer
        pages += page.rows
        cursor = page.cursor
        if cursor is None:
            break

    assert (None, list(whole.rows)) == (whole.cursor, pages)
    with pytest.raises(QueryError, match="cursor"):
        day.history.volume(cursor=day.history.events(limit=1).answer.cursor)
    with pytest.raises(QueryError, match="limit"):
        day.history.volume(limit=0)


def test_every_answer_says_how_far_it_is_complete_and_none_fails_without_kafka(day: Day) -> None:
    """Without Kafka the answer is the same, and says that it cannot tell."""
    (port,) = free_ports(1)
    nowhere = day.arena.settings.kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{port}"})
    settings = day.arena.settings.model_copy(update={"kafka": nowhere})
    with History.open(settings, day.arena.topics) as alone:
        for ask in (
            lambda history: history.events(limit=5),
            lambda history: history.read(day.arena.contract.codec, limit=5),
            lambda history: history.flow(day.events[0].correlation_id),
            lambda history: history.stats(),
            lambda history: history.counts(),
            lambda history: history.sql("SELECT count() FROM events"),
            lambda history: history.sql_text("SELECT count() FROM events", "TSV"),
            lambda history: history.volume(),
            lambda history: history.errors(),
            lambda history: history.hops(),
            lambda history: history.flows(),
        ):
            told, untold = ask(day.history), ask(alone)  # type: ignore[no-untyped-call]
            assert told.complete is not None
            assert (told.answer, None) == (untold.answer, untold.complete)
        with pytest.raises(KafkaUnavailable):
            alone.complete()


def test_error_rates_name_the_topic_at_fault(day: Day) -> None:
    topic = day.arena.topic("market")
    rates = day.history.errors().answer
    market = sum(event.type.startswith("market.") for event in day.events)

    assert ErrorRate(topic, market, BAD, 0) == rates[0]
    assert rates[0].rate == pytest.approx(BAD / (market + BAD))
    assert [0.0] == sorted({found.rate for found in rates[1:]})


def test_hops_are_those_of_causes_and_effects(day: Day) -> None:
    times = {event.id: event for event in day.events}
    expected = Counter(
        (times[event.causation_id].type, event.type)
        for event in day.events
        if event.causation_id is not None and event.causation_id in times
    )
    hops = day.history.hops().answer

    assert expected == {(hop.cause_type, hop.effect_type): hop.hops for hop in hops}
    assert all(hop.latency_ns_p50 <= hop.latency_ns_p90 <= hop.latency_ns_p99 for hop in hops)


def test_flows_are_none_where_no_worker_runs(day: Day) -> None:
    assert [] == list(day.history.flows().answer)
    assert [] == day.rows("SELECT * FROM v_flow_completion")


@pytest.mark.parametrize("view", ["v_event_volume", "v_errors_per_minute"])
def test_views_count_what_the_statistics_count(day: Day, view: str) -> None:
    column = "events" if view == "v_event_volume" else "errors"

    assert [{"n": EVENTS if column == "events" else BAD}] == day.rows(f"SELECT sum({column}) AS n FROM {view}")


def test_pages_follow_each_other_and_say_how_complete_they_are(day: Day) -> None:
    seen: list[str] = []
    cursor: str | None = None
    while True:
        found = day.history.events(EventFilter(type="trading.order.filled"), limit=50, cursor=cursor)
        seen += [event.id for event in found.answer.events]
        assert (0, found.complete.asked_ms) == (found.complete.behind, found.complete.recorded_ms)
        cursor = found.answer.cursor
        if cursor is None:
            break

    fills = sorted(day.of("trading.order.filled"), key=lambda event: event.time_ns, reverse=True)
    assert sorted(event.id for event in fills) == sorted(seen)
    some = fills[0]
    by_payload = EventFilter(payload={"order_id": some.data["order_id"]}, type="trading.order.filled")
    expected = {event.id for event in fills if event.data["order_id"] == some.data["order_id"]}
    assert expected == {event.id for event in day.history.events(by_payload).answer.events}
    flow = day.history.flow(some.correlation_id)
    assert some.id in {step.event.id for step in flow.answer.steps}


class Positions:
    """What Kafka would say."""

    def __init__(self, *positions: PartitionPosition) -> None:
        self._positions = positions

    def read(self, topics: object) -> Sequence[PartitionPosition]:
        return self._positions


@pytest.mark.parametrize(
    ("positions", "behind", "recorded_ms"),
    [
        ((PartitionPosition("t", 0, 0, 10, 10),), 0, 1_000),
        ((PartitionPosition("t", 0, 0, 0, None),), 0, 1_000),
        ((PartitionPosition("t", 0, 0, 10, 7), PartitionPosition("t", 1, 0, 5, 5)), 3, 700),
        ((PartitionPosition("t", 0, 0, 10, None), PartitionPosition("t", 1, 0, 5, 5)), 10, None),
        ((PartitionPosition("t", 0, 4, 10, 2),), 6, 200),
    ],
)
def test_an_answer_is_complete_up_to_the_oldest_partition(
    positions: tuple[PartitionPosition, ...], behind: int, recorded_ms: int | None
) -> None:
    complete = Completeness(Positions(*positions), ["t"], lambda _t, _p, below: below * 100, lambda: 1_000).now()

    assert (behind, recorded_ms) == (complete.behind, complete.recorded_ms)


def test_what_is_behind_shows_in_the_position_of_the_answer(day: Day) -> None:
    """After the sink has ended five more records come: the answer says that it lacks them."""
    topic = day.arena.topic("risk")
    producer = Producer(day.arena.settings.kafka.client_config())
    for _ in range(5):
        producer.produce(topic, b"later", "k", 1)
    assert producer.flush(30) == 0
    found = day.history.events(EventFilter(topic=topic), limit=1)

    assert 5 == found.complete.behind
    assert found.complete.recorded_ms is not None
    assert found.complete.recorded_ms < found.complete.asked_ms
    (risk,) = [ratio for ratio in day.history.stored().answer if ratio.topic == topic]
    stored = sum(event.type.startswith("risk.") for event in day.events)
    assert StoredRatio(topic, stored + 5, stored) == risk
    said = tradewire(day.arena, "query", "events", "--topic", topic)
    assert (0, True) == (said.returncode, "5 records behind" in said.stderr), said.stderr


def tradewire(arena: Arena, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tradewire.operations.cli", *arguments],
        env=arena.environment, cwd=arena.folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_command_answers_in_json_and_in_tables(day: Day) -> None:
    fills = day.of("trading.order.filled")
    where = f"symbol={fills[0].data['symbol']}"
    asked = tradewire(
        day.arena, "query", "events", "--type", "trading.order.filled", "--where", where, "--limit", "2", "--json"
    )
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert 2 == len(answer["events"])
    assert {fills[0].data["symbol"]} == {event["payload"]["symbol"] for event in answer["events"]}
    assert answer["cursor"]
    assert "behind" in answer["complete"]

    stats = tradewire(day.arena, "query", "stats", "volume", "--json", "--since", "2026-01-01", "--until", "2027-01-01")
    rows = json.loads(stats.stdout)["rows"]
    assert EVENTS == sum(row["events"] for row in rows)
    refused = tradewire(day.arena, "query", "events", "--where", "symbol")
    assert (2, True) == (refused.returncode, "PATH=TEXT" in refused.stderr)
