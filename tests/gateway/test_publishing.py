"""Events posted over HTTP arrive in Kafka as they were said, all of a request or none."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.conftest import Reader, running_gateway
from tests.waiting import wait_until

from tradewire.core import Settings, derived_id
from tradewire.gateway.services import BODY_BYTES_MAX
from tradewire.operations.stack import free_ports


def trade(**changes: Any) -> dict[str, Any]:
    """A trade as a client posts it, under a subject of its own."""
    data: dict[str, Any] = {
        "venue": "binance.spot",
        "symbol": "BTCUSDT",
        "trade_id": "3732834512",
        "price": "61837.63",
        "quantity": "0.000000000000000001",
        "aggressor_side": "BUY",
        "trade_time_ns": "2024-08-08T12:00:00.123456789Z",
    }
    return {"type": "market.trade.reported", "subject": f"gateway:{uuid.uuid4()}", "data": data} | changes


def with_data(**changes: Any) -> dict[str, Any]:
    body = trade()
    body["data"] |= changes
    return body


def post(client: httpx.Client, body: Any, **rest: Any) -> httpx.Response:
    return client.post("/events", json=body, **rest)


def place(answer: dict[str, Any]) -> tuple[str, int, int]:
    return answer["topic"], answer["partition"], answer["offset"]


def problem_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem of a refused request, checked for what every problem has."""
    assert status == response.status_code, response.text
    assert "application/problem+json" == response.headers["content-type"]
    body: dict[str, Any] = response.json()
    assert status == body["status"]
    assert body["type"].startswith("/problems/") and body["title"] and body["detail"]
    assert "/events" == body["instance"]
    return body


def test_an_event_is_in_kafka_when_it_is_answered(client: httpx.Client, read_record: Reader) -> None:
    """The answer says where it lies; every digit of price, quantity and time is there."""
    body = trade(
        source="desk-7",
        time="2024-08-08T14:00:00.000000001+02:00",
        correlation_id="flow-1",
        causation_id="cause-1",
        sequence=7,
        tags={"desk": "7"},
    )

    response = post(client, body)

    assert 201 == response.status_code, response.text
    answer = response.json()
    event = read_record(*place(answer))
    assert ("market.events", "written") == (answer["topic"], answer["status"])
    assert answer["id"] == event.id
    assert (body["type"], body["subject"], "desk-7") == (event.type, event.subject, event.source)
    assert ("flow-1", "cause-1", 7, {"desk": "7"}) == (
        event.correlation_id,
        event.causation_id,
        event.sequence,
        dict(event.tags),
    )
    assert 1723118400_000000001 == event.time_ns
    assert "2024-08-08T12:00:00.000000001Z" == answer["time"]
    assert (Decimal("61837.63"), Decimal("1e-18")) == (event.data["price"], event.data["quantity"])
    assert 1723118400_123456789 == event.data["trade_time_ns"]
    assert None is event.data["received_time_ns"]


def test_an_event_without_a_flow_starts_one(client: httpx.Client, read_record: Reader) -> None:
    """Its correlation id is its own id, its source the gateway."""
    answer = post(client, trade()).json()

    event = read_record(*place(answer))
    assert answer["id"] == answer["correlation_id"] == event.correlation_id
    assert (None, "gateway") == (event.causation_id, event.source)


def test_the_correlation_header_is_the_flow_of_events_that_name_none(client: httpx.Client) -> None:
    """And comes back on the answer, also on an error; an event's own correlation id wins."""
    headers = {"X-Correlation-Id": "flow-of-the-request"}

    response = post(client, [trade(), trade(correlation_id="its-own")], headers=headers)
    refused = post(client, {}, headers=headers)

    assert ["flow-of-the-request", "its-own"] == [event["correlation_id"] for event in response.json()["events"]]
    assert "flow-of-the-request" == response.headers["x-correlation-id"] == refused.headers["x-correlation-id"]
    assert 400 == client.get("/health/live", headers={"X-Correlation-Id": "x" * 256}).status_code


def test_several_events_keep_their_order(client: httpx.Client, read_record: Reader) -> None:
    """Events of one subject lie in one partition, in the order of the array."""
    subject = f"gateway:{uuid.uuid4()}"
    bodies = [trade(subject=subject, sequence=number) for number in range(50)]

    response = post(client, bodies)

    answers = response.json()["events"]
    assert 201 == response.status_code
    assert 1 == len({answer["partition"] for answer in answers})
    offsets = [answer["offset"] for answer in answers]
    assert sorted(offsets) == offsets
    assert [0, 49] == [read_record(*place(answer)).sequence for answer in (answers[0], answers[-1])]


def test_one_wrong_event_stops_all_of_its_request(client: httpx.Client, read_record: Reader) -> None:
    """Nothing of the request reaches Kafka, and the pointer says which event it was."""
    before = read_record.ends("market.events")

    response = post(client, [trade(), trade(), with_data(price=61837.63)])

    assert ["/2/data/price"] == [error["pointer"] for error in problem_of(response, 422)["errors"]]
    assert 0 == read_record.added("market.events", before)


@pytest.mark.parametrize(
    ("body", "at", "said"),
    [
        (with_data(price=61837.63), "/data/price", 'write a string, "61837.63"'),
        (with_data(price=None), "/data/price", "not null"),
        (with_data(price="a lot"), "/data/price", "must be a decimal as a string"),
        (with_data(price="0.1234567890123456789"), "/data/price", "18 decimal places"),
        (with_data(aggressor_side="HOLD"), "/data/aggressor_side", "must be one of UNKNOWN, BUY, SELL"),
        (with_data(trade_time_ns="yesterday"), "/data/trade_time_ns", "RFC 3339"),
        (with_data(pryce="1"), "/data/pryce", "did you mean 'price'?"),
        (trade(data=[]), "/data", "must be an object"),
        (trade(type="market.trade.reportd"), "/type", "did you mean market.trade.reported"),
        (trade(type=7), "/type", "must be a string"),
        (trade(subject=""), "/subject", "1 to 1024 characters"),
        (trade(time="2024-08-08"), "/time", "RFC 3339"),
        (trade(time=-1), "/time", "before 1970"),
        (trade(sequence=-1), "/sequence", "negative"),
        (trade(sequence=True), "/sequence", "must be an integer"),
        (trade(tags={"a": 1}), "/tags/a", "must be a string"),
        (trade(correlationid="x"), "/correlationid", "did you mean 'correlation_id'?"),
        ({"subject": "x", "data": {}}, "/type", "is missing"),
        ([], "", "holds no event"),
        ([7], "/0", "must be an object, not the number 7"),
        ("text", "", "must be an object"),
        (None, "", "must be an object"),
    ],
)
def test_bad_input_names_the_field(client: httpx.Client, body: Any, at: str, said: str) -> None:
    """One field at fault, one JSON pointer, and what to write instead."""
    problem = problem_of(client.post("/events", content=json.dumps(body)), 422)

    assert [at] == [error["pointer"] for error in problem["errors"]]
    assert said in problem["errors"][0]["detail"]
    assert "/problems/event-invalid" == problem["type"]


def test_all_fields_at_fault_are_named_at_once(client: httpx.Client) -> None:
    """Those of the envelope and those of the data."""
    body = with_data(price=1.5, quantity="x") | {"sequence": "first"}
    del body["data"]["venue"]

    problem = problem_of(post(client, body), 422)

    assert {"/data/price", "/data/quantity", "/data/venue", "/sequence"} == {
        error["pointer"] for error in problem["errors"]
    }
    assert "(and 3 more)" in problem["detail"]


def test_a_body_that_is_not_json_says_where(client: httpx.Client) -> None:
    """Line and column, as an editor shows them."""
    problem = problem_of(client.post("/events", content=b'{\n "type": oops}'), 400)

    assert (2, 10) == (problem["line"], problem["column"])


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/cloudevents+json", ""]
)
def test_other_media_types_are_refused(client: httpx.Client, kind: str) -> None:
    """curl's default form encoding, for instance, and what a browser sends across sites without asking."""
    problem = problem_of(client.post("/events", content=b"{}", headers={"content-type": kind}), 415)

    assert "application/json" in problem["detail"]


def test_a_body_that_is_too_large_is_refused(client: httpx.Client) -> None:
    """Before it is read whole; an event too large for Kafka is refused before anything is queued."""
    assert "body-too-large" in problem_of(client.post("/events", content=b" " * (BODY_BYTES_MAX + 1)), 413)["type"]
    assert "too-many-events" in problem_of(post(client, [trade()] * 1_001), 413)["type"]
    large = post(client, [trade(), with_data(trade_id="x" * 1_100_000)])
    assert "event-too-large" in problem_of(large, 413)["type"]


@pytest.mark.parametrize(
    ("query", "parameter"), [("wiat=false", "wiat"), ("wait=perhaps", "wait"), ("wait=true&wait=false", "wait")]
)
def test_a_bad_parameter_is_named(client: httpx.Client, query: str, parameter: str) -> None:
    """One that is misspelt would otherwise be ignored in silence."""
    problem = problem_of(client.post(f"/events?{query}", json=trade()), 400)

    assert [parameter] == [error["parameter"] for error in problem["errors"]]


def test_who_does_not_wait_gets_the_ids(client: httpx.Client) -> None:
    """202, and no place in Kafka, which is not known yet."""
    response = client.post("/events?wait=false", json=[trade()])

    (answer,) = response.json()["events"]
    assert (202, "queued") == (response.status_code, answer["status"])
    assert answer["id"] and "offset" not in answer


def test_an_idempotency_key_publishes_once(client: httpx.Client, read_record: Reader) -> None:
    """The repeat has the same answer and adds no record; the id is the one that a Publisher derives of the key."""
    key, body = str(uuid.uuid4()), trade()
    first = post(client, body, headers={"Idempotency-Key": key})
    before = read_record.ends("market.events")

    again = post(client, body, headers={"Idempotency-Key": key})

    assert (201, first.json()) == (again.status_code, again.json())
    assert "true" == again.headers["idempotency-replayed"] and "idempotency-replayed" not in first.headers
    assert 0 == read_record.added("market.events", before)
    assert derived_id(body["type"], body["subject"], key) == first.json()["id"]


def test_an_idempotency_key_gives_the_same_ids_in_another_process(
    client: httpx.Client, gateway_settings: Settings
) -> None:
    """After a restart the events are published again with the ids they had, so that consumers see each once."""
    key, bodies = str(uuid.uuid4()), [trade(subject="s"), trade(subject="s")]
    first = post(client, bodies, headers={"Idempotency-Key": key}).json()

    with running_gateway(gateway_settings) as other:
        again = post(other, bodies, headers={"Idempotency-Key": key}).json()

    ids = [event["id"] for event in first["events"]]
    assert ids == [event["id"] for event in again["events"]]
    assert 2 == len(set(ids))


def test_an_idempotency_key_stands_for_one_request(client: httpx.Client) -> None:
    """Another body under the same key, or an event with an id of its own, is refused."""
    key = str(uuid.uuid4())
    post(client, trade(), headers={"Idempotency-Key": key})

    assert "reused" in problem_of(post(client, trade(), headers={"Idempotency-Key": key}), 422)["type"]
    problem = problem_of(post(client, trade(id="mine"), headers={"Idempotency-Key": str(uuid.uuid4())}), 400)
    assert "give one of them" in problem["detail"]


def test_a_broker_that_is_away_is_503_and_the_ids_are_told(
    gateway_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events may still be written, so the answer says with which ids to send them again."""
    monkeypatch.setattr("tradewire.gateway.event_routes.DELIVERY_WAIT_S", 0.5)
    (port,) = free_ports(1)
    nowhere = gateway_settings.kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{port}"})
    publisher = gateway_settings.publisher.model_copy(update={"delivery_timeout_ms": 1_000})
    away = gateway_settings.model_copy(update={"kafka": nowhere, "publisher": publisher})

    with running_gateway(away) as client:
        response = post(client, [trade(id="a"), trade(id="b")])

    problem = problem_of(response, 503)
    assert "/problems/delivery-unknown" == problem["type"]
    assert int(response.headers["retry-after"]) >= 1
    assert [("a", "unknown"), ("b", "unknown")] == [(event["id"], event["status"]) for event in problem["events"]]


def test_an_event_in_the_spool_is_accepted_and_arrives_later(
    gateway_settings: Settings, read_record: Reader, tmp_path: Path
) -> None:
    """No broker, but a spool: 202 long before the wait is over, also with an idempotency key, and its repeat adds none.

    When the spool is full that is 503, and the answer says which event is on disk and which was not taken. The next
    gateway with the spool delivers what was accepted.
    """
    (port,) = free_ports(1)
    nowhere = gateway_settings.kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{port}"})
    publisher = gateway_settings.publisher.model_copy(
        update={"spool_folder": tmp_path, "spool_bytes_max": 1024 * 1024, "breaker_stall_ms": 500}
    )
    away = gateway_settings.model_copy(update={"kafka": nowhere, "publisher": publisher})
    key, body = str(uuid.uuid4()), trade()

    with running_gateway(away) as client:
        first = post(client, body, headers={"Idempotency-Key": key})
        again = post(client, body, headers={"Idempotency-Key": key})
        both = post(client, [trade(id="a"), trade(id="b")])
        large = [with_data(trade_id="x" * 700_000) | {"id": name} for name in ("c", "d")]
        full = problem_of(post(client, large), 503)

    assert (202, "spooled") == (first.status_code, first.json()["status"]), first.text
    assert "do not send it again" in first.json()["detail"] and "offset" not in first.json()
    assert (202, first.json(), "true") == (again.status_code, again.json(), again.headers["idempotency-replayed"])
    assert [("a", "spooled"), ("b", "spooled")] == [(one["id"], one["status"]) for one in both.json()["events"]]
    assert "/problems/queue-full" == full["type"]
    assert [("c", "spooled"), ("d", "not taken")] == [(one["id"], one["status"]) for one in full["events"]]

    before = read_record.ends("market.events")
    with running_gateway(away.model_copy(update={"kafka": gateway_settings.kafka})) as client:
        assert post(client, trade(subject=body["subject"])).status_code in (201, 202)
        wait_until(lambda: read_record.added("market.events", before) >= 5, within_s=90)
    assert 5 == read_record.added("market.events", before)
    assert derived_id(body["type"], body["subject"], key) == first.json()["id"]


def test_a_full_queue_is_503_and_says_which_events_were_taken(gateway_settings: Settings) -> None:
    """With the broker away and room for two events, the third is not taken, nor is the one behind it."""
    (port,) = free_ports(1)
    nowhere = gateway_settings.kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{port}"})
    publisher = gateway_settings.publisher.model_copy(
        update={"queue_messages_max": 2, "block_ms_max": 100, "delivery_timeout_ms": 2_000}
    )
    full = gateway_settings.model_copy(update={"kafka": nowhere, "publisher": publisher})

    with running_gateway(full) as client:
        mixed = problem_of(post(client, [trade() for _ in range(4)]), 503)
        client.post("/events?wait=false", json=[trade(), trade()])
        refused = post(client, trade())

    assert "/problems/delivery-unknown" == mixed["type"]
    assert ["unknown", "unknown", "not taken", "not taken"] == [event["status"] for event in mixed["events"]]
    problem = problem_of(refused, 503)
    assert "/problems/queue-full" == problem["type"]
    assert ["not taken"] == [event["status"] for event in problem["events"]]
    assert "retry-after" in refused.headers


def test_a_registry_that_is_away_is_503(gateway_settings: Settings) -> None:
    """Nothing has been queued, so the client may simply try again."""
    (port,) = free_ports(1)
    registry = gateway_settings.registry.model_copy(
        update={"url": f"http://127.0.0.1:{port}/apis/ccompat/v7", "archive_folder": None}
    )
    away = gateway_settings.model_copy(update={"registry": registry})

    with running_gateway(away) as client:
        problem = problem_of(post(client, trade()), 503)

    assert "/problems/registry-unavailable" == problem["type"]
