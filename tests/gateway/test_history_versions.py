"""Answers of the gateway in the newest version, and up to where they are complete."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
from confluent_kafka import Producer
from tests.sinks.samples import data_of, event_of, framed
from tests.waiting import wait_until

from tradewire.core import Settings
from tradewire.gateway.complete import HistoryPositions, complete_json
from tradewire.operations.stack import free_ports
from tradewire.schemas import Contract, encode_headers
from tradewire.sinks import CompleteUpTo, Sink, complete_line
from tradewire.sinks.positions import PartitionPosition

REJECTED = "trading.order.rejected"


def publish_first_version(settings: Settings, contract: Contract, correlation_id: str) -> None:
    """An event as a service of last year writes it: its reason is a free text."""
    schema = contract.catalogue[REJECTED].versions[0]
    assert 1 == schema.version
    topic = contract.topic_of(REJECTED)
    schema_id = contract.schema_ids.id_of(schema, topic)
    data = data_of(schema, 1) | {"reason": "no funds"}
    event = event_of(schema, 1, id=str(uuid.uuid4()), data=data, correlation_id=correlation_id)
    producer = Producer(settings.kafka.client_config())
    producer.produce(topic, framed(schema, schema_id, data), event.subject, headers=list(encode_headers(event)))
    assert 0 == producer.flush(30)


def test_an_event_of_an_older_version_is_given_as_the_newest(
    client: httpx.Client, sink: Sink, gateway_settings: Settings, contract: Contract
) -> None:
    """As every consumer of today gets it; what was written can be asked for."""
    mark = uuid.uuid4().hex
    publish_first_version(gateway_settings, contract, mark)
    wait_until(lambda: client.get("/events", params={"correlation_id": mark}).json()["events"], within_s=60)

    page = client.get("/events", params={"correlation_id": mark}).json()
    (newest,) = page["events"]
    (written,) = client.get("/events", params={"correlation_id": mark, "version": "written"}).json()["events"]
    flow = client.get(f"/flows/{mark}").json()
    bad = client.get("/events", params={"version": "oldest"})

    assert (1, 2, "UNKNOWN", "no funds") == (
        newest["version"], newest["data_version"], newest["data"]["reason"], newest["data"]["text"]
    )  # fmt: skip
    assert (1, 1, "no funds") == (written["version"], written["data_version"], written["data"]["reason"])
    same = ("account", "venue", "symbol", "order_id")
    assert {name: written["data"].get(name) for name in same} == {name: newest["data"].get(name) for name in same}
    assert [newest] == [step["event"] for step in flow["steps"]]
    assert (400, "version") == (bad.status_code, bad.json()["errors"][0]["parameter"])


def test_every_answer_says_up_to_where_it_is_complete(client: httpx.Client, sink: Sink) -> None:
    """Nothing is behind once the sink has confirmed all: then it is the time of asking.

    Asked of a topic in which no test ends a transaction: its marker would count as behind for ever.
    """

    def nothing_is_behind() -> dict[str, Any] | None:
        """An answer that had to do without Kafka has nothing to say."""
        said = client.get("/events", params={"limit": 1, "topic": "backtest.events"}).json()["complete"]
        return said if said is not None and said["behind"] == 0 else None

    of_one = wait_until(nothing_is_behind, within_s=90)
    assert of_one is not None
    of_all = wait_until(lambda: client.post("/sql", json={"sql": "SELECT 1 AS one"}).json()["complete"])

    assert {"recorded", "behind", "asked"} == set(of_one) == set(of_all)
    assert of_one["recorded"] <= of_one["asked"]
    assert of_all["recorded"] is None or of_all["recorded"] <= of_all["asked"]


def test_an_answer_does_not_fail_for_want_of_kafka(gateway_settings: Settings, contract: Contract) -> None:
    """It then says that it cannot tell; and Kafka is not asked again at once."""
    (port,) = free_ports(1)
    nowhere = gateway_settings.model_copy(
        update={"kafka": gateway_settings.kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{port}"})}
    )
    positions = HistoryPositions(nowhere, contract.topics, None)  # type: ignore[arg-type]

    assert positions.now() is None
    assert positions.now() is None
    assert complete_json(None) is None
    assert "not known" in complete_line(None)


def test_completeness_reads_as_a_sentence() -> None:
    behind = (PartitionPosition("t", 0, 0, 12, 7),)

    assert "everything in Kafka is stored" in complete_line(CompleteUpTo(1_000, 1_000, ()))
    assert "nothing is" in complete_line(CompleteUpTo(1_000, None, behind))
    assert complete_line(CompleteUpTo(1_000, 500, behind)).endswith(
        "1970-01-01T00:00:00.500Z (0.5 s ago); 5 records behind"
    )
    assert "NOT complete of flows.state" in complete_line(CompleteUpTo(1_000, None, behind), of="flows.state")
