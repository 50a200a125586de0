"""Health and metrics say what each part does, and the gateway answers them whoever is away."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import TOPICS, running_gateway
from tests.gateway.test_publishing import trade
from tests.waiting import wait_until

from tradewire.core import Settings
from tradewire.gateway.health import detail_of
from tradewire.gateway.lag import GroupLags, lag_by_topic, subscribed_topics
from tradewire.operations.stack import free_ports
from tradewire.schemas import Contract
from tradewire.sinks import Sink

PARTS = {"broker", "registry", "clickhouse", "worker", "sink"}


@contextmanager
def group_member(settings: Settings, topic: str) -> Iterator[None]:
    """A live member of the worker's group that has committed the ends of a topic's partitions."""
    consumer = Consumer(
        settings.kafka.client_config()
        | {"group.id": settings.worker.group, "enable.auto.commit": False, "auto.offset.reset": "latest"}
    )
    try:
        assigned: list[TopicPartition] = []
        consumer.subscribe([topic], on_assign=lambda _, places: assigned.extend(places))
        wait_until(lambda: consumer.poll(0.1) is None and assigned)
        ends = [
            TopicPartition(topic, place.partition, consumer.get_watermark_offsets(place, timeout=60)[1])
            for place in assigned
        ]
        consumer.commit(offsets=ends, asynchronous=False)
        yield
    finally:
        consumer.close()


def health_of(client: httpx.Client) -> tuple[int, dict[str, Any]]:
    response = client.get("/health")
    return response.status_code, response.json()


def lag_of_sink(client: httpx.Client) -> dict[str, int]:
    """Of each topic; -1 while the broker does not say."""
    return health_of(client)[1]["parts"]["sink"].get("topics", dict.fromkeys(TOPICS, -1))


def test_every_part_is_up_and_lag_is_counted(client: httpx.Client, gateway_settings: Settings, sink: Sink) -> None:
    """200 with real members in both groups; events that the worker has not committed are its lag, by topic."""
    with group_member(gateway_settings, "market.events"):
        wait_until(lambda: health_of(client)[1]["parts"]["worker"].get("lag") == 0)
        assert 201 == client.post("/events", json=[trade() for _ in range(7)]).status_code

        def worker_is_behind() -> bool:
            status, body = health_of(client)
            worker = body["parts"]["worker"]
            return status == 200 and worker["topics"] == {"market.events": 7} and worker["members"] == 1

        wait_until(worker_is_behind)
        worker_lag = f'{{group="{gateway_settings.worker.group}",topic="market.events"}} 7.0'
        for told in (f"tradewire_consumer_lag_records{worker_lag}", 'tradewire_part_up{part="sink"} 1.0'):
            # A part that does not answer in two seconds is down, for a moment.
            wait_until(lambda: told in client.get("/metrics").text, every_s=0.5)  # noqa: B023
        # In its topics it reads what other tests have left there as well; other topics of this broker it does not read.
        wait_until(lambda: not any(lag_of_sink(client)[topic] for topic in TOPICS), within_s=120)

    def all_but_the_worker() -> dict[str, Any] | None:
        _, found = health_of(client)
        up = {name for name, part in found["parts"].items() if part["status"] == "up"}
        return found if up >= PARTS - {"worker"} else None

    body = wait_until(all_but_the_worker, every_s=0.5)
    assert PARTS == set(body["parts"])
    assert "version 2" in body["parts"]["clickhouse"]["detail"]
    assert "AVRO" in body["parts"]["registry"]["detail"]
    assert all(part["latency_ms"] > 0 for part in body["parts"].values())


def test_what_a_new_group_has_not_read_is_its_lag(gateway_settings: Settings, contract: Contract) -> None:
    """Before its first commit a group is behind on all of an assigned topic, but not on a changelog."""
    group = f"gateway-new-{uuid.uuid4().hex}"
    consumer = Consumer(gateway_settings.kafka.client_config() | {"group.id": group})
    try:
        assigned: list[TopicPartition] = []
        consumer.subscribe(["market.events", "readmodel.order.v1"], on_assign=lambda _, places: assigned.extend(places))
        wait_until(lambda: consumer.poll(0.1) is None and assigned)
        lags = GroupLags(AdminClient(gateway_settings.kafka.client_config()), 10, ["readmodel.order.v1"])
        lag = lags.of(group)
        ends = [
            consumer.get_watermark_offsets(place, timeout=60) for place in assigned if place.topic == "market.events"
        ]
    finally:
        consumer.close()

    assert (1, {"market.events": sum(end - begin for begin, end in ends)}) == (lag.members, dict(lag.lag))
    assert 0 == lags.of(f"{group}-never").members


def test_a_topic_that_a_group_subscribes_to_and_nobody_reads_is_told_and_is_lag(
    client: httpx.Client, gateway_settings: Settings
) -> None:
    """A static member that comes back with one topic more gets what it had before: "0 behind" would be a lie."""
    assert 201 == client.post("/events", json=trade()).status_code
    group = f"gateway-static-{uuid.uuid4().hex}"
    config = {"group.id": group, "group.instance.id": "one", "session.timeout.ms": 120_000}
    lags = GroupLags(AdminClient(gateway_settings.kafka.client_config()), 10)
    found = []
    for topics in (["system.events"], ["system.events", "market.events"]):
        consumer = Consumer(gateway_settings.kafka.client_config() | config)
        try:
            assigned: list[TopicPartition] = []
            consumer.subscribe(topics, on_assign=lambda _, places: assigned.extend(places))  # noqa: B023
            wait_until(lambda: consumer.poll(0.1) is None and assigned)  # noqa: B023
            found.append(lags.of(group))
        finally:
            consumer.close()

    assert [(), ("market.events",)] == [lag.unread for lag in found]
    assert found[1].lag["market.events"] > 0
    assert "nobody reads market.events" in detail_of(found[1])
    assert "nobody" not in detail_of(found[0])


def test_topics_are_read_out_of_what_a_member_joined_with() -> None:
    """Of every version, whose further fields come behind them; another protocol's bytes have none."""
    joined = b"\x00\x03" + b"\x00\x00\x00\x02" + b"\x00\x01a" + b"\x00\x03b.c"

    assert {"a", "b.c"} == subscribed_topics(joined) == subscribed_topics(joined + b"\xff\xff\xff\xff")
    assert set() == subscribed_topics(b"") == subscribed_topics(joined[:7])


def test_a_group_without_members_is_down(client: httpx.Client, gateway_settings: Settings, sink: Sink) -> None:
    """The worker is not running in this test: 503, and the part says so; the others are up."""

    def only_worker_down() -> dict[str, Any] | None:
        status, body = health_of(client)
        down = {name for name, part in body["parts"].items() if part["status"] == "down"}
        return body if (status, down) == (503, {"worker"}) else None

    body = wait_until(only_worker_down, every_s=0.5)

    assert "down" == body["status"]
    assert f"group {gateway_settings.worker.group} has no member" in body["parts"]["worker"]["detail"]


def test_the_gateway_starts_and_says_so_while_everything_else_is_away(gateway_settings: Settings) -> None:
    """Every part is down with its reason, in bounded time; liveness stays 200, metrics stay readable."""
    kafka, registry, clickhouse = free_ports(3)
    away = gateway_settings.model_copy(
        update={
            "kafka": gateway_settings.kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{kafka}"}),
            "registry": gateway_settings.registry.model_copy(update={"url": f"http://127.0.0.1:{registry}/x"}),
            "clickhouse": gateway_settings.clickhouse.model_copy(update={"port": clickhouse}),
        }
    )

    with running_gateway(away) as client:
        began = time.monotonic()
        status, body = health_of(client)
        took = time.monotonic() - began
        live = client.get("/health/live")
        metrics = client.get("/metrics").text

    assert (503, "down") == (status, body["status"])
    assert {(name, "down") for name in PARTS} == {(name, part["status"]) for name, part in body["parts"].items()}
    assert took < 60
    assert f"127.0.0.1:{kafka}" in body["parts"]["broker"]["detail"]
    assert f"127.0.0.1:{registry}" in body["parts"]["registry"]["detail"]
    assert f"127.0.0.1:{clickhouse}" in body["parts"]["clickhouse"]["detail"]
    assert (200, {"status": "up"}) == (live.status_code, live.json())
    assert 'tradewire_part_up{part="broker"} 0.0' in metrics
    assert "tradewire_consumer_lag_records{" not in metrics


def test_requests_are_counted_by_declared_path(client: httpx.Client) -> None:
    """An id in a path or a stranger's path is no label: the number of series stays bounded."""
    mark = uuid.uuid4().hex
    client.get(f"/flows/{mark}")
    client.get(f"/{mark}")
    client.request("BREW", "/events")

    metrics = client.get("/metrics").text

    assert mark not in metrics
    assert re.search(r'requests_total\{method="GET",path="/flows/\{correlation_id:path\}",status="\d+"\}', metrics)
    assert 'requests_total{method="GET",path="unknown",status="404"}' in metrics
    assert 'requests_total{method="other"' in metrics


def test_published_events_are_counted_by_type(client: httpx.Client) -> None:
    """Confirmed ones only; a refused event is no event."""

    def counted() -> float:
        name = 'tradewire_gateway_published_events_total{type="market.trade.reported"} '
        lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
        return float(lines[0].removeprefix(name)) if lines else 0.0

    before = counted()
    client.post("/events", json=[trade(), trade()])
    client.post("/events", json=trade(data={}))

    assert before + 2 == counted()


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [("GET", "/nothing", 404, "not-found"), ("DELETE", "/events", 405, "method-not-allowed")],
)
def test_what_the_framework_refuses_is_a_problem_too(
    client: httpx.Client, method: str, path: str, status: int, slug: str
) -> None:
    """One format for every error."""
    response = client.request(method, path)

    assert (status, "application/problem+json") == (response.status_code, response.headers["content-type"])
    assert f"/problems/{slug}" == response.json()["type"]


PLACES = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3)), st.integers(0, 1_000), min_size=1, max_size=8
)


@given(PLACES, PLACES, PLACES)
def test_lag_is_never_negative_and_never_more_than_what_is_there(
    committed: dict[tuple[str, int], int], starts: dict[tuple[str, int], int], ends: dict[tuple[str, int], int]
) -> None:
    """Whatever retention or a topic made anew did to the offsets."""
    lag = lag_by_topic(committed, starts, ends)

    assert {topic for topic, _ in ends} == set(lag)
    for topic, behind in lag.items():
        there = sum(max(0, end - starts.get(place, 0)) for place, end in ends.items() if place[0] == topic)
        assert 0 <= behind <= there


def test_lag_of_a_partition_without_a_commit_begins_at_its_start() -> None:
    """And an offset that retention has overtaken counts from what is left."""
    assert {"a": 10 + 5 + 3} == lag_by_topic(
        {("a", 1): 95, ("a", 2): 1},
        {("a", 0): 90, ("a", 1): 0, ("a", 2): 97},
        {("a", 0): 100, ("a", 1): 100, ("a", 2): 100},
    )


def test_openapi_describes_every_operation(client: httpx.Client, contract: Contract) -> None:
    """Bodies with examples that are valid events, problems on every error, no trace of the framework's own format."""
    document = client.get("/openapi.json").json()

    assert {"/events", "/flows/{correlation_id}", "/sql", "/health", "/health/live", "/metrics"} == set(
        document["paths"]
    )
    assert "HTTPValidationError" not in str(document)
    body = document["paths"]["/events"]["post"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        assert 201 == client.post("/events", json=example["value"]).status_code
    references = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert references <= set(document["components"]["schemas"])
    names = {parameter["name"] for parameter in document["paths"]["/events"]["get"]["parameters"]}
    assert {"type", "from", "to", "limit", "cursor", "order", "data.symbol"} <= names
