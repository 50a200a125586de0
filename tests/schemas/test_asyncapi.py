"""`docs/asyncapi.yaml`: valid by the specification's own schema, true to catalogue, topics and headers."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from pydantic import SecretStr
from referencing import Registry

from tradewire.core.settings import KafkaSettings, RegistrySettings, Settings
from tradewire.operations.cli import main
from tradewire.schemas import Catalogue, Event, Topics, encode_headers, subject_of
from tradewire.schemas.generate.asyncapi_document import Reached, asyncapi_document

DOCUMENT = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
CATALOGUE = Catalogue.load()
TOPICS = Topics.load()
# Defaults alone: what the environment says of a broker is no part of the page.
DEFAULTS = Settings.model_construct()


@cache
def document() -> Any:
    return yaml.load(DOCUMENT.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@cache
def validator() -> Draft7Validator:
    """The specification's schema. An empty registry: what it refers to lies in the same file, nothing is fetched."""
    schema = json.loads(Path(__file__).with_name("asyncapi-3.0.0.json").read_text())
    return Draft7Validator(schema, registry=Registry())


def faults(document: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in validator().iter_errors(document)]


def test_the_document_is_what_the_files_give() -> None:
    expected = asyncapi_document(CATALOGUE, TOPICS, Reached.of(DEFAULTS))

    assert DOCUMENT.read_text("utf-8") == expected, "run `tradewire schemas docs`"


def test_the_document_is_valid_by_the_specification() -> None:
    assert [] == faults(document())


CHANNEL = ("channels", "market.events", "bindings", "kafka")
MESSAGE = ("components", "messages", "market.trade.reported")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("asyncapi",), "2.6.0"),
        ((*CHANNEL, "partitions"), 0),
        ((*CHANNEL, "replicas"), -1),
        ((*CHANNEL, "topicConfiguration", "cleanup.policy"), "delete"),
        ((*CHANNEL, "partition"), 4),
        ((*MESSAGE, "bindings", "kafka", "schemaIdLocation"), "body"),
        ((*MESSAGE, "payload", "schema", "fields", 0, "type"), {"type": "strnig"}),
        (("operations", "publish market.events", "action"), "publish"),
        (("components", "messageTraits", "cloudEvent", "correlationId", "location"), "ce_correlationid"),
    ],
    ids=lambda value: ".".join(map(str, value[-2:])) if isinstance(value, tuple) else "",
)
def test_a_fault_would_be_found(path: tuple[Any, ...], value: Any) -> None:
    """The schema looks into bindings, headers and the Avro inside: each of these faults makes the document invalid."""
    small = yaml.safe_load(asyncapi_document(one_type(), TOPICS, Reached.of(DEFAULTS)))
    assert [] == faults(small)
    broken = copy.deepcopy(small)
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    assert [] != faults(broken)


def one_type() -> Catalogue:
    return Catalogue({"market.trade.reported": CATALOGUE["market.trade.reported"]})


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from references(item)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(document()))

    assert len(found) > len(CATALOGUE)
    for reference in found:
        place = document()
        for key in reference.removeprefix("#/").split("/"):
            place = place[key]


def test_channels_are_the_declared_topics() -> None:
    """Partitions, clean-up and retention as the broker is told; a topic without event types of its own says so."""
    channels = document()["channels"]

    assert list(TOPICS) == list(channels)
    for name, topic in TOPICS.items():
        binding = channels[name]["bindings"]["kafka"]
        told = {
            key: ",".join(value) if isinstance(value, list) else str(value)
            for key, value in binding["topicConfiguration"].items()
        }
        assert (name, topic.partitions, topic.config) == (binding["topic"], binding["partitions"], told)
        types = [type.name for type in CATALOGUE.values() if TOPICS.of_type(type).name == name]
        assert types == list(channels[name].get("messages", {}))
        assert bool(types) != ("Carries events of other channels" in channels[name]["description"])


def test_replicas_are_told_where_they_are_declared() -> None:
    """-1 is the broker's own default, and no number."""
    topic = TOPICS["market.events"]
    declared = Topics({topic.name: type(topic)(name=topic.name, domain=topic.domain, replication=3)})
    found = yaml.safe_load(asyncapi_document(one_type(), declared, Reached.of(DEFAULTS)))

    assert 3 == found["channels"]["market.events"]["bindings"]["kafka"]["replicas"]
    assert "replicas" not in document()["channels"]["market.events"]["bindings"]["kafka"]


def test_payloads_are_the_schemas_that_are_registered() -> None:
    """Reader and registry see the same Avro; the look-up strategy is that of our subjects."""
    messages = document()["components"]["messages"]

    assert list(CATALOGUE) == list(messages)
    for name, type in CATALOGUE.items():
        message = messages[name]
        assert json.loads(type.latest.text) == message["payload"]["schema"]
        assert "application/vnd.apache.avro;version=1.9.0" == message["payload"]["schemaFormat"]
        kafka = message["bindings"]["kafka"]
        assert ("payload", "confluent") == (kafka["schemaIdLocation"], kafka["schemaIdPayloadEncoding"])
        assert "TopicRecordNameStrategy" == kafka["schemaLookupStrategy"]
        topic = TOPICS.of_type(type).name
        assert f"{topic}-{type.latest.name}" == subject_of(topic, message["title"])


@pytest.mark.parametrize("full", [True, False], ids=["full", "least"])
def test_headers_are_those_that_publishers_write(full: bool) -> None:
    """What encode_headers writes is valid by the message's schema of headers, and each header is described there."""
    more: dict[str, Any] = {"causation_id": "e-0", "sequence": 7, "tags": {"desk": "a"}} if full else {}
    event = Event(
        id="e-1",
        type="market.trade.reported",
        data={},
        source="feed",
        subject="binance.spot:BTCUSDT",
        time_ns=1_723_161_255_342_000_001,
        correlation_id="e-0",
        **more,
    )
    headers = {name: (value or b"").decode() for name, value in encode_headers(event)}
    schema = document()["components"]["messageTraits"]["cloudEvent"]["headers"]

    Draft7Validator(schema).validate(headers)
    assert set(headers) <= set(schema["properties"])
    assert full == (set(schema["properties"]) - set(headers) == {"traceparent"})
    assert not Draft7Validator(schema).is_valid(headers | {"ce_sequence": "7"})


def test_secrets_stay_out_of_the_document() -> None:
    """Brokers, protocol and registry are told; names and passwords are not."""
    settings = Settings.model_construct(
        kafka=KafkaSettings(
            bootstrap_servers="one:9092, two:9092",
            security_protocol="SASL_SSL",
            sasl_mechanism="PLAIN",
            sasl_username="trader",
            sasl_password=SecretStr("hunter2"),
        ),
        registry=RegistrySettings(url="https://registry", username="reader", password=SecretStr("hunter2")),
    )
    text = asyncapi_document(one_type(), TOPICS, Reached.of(settings))
    servers = yaml.safe_load(text)["servers"]

    assert [] == faults(yaml.safe_load(text))
    assert ["one:9092", "two:9092"] == [server["host"] for server in servers.values()]
    assert {"kafka-secure"} == {server["protocol"] for server in servers.values()}
    assert "https://registry" == servers["kafka1"]["bindings"]["kafka"]["schemaRegistryUrl"]
    assert [] == [word for word in ("trader", "reader", "hunter2") if word in str(servers)]


def test_the_command_writes_both_pages_with_the_users_own_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that the settings name is part of page and document; both are valid."""
    field = {"name": "quote_id", "type": "string", "doc": "Id of the quote. Set by the desk."}
    record = {"type": "record", "name": "Quoted", "namespace": "acme", "doc": "A desk gave a price.", "fields": [field]}
    file = tmp_path / "avro" / "market" / "desk.quoted" / "v1.avsc"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(record))
    monkeypatch.setenv("TRADEWIRE_SCHEMAS__FOLDER", str(tmp_path / "avro"))

    for expected, more in ((3, ["--check"]), (0, []), (0, ["--check"])):
        with pytest.raises(SystemExit) as ended:
            main(["schemas", "docs", "--output", str(tmp_path / "docs"), *more])
        assert expected == int(ended.value.code or 0)

    written = yaml.safe_load((tmp_path / "docs" / "asyncapi.yaml").read_text())
    assert record == written["components"]["messages"]["market.desk.quoted"]["payload"]["schema"]
    assert "### market.desk.quoted" in (tmp_path / "docs" / "events.md").read_text()
