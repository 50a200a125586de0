"""The contract as an AsyncAPI 3.0 document with the Kafka bindings 0.5.0, as YAML text.

Source: asyncapi/spec v3.0.0, asyncapi/bindings ``kafka`` 0.5.0, cloudevents/spec ``kafka-protocol-binding.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from tradewire.core.settings import Settings
from tradewire.schemas.catalogue import Catalogue, EventType
from tradewire.schemas.headers import SEQUENCE_DIGITS
from tradewire.schemas.topics import Topic, Topics

_BINDING: Final = "0.5.0"
_AVRO: Final = "application/vnd.apache.avro;version=1.9.0"
_MARK: Final = "# Made by `tradewire schemas docs` from the Avro files and the declared topics; do not edit.\n"
_DESCRIPTION: Final = (
    "Every event is one Kafka record: a CloudEvent 1.0 in binary mode. The value is Avro in the Confluent frame (0x00, "
    "four bytes of schema id, Avro binary), the key is the aggregate id. The version of this document counts the "
    "schema files of the contract: a schema is never changed, a new version is a new file."
)


@dataclass(frozen=True, slots=True)
class Reached:
    """Where the platform of a document is reached, and which groups read there."""

    kafka: str
    security_protocol: str
    registry_url: str
    worker_group: str
    sink_group: str

    @classmethod
    def of(cls, settings: Settings) -> Reached:
        """What the settings say, without any secret: user name and password are not part of a document."""
        return cls(
            kafka=settings.kafka.bootstrap_servers,
            security_protocol=settings.kafka.security_protocol,
            registry_url=settings.registry.url,
            worker_group=settings.worker.group,
            sink_group=settings.sink.group,
        )


def asyncapi_document(catalogue: Catalogue, topics: Topics, reached: Reached) -> str:
    """The document as YAML. The same files and settings give the same text.

    Raises:
        UnknownEventType: a type has no declared topic.
    """
    types_of: dict[str, list[EventType]] = {name: [] for name in topics}
    for type in catalogue.values():
        types_of[topics.of_type(type).name].append(type)
    files = sum(len(type.versions) for type in catalogue.values())
    document: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {"title": "Tradewire events", "version": f"1.{files}.0", "description": _DESCRIPTION},
        "defaultContentType": "application/avro",
        "servers": _servers(reached),
        "channels": {name: _channel(topic, types_of[name]) for name, topic in topics.items()},
        "operations": _operations(topics, types_of, reached),
        "components": {
            "messages": {type.name: _message(type) for type in catalogue.values()},
            "messageTraits": {"cloudEvent": _CLOUD_EVENT},
            "operationTraits": {
                "worker": {"bindings": {"kafka": _reader(reached.worker_group)}},
                "sink": {"bindings": {"kafka": _reader(reached.sink_group)}},
            },
        },
    }
    return _MARK + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Without anchors: a reader of the page is a human as often as a machine."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _servers(reached: Reached) -> dict[str, Any]:
    secure = reached.security_protocol != "PLAINTEXT"
    registry = {"schemaRegistryUrl": reached.registry_url, "schemaRegistryVendor": "confluent"}
    hosts = [host.strip() for host in reached.kafka.split(",")]
    names = ["kafka"] if len(hosts) == 1 else [f"kafka{number}" for number in range(1, len(hosts) + 1)]
    return {
        name: {
            "host": host,
            "protocol": "kafka-secure" if secure else "kafka",
            "description": f"Broker of the bootstrap list, {reached.security_protocol}.",
            "bindings": {"kafka": {**registry, "bindingVersion": _BINDING}},
        }
        for name, host in zip(names, hosts, strict=True)
    }


def _channel(topic: Topic, types: list[EventType]) -> dict[str, Any]:
    kept = "the newest record of each key" if topic.cleanup == "compact" else _retention(topic.retention_ms)
    said = f"Key: {topic.key}. Keeps {kept}." if topic.key else f"Keeps {kept}."
    if not types:
        said += " Carries events of other channels as they are."
    configuration: dict[str, Any] = {"cleanup.policy": [topic.cleanup]}
    if topic.cleanup == "delete":
        configuration["retention.ms"] = topic.retention_ms
    configuration["message.timestamp.type"] = topic.timestamps
    binding: dict[str, Any] = {"topic": topic.name, "partitions": topic.partitions}
    if topic.replication > 0:  # else the broker's own default, which a document cannot say
        binding["replicas"] = topic.replication
    binding |= {"topicConfiguration": configuration, "bindingVersion": _BINDING}
    channel: dict[str, Any] = {"address": topic.name, "description": said}
    if types:
        channel["messages"] = {type.name: {"$ref": f"#/components/messages/{type.name}"} for type in types}
    return channel | {"bindings": {"kafka": binding}}


def _retention(retention_ms: int) -> str:
    return "records for ever" if retention_ms < 0 else f"records for {retention_ms / 86_400_000:g} days"


def _operations(topics: Topics, types_of: Mapping[str, list[EventType]], reached: Reached) -> dict[str, Any]:
    """Who writes and reads a channel. ``send`` and ``receive`` are said of the platform and its services together."""
    operations: dict[str, Any] = {}
    for name, topic in topics.items():
        channel = {"$ref": f"#/channels/{name}"}
        derived = not types_of[name] or any(type.topic for type in types_of[name])
        operations[f"publish {name}"] = {
            "action": "send",
            "channel": channel,
            "summary": "Written by idempotent producers with acks=all; each message says who publishes it.",
        }
        if not derived:
            operations[f"fold {name}"] = {
                "action": "receive",
                "channel": channel,
                "summary": "The worker correlates events and folds them into read models.",
                "traits": [{"$ref": "#/components/operationTraits/worker"}],
            }
        if topic.stored:
            operations[f"store {name}"] = {
                "action": "receive",
                "channel": channel,
                "summary": "The sink stores every record in ClickHouse, each once.",
                "traits": [{"$ref": "#/components/operationTraits/sink"}],
            }
    return operations


def _reader(group: str) -> dict[str, Any]:
    return {"groupId": {"type": "string", "const": group}, "bindingVersion": _BINDING}


def _message(type: EventType) -> dict[str, Any]:
    latest = type.latest
    doc = str(latest.schema.get("doc", ""))
    aggregate = str(latest.schema.get("tradewire", {}).get("aggregate", ""))
    key = {"type": "string", "description": f"Aggregate id: {aggregate or 'the subject of the event'}."}
    message: dict[str, Any] = {
        "name": type.name,
        "title": latest.name,
        "summary": doc.split(". ")[0].removesuffix(".") + "." if doc else type.name,
        "description": f"{doc} Schema v{latest.version}; older versions are read as this one.".strip(),
        "payload": {"schemaFormat": _AVRO, "schema": json.loads(latest.text)},
        "bindings": {
            "kafka": {
                "key": key,
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicRecordNameStrategy",
                "bindingVersion": _BINDING,
            }
        },
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
    }
    if not doc:
        del message["description"]
    return message


def _header(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


_CLOUD_EVENT: Final[Mapping[str, Any]] = {
    "contentType": "application/avro",
    "headers": {
        "type": "object",
        "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "content-type"],
        "properties": {
            "ce_specversion": _header("Version of CloudEvents.", const="1.0"),
            "ce_id": _header("Id of the event, unique with ce_source; a UUIDv7 where we made it.", minLength=1),
            "ce_type": _header("Event type, the name of the message.", minLength=1),
            "ce_source": _header("Service that published the event.", minLength=1),
            "ce_time": _header("When it occurred, RFC 3339 with up to nine fraction digits.", format="date-time"),
            "ce_subject": _header("Aggregate id, equal to the key."),
            "ce_correlationid": _header("One value for a root event and all that follows from it."),
            "ce_causationid": _header("Id of the event that directly caused this one; absent at a root."),
            "ce_sequence": _header(
                "Number of the event within its aggregate, padded so that text sorts as numbers do.",
                pattern=f"^[0-9]{{{SEQUENCE_DIGITS}}}$",
            ),
            "ce_tags": _header("Tags: a JSON object of strings.", contentMediaType="application/json"),
            "content-type": _header("Format of the value.", const="application/avro"),
            "traceparent": _header("W3C trace context, where the publisher gives one."),
        },
    },
    "correlationId": {
        "description": "All events of one flow.",
        "location": "$message.header#/ce_correlationid",
    },
}
