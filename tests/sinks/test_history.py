"""Questions to the history, over events that a sink has stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from tests.sinks.arena import CATALOGUE, make_arena
from tests.sinks.samples import NOW_NS, record_of
from tests.waiting import wait_until

from tradewire.core import Settings, new_id
from tradewire.core.errors import ClickHouseUnavailable, QueryError
from tradewire.schemas import Contract
from tradewire.sinks.event_pages import EventFilter, conditions, decode_cursor
from tradewire.sinks.stored_history import StoredHistory

TRADE, QUOTE = CATALOGUE["market.trade.reported"].latest, CATALOGUE["market.quote.updated"].latest


@dataclass(frozen=True)
class Stored:
    history: StoredHistory
    topic: str


@pytest.fixture(scope="module")
def stored(
    settings: Settings, contract: Contract, tmp_path_factory: pytest.TempPathFactory, arena_database: str
) -> Iterator[Stored]:
    """100 events of two types on two partitions: flow-0 to flow-4 and a chain of causes in ``chain``."""
    arena = make_arena(settings, contract, tmp_path_factory.mktemp("history"), new_id()[-12:], arena_database)
    topic = arena.topic("market")
    ids = {schema.type: arena.schema_id(schema.type) for schema in (TRADE, QUOTE)}
    for partition in (0, 1):
        records = [
            record_of(schema, ids[schema.type], number + 100 * partition, source="feed" if number % 10 else "other")
            for number in range(48)
            for schema in ((TRADE, QUOTE)[number % 2],)
        ]
        chain = [
            record_of(TRADE, ids[TRADE.type], 60, correlation_id="chain", id=f"c{partition}", sequence=partition,
                      time_ns=NOW_NS + partition, causation_id="c0" if partition else None, tags={"desk": "ü"}),
            record_of(TRADE, ids[TRADE.type], 61, id=f"x{partition}"),
        ]  # fmt: skip
        arena.send(topic, records + chain, partition)
    with arena.running():
        wait_until(arena.all_stored, within_s=120)
    history = StoredHistory.connect(arena.settings.clickhouse)
    yield Stored(history, topic)
    history.close()
    arena.close()


def test_events_are_found_by_each_of_their_attributes(stored: Stored) -> None:
    def count(**wanted: object) -> int:
        return len(stored.history.events(EventFilter(topic=stored.topic, **wanted), limit=1000).events)  # type: ignore[arg-type]

    assert 100 == count()
    assert 48 == count(type="market.quote.updated")
    assert 10 == count(source="other")
    assert 50 == count(partition=1)
    assert 2 == count(correlation_id="chain")
    assert 1 == count(id="c1")
    assert 14 == count(subject="aggregate-0")
    assert 5 == count(since_ns=NOW_NS + 5, until_ns=NOW_NS + 10)
    assert 0 == count(type="market.quote.updated", source="nobody")


def test_payload_fields_are_compared_as_text(stored: Stored) -> None:
    (event,) = stored.history.events(EventFilter(topic=stored.topic, id="event-7")).events
    price = event.payload["bid_price"]

    found = stored.history.events(EventFilter(topic=stored.topic, payload={"bid_price": price})).events

    assert ["event-7"] == [found_event.id for found_event in found]


def test_an_event_comes_back_with_all_that_was_published(stored: Stored) -> None:
    (event,) = stored.history.events(EventFilter(topic=stored.topic, id="c1")).events

    assert ("chain", "c0", 1, {"desk": "ü"}) == (event.correlation_id, event.causation_id, event.sequence, event.tags)
    assert (NOW_NS + 1, "market.trade.reported", 1) == (event.time_ns, event.type, event.version)
    assert event.recorded_ms <= event.stored_ms + 1


@pytest.mark.parametrize("limit", [1, 2, 7, 200])
@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize(
    ("wanted", "count"),
    [({}, 100), ({"subject": "aggregate-5"}, 16), ({"subject": "aggregate-5", "since_ns": NOW_NS + 9}, 15)],
    ids=["all", "of an aggregate", "of an aggregate, later"],
)
def test_pages_give_every_event_once_in_order(
    stored: Stored, wanted: dict[str, Any], count: int, order: Literal["oldest", "newest"], limit: int
) -> None:
    """Two events of aggregate-5 have the same time, one on each partition: a page may end between them."""
    seen: list[tuple[int, str, int, int]] = []
    cursor = None
    while True:
        page = stored.history.events(EventFilter(**wanted), limit=limit, cursor=cursor, order=order)
        seen += [(event.time_ns, event.topic, event.partition, event.offset) for event in page.events]
        cursor = page.cursor
        if cursor is None:
            break

    assert count == len(seen) == len(set(seen))
    assert seen == sorted(seen, reverse=order == "newest")


def test_a_flow_is_a_tree_with_latencies(stored: Stored) -> None:
    flow = stored.history.flow("chain")

    assert [("c0", 0, None), ("c1", 1, 1)] == [(step.event.id, step.depth, step.hop_latency_ns) for step in flow.steps]
    assert not flow.truncated


@pytest.mark.parametrize(("events_max", "ids"), [(1, ["c0"]), (2, ["c0", "c1"]), (3, ["c0", "c1"])])
def test_a_flow_of_more_events_than_were_asked_for_has_its_oldest(
    stored: Stored, events_max: int, ids: list[str]
) -> None:
    flow = stored.history.flow("chain", events_max=events_max)

    assert (ids, events_max == 1) == ([step.event.id for step in flow.steps], flow.truncated)


@pytest.mark.parametrize("limit", [1, 2, 7])
@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_pages_of_a_flow_give_its_events_once_in_order(
    stored: Stored, order: Literal["oldest", "newest"], limit: int
) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        page = stored.history.events(EventFilter(correlation_id="chain"), limit=limit, cursor=cursor, order=order)
        seen += [event.id for event in page.events]
        if (cursor := page.cursor) is None:
            break

    assert seen == (["c0", "c1"] if order == "oldest" else ["c1", "c0"])


@pytest.mark.parametrize("limit", [7, 200])
@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize(("wanted", "count"), [({"correlation_id": "chain"}, 2), ({"subject": "aggregate-5"}, 16)])
def test_events_are_read_in_the_order_of_their_pages(
    stored: Stored,
    contract: Contract,
    wanted: dict[str, Any],
    count: int,
    order: Literal["oldest", "newest"],
    limit: int,
) -> None:
    """The same events in the same order, whether they are of one page or of several."""
    shown = stored.history.events(EventFilter(**wanted), order=order).events
    read: list[str] = []
    cursor = None
    while True:
        page = stored.history.read(contract.codec, EventFilter(**wanted), order=order, limit=limit, cursor=cursor)
        read += [event.id for event in page.events]
        if (cursor := page.cursor) is None:
            break

    assert count == len(shown)
    assert [event.id for event in shown] == read


def test_an_unknown_flow_is_empty(stored: Stored) -> None:
    assert [] == list(stored.history.flow("nobody").steps)


def test_counts_agree_with_what_was_published(stored: Stored) -> None:
    counts = stored.history.counts([stored.topic])

    assert [(stored.topic, at, 50, 0, 50, 0, 49) for at in (0, 1)] == [
        (c.topic, c.partition, c.events, c.dead_letters, c.distinct_offsets, c.offset_min, c.offset_max) for c in counts
    ]


def test_statistics_per_type_topic_and_source(stored: Stored) -> None:
    types = {stats.name: stats.events for stats in stored.history.stats()}
    topics = {stats.name: stats.events for stats in stored.history.stats(by="topic")}
    sources = {stats.name: stats.events for stats in stored.history.stats(by="source", since_ns=NOW_NS)}

    assert {"market.trade.reported": 52, "market.quote.updated": 48} == types
    assert 100 == topics[stored.topic]
    assert {"other": 10, "test": 4, "feed": 86} == sources


def test_texts_of_strangers_stay_values(stored: Stored) -> None:
    """No quote, brace or backslash becomes part of the question."""
    for text in ("' OR 1=1 --", "{topic:String}", "\\", "\\' OR 1", "a`b", "\n;DROP TABLE events"):
        assert [] == list(stored.history.events(EventFilter(subject=text)).events)
        assert [] == list(stored.history.events(EventFilter(payload={"symbol": text})).events)
        assert [] == list(stored.history.flow(text).steps)


def test_conditions_hold_names_only() -> None:
    where, parameters = conditions(EventFilter(type="x'", payload={"a.b'": "y'"}))

    assert "x'" not in where and "b'" not in where and "y'" not in where
    assert {"type": "x'", "path_0_0": "a", "path_0_1": "b'", "value_0": "y'"} == parameters


def test_sql_answers_within_its_limits(stored: Stored) -> None:
    answer = stored.history.sql("SELECT number FROM numbers(100)", rows_max=5)

    assert (["number"], 5, True) == (list(answer.columns), len(answer.rows), answer.truncated)
    assert not stored.history.sql("SELECT count() FROM events").truncated


@pytest.mark.parametrize(
    "question",
    [
        "DROP TABLE events",
        "INSERT INTO schemas (id) VALUES (1)",
        "ALTER TABLE events DELETE WHERE 1",
        "TRUNCATE TABLE events",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1; DROP TABLE events",
        "SET readonly = 0",
        "KILL QUERY WHERE 1",
        "/* SELECT */ -- SELECT\n (KILL QUERY WHERE 1)",
        "BACKUP TABLE events TO File('x')",
        "",
        "SYSTEM SHUTDOWN",
    ],
)
def test_sql_that_is_more_than_a_question_is_refused(stored: Stored, question: str) -> None:
    with pytest.raises(QueryError, match=r"code|begins with"):
        stored.history.sql(question)

    assert stored.history.counts([stored.topic])


def test_a_question_that_takes_too_long_is_ended(stored: Stored) -> None:
    with pytest.raises(QueryError, match=r"159|Timeout"):
        stored.history.sql("SELECT count() FROM numbers(10000000000) WHERE sipHash64(number) = 1", seconds_max=1)


def test_a_question_that_takes_too_much_memory_is_ended(stored: Stored) -> None:
    with pytest.raises(QueryError, match=r"241|memory"):
        stored.history.sql("SELECT groupArray(number) FROM numbers(100000000)", memory_bytes_max=50_000_000)


def test_an_answer_in_a_format_of_clickhouse(stored: Stored) -> None:
    assert b'"n"\n1\n' == stored.history.sql_text("SELECT 1 AS n", "CSVWithNames")


@pytest.mark.parametrize("view", ["v_events_per_minute", "v_flow_latency", "v_hop_latency"])
def test_views_answer(stored: Stored, view: str) -> None:
    assert stored.history.sql(f"SELECT * FROM {view} LIMIT 5").rows


@pytest.mark.parametrize("cursor", ["x", "", "W10=", "bnVsbA=="])
def test_a_cursor_that_was_not_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(QueryError, match="cursor"):
        decode_cursor(cursor)


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_limit_out_of_bounds_is_refused(stored: Stored, limit: int) -> None:
    with pytest.raises(QueryError, match="limit"):
        stored.history.events(limit=limit)


def test_a_history_without_an_engine_is_named(settings: Settings) -> None:
    with pytest.raises(ClickHouseUnavailable):
        StoredHistory.connect(settings.clickhouse.model_copy(update={"port": 1}))
