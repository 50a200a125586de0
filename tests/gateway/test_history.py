"""What was posted can be found again through ClickHouse: by filter, page by page, and as a flow."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.gateway.conftest import running_gateway
from tests.waiting import wait_until

from tradewire.core import Settings
from tradewire.gateway.history import event_json, flow_json, flow_text
from tradewire.operations.stack import free_ports
from tradewire.sinks import Sink
from tradewire.sinks.flow import StoredEvent, flow_tree

MINUTE_NS = 60_000_000_000
BASE_NS = 1_723_118_400_000_000_000


def order(subject: str, **changes: Any) -> dict[str, Any]:
    data = {
        "order_id": subject,
        "account": "a-1",
        "symbol": "BTCUSDT",
        "venue": "binance.spot",
        "side": "BUY",
        "order_type": "LIMIT",
        "quantity": "0.5",
        "limit_price": "61837.63",
    }
    return {"type": "trading.order.created", "subject": subject, "data": data} | changes


Stored = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@pytest.fixture
def store(client: httpx.Client, sink: Sink) -> Stored:
    """Posts events and waits until all of them can be found."""

    def post(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        response = client.post("/events", json=bodies)
        assert 201 == response.status_code, response.text
        answers: list[dict[str, Any]] = response.json()["events"]

        def found() -> bool:
            return all(found_events(client, id=answer["id"]) for answer in answers)

        wait_until(found, within_s=90)
        return answers

    return post


def found_events(client: httpx.Client, **parameters: Any) -> list[dict[str, Any]]:
    response = client.get("/events", params=parameters)
    assert 200 == response.status_code, response.text
    events: list[dict[str, Any]] = response.json()["events"]
    return events


def problem_of(response: httpx.Response, status: int) -> dict[str, Any]:
    assert status == response.status_code, response.text
    assert "application/problem+json" == response.headers["content-type"]
    body: dict[str, Any] = response.json()
    return body


def test_a_stored_event_is_what_was_posted(client: httpx.Client, store: Stored) -> None:
    """Envelope and data, decimals as the same text, and its place in Kafka."""
    body = order(
        f"o-{uuid.uuid4()}",
        source="desk-7",
        time="2024-08-08T12:00:00.000000001Z",
        causation_id="cause-1",
        sequence=3,
        tags={"desk": "7"},
    )

    (posted,) = store([body])

    (event,) = found_events(client, subject=body["subject"])
    assert {name: posted[name] for name in ("id", "topic", "partition", "offset", "time", "correlation_id")} == {
        name: event[name] for name in ("id", "topic", "partition", "offset", "time", "correlation_id")
    }
    assert (body["type"], "desk-7", "cause-1", 3, {"desk": "7"}, 2) == (
        event["type"],
        event["source"],
        event["causation_id"],
        event["sequence"],
        event["tags"],
        event["version"],
    )
    assert body["data"].items() <= event["data"].items()
    assert posted["recorded"] == event["recorded"]
    assert event["recorded"] <= event["stored"]


def test_text_that_looks_like_something_else_stays_text(client: httpx.Client, store: Stored) -> None:
    """An id that reads as a time, a date or a number is given back letter by letter, and found by it."""
    mark = uuid.uuid4().hex
    texts = ("2024-08-08T12:00:00Z", "2024-08-08 12:00:00.5", "2024-08-08", "0123", "1e5", "true", "null", "[1]")
    store(
        [
            order(f"o-{mark}-{number}", correlation_id=mark)
            | {"data": order(f"o-{mark}-{number}")["data"] | {"decision_id": text}}
            for number, text in enumerate(texts)
        ]
    )

    events = found_events(client, correlation_id=mark, order="oldest")

    assert list(texts) == [event["data"]["decision_id"] for event in sorted(events, key=lambda event: event["subject"])]
    for text in texts:
        found = found_events(client, correlation_id=mark, **{"data.decision_id": text})
        assert [text] == [event["data"]["decision_id"] for event in found]


def test_every_filter_narrows(client: httpx.Client, store: Stored) -> None:
    """Type, source, subject, correlation, topic, time from (inclusive) to (exclusive), and fields of the data."""
    mark = uuid.uuid4().hex
    first, second = f"o-{mark}-1", f"o-{mark}-2"
    early, late = BASE_NS, BASE_NS + MINUTE_NS
    store(
        [
            order(first, source=f"s-{mark}", correlation_id=mark, time=early),
            order(second, source=f"t-{mark}", correlation_id=mark, time=late)
            | {"data": order(second)["data"] | {"side": "SELL", "limit_price": "1.5"}},
        ]
    )

    def subjects(**parameters: Any) -> list[str]:
        return [event["subject"] for event in found_events(client, **parameters, order="oldest")]

    flow = {"correlation_id": mark}
    assert [first, second] == subjects(**flow)
    assert [first] == subjects(source=f"s-{mark}")
    assert [second] == subjects(**flow, subject=second)
    assert [first, second] == subjects(**flow, type="trading.order.created", topic="trading.events")
    assert [] == subjects(**flow, type="trading.order.accepted")
    assert [] == subjects(**flow, topic="market.events")
    assert [second] == subjects(**flow, **{"from": str(late)})
    assert [first] == subjects(**flow, to="2024-08-08T12:01:00Z")
    assert [first, second] == subjects(**flow, **{"from": "2024-08-08T14:00:00+02:00"})
    assert [second] == subjects(**flow, **{"data.side": "SELL", "data.limit_price": "1.5"})
    assert [] == subjects(**flow, **{"data.side": "SELL", "data.limit_price": "1.6"})


def test_pages_hold_every_event_once(client: httpx.Client, store: Stored) -> None:
    """Also where many events occurred at the same nanosecond; newest first unless asked otherwise."""
    mark = uuid.uuid4().hex
    posted = store(
        [order(f"o-{mark}-{number}", correlation_id=mark, time=BASE_NS + number // 5) for number in range(23)]
    )

    for direction, reverse in (("oldest", False), ("newest", True)):
        seen: list[dict[str, Any]] = []
        parameters: dict[str, Any] = {"correlation_id": mark, "limit": 5, "order": direction}
        pages = 0
        while True:
            page = client.get("/events", params=parameters).json()
            seen += page["events"]
            pages += 1
            if page["cursor"] is None:
                break
            parameters["cursor"] = page["cursor"]
        assert 5 == pages
        assert {event["id"] for event in posted} == {event["id"] for event in seen}
        assert 23 == len(seen)
        times = [event["time"] for event in seen]
        assert sorted(times, reverse=reverse) == times


@pytest.mark.parametrize(
    ("query", "parameter", "said"),
    [
        ("limit=0", "limit", "greater than or equal to 1"),
        ("limit=1001", "limit", "less than or equal to 1000"),
        ("limit=many", "limit", "valid integer"),
        ("order=random", "order", "'newest' or 'oldest'"),
        ("cursor=abc", "cursor", "not given out"),
        ("from=yesterday", "from", "RFC 3339"),
        ("to=2024-08-08T00:00:00", "to", "with an offset"),
        ("from=2024-08-08T00:00:00+02:00", "from", "%2B"),
        ("partition=x", "partition", "whole number"),
        ("tpye=market.trade.reported", "tpye", "is not a parameter"),
        ("type=a&type=b", "type", "given twice"),
        ("type=market.trade.reported&data.pryce=1", "data.pryce", "did you mean 'price'?"),
    ],
)
def test_a_bad_parameter_is_named(client: httpx.Client, query: str, parameter: str, said: str) -> None:
    """One that is misspelt or cannot be read would otherwise give all events, or none."""
    problem = problem_of(client.get(f"/events?{query}"), 400)

    assert [parameter] == [error["parameter"] for error in problem["errors"]]
    assert said in problem["errors"][0]["detail"]


def test_a_flow_is_a_tree_with_the_latency_of_each_hop(client: httpx.Client, store: Stored) -> None:
    """Each event is followed by its effects, one deeper."""
    mark = uuid.uuid4().hex
    signal, first, second = (f"{mark}-{name}" for name in ("signal", "first", "second"))
    common = {"correlation_id": mark}
    store(
        [
            order(signal, id=signal, time=BASE_NS, **common),
            order(second, id=second, causation_id=signal, time=BASE_NS + 5_000_000, **common),
            order(first, id=first, causation_id=signal, time=BASE_NS + 2_000_000, **common),
            order(f"{mark}-leaf", id=f"{mark}-leaf", causation_id=first, time=BASE_NS + 9_000_001, **common),
        ]
    )

    flow = client.get(f"/flows/{mark}").json()

    assert [(signal, 0, None), (first, 1, 2_000_000), (f"{mark}-leaf", 2, 7_000_001), (second, 1, 5_000_000)] == [
        (step["event"]["id"], step["depth"], step["hop_latency_ns"]) for step in flow["steps"]
    ]
    assert (4, 9_000_001, False) == (flow["event_count"], flow["duration_ns"], flow["truncated"])
    text = client.get(f"/flows/{mark}", params={"format": "text"})
    assert text.headers["content-type"].startswith("text/plain")
    assert "+7.000 ms" in text.text.splitlines()[3]


def test_a_flow_that_is_not_there_is_404(client: httpx.Client, sink: Sink) -> None:
    """With the correlation id and what it may be about; ids with slashes and other letters are ids all the same."""
    for name in ("no-such-flow", "a/b", "ü %"):
        problem = problem_of(client.get(f"/flows/{name}"), 404)
        assert "/problems/flow-not-found" == problem["type"]
        assert repr(name) in problem["detail"]


def test_history_before_the_first_sink_is_503(gateway_settings: Settings) -> None:
    """A database that is not there yet is not the client's mistake."""
    nothing = gateway_settings.clickhouse.model_copy(update={"database": "never_made"})

    with running_gateway(gateway_settings.model_copy(update={"clickhouse": nothing})) as client:
        problem = problem_of(client.get("/events"), 503)

    assert "/problems/history-not-ready" == problem["type"]


def test_history_while_clickhouse_is_away_is_503(gateway_settings: Settings) -> None:
    """It says where it looked, and when to come back."""
    (port,) = free_ports(1)
    nowhere = gateway_settings.clickhouse.model_copy(update={"port": port})

    with running_gateway(gateway_settings.model_copy(update={"clickhouse": nowhere})) as client:
        answers = [client.get("/events"), client.get("/flows/x"), client.post("/sql", json={"sql": "SELECT 1"})]

    for answer in answers:
        problem = problem_of(answer, 503)
        assert "/problems/clickhouse-unavailable" == problem["type"]
        assert f"127.0.0.1:{port}" in problem["detail"]
        assert answer.headers["retry-after"]


def stored(id: str, causation_id: str = "", time_ns: int = BASE_NS, subject: str = "s") -> StoredEvent:
    return StoredEvent(
        topic="t", partition=0, offset=time_ns - BASE_NS, type="market.trade.reported", version=1, schema_id=1, id=id,
        source="x", subject=subject, correlation_id="c", causation_id=causation_id, sequence=None, tags={},
        time_ns=time_ns, recorded_ms=time_ns // 1_000_000, stored_ms=time_ns // 1_000_000, payload={"price": "1"},
    )  # fmt: skip


def test_an_event_whose_cause_is_missing_is_an_orphan_not_a_root() -> None:
    """In JSON and in text."""
    flow = flow_tree("c", [stored("a", causation_id="gone")])

    (step,) = flow_json(flow)["steps"]
    assert (True, 0, None) == (step["orphan"], step["depth"], step["hop_latency_ns"])
    assert "cause not stored" in flow_text(flow)


def test_text_for_a_terminal_carries_no_control_characters() -> None:
    """A subject is a stranger's text."""
    text = flow_text(flow_tree("c", [stored("a", subject="x\x1b[2J\ny")]))

    assert "\x1b" not in text
    assert 2 == text.count("\n")


def test_an_event_without_a_cause_has_null() -> None:
    """ClickHouse keeps an empty text for it."""
    assert None is event_json(stored("a"))["causation_id"]
