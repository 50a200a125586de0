"""Topics as declared data (``topics.yaml``), and the pure difference between what is declared and what a broker has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tradewire.core.errors import SchemaFileError, UnknownEventType
from tradewire.schemas.catalogue import EventType

BUILT_IN_FILE = Path(str(files("tradewire.schemas").joinpath("topics.yaml")))
# The broker's own unit of "for ever".
RETENTION_FOREVER_MS = -1


@dataclass(frozen=True, slots=True)
class Topic:
    """A declared topic. ``retention_ms`` does not apply to a compacted topic.

    ``stored`` is False for what workers only pass to one another: the sink leaves it out of ClickHouse. ``urgent``
    holds patterns of event types that publishers send ahead of everything else.
    """

    name: str
    domain: str
    key: str = ""
    partitions: int = 4
    replication: int = -1
    cleanup: Literal["delete", "compact"] = "delete"
    retention_ms: int = RETENTION_FOREVER_MS
    timestamps: Literal["LogAppendTime", "CreateTime"] = "LogAppendTime"
    stored: bool = True
    urgent: tuple[str, ...] = ()

    def is_urgent(self, type: str) -> bool:
        """Whether events of ``type`` overtake those that are not urgent, also of the same topic and key."""
        return any(fnmatchcase(type, pattern) for pattern in self.urgent)

    @property
    def config(self) -> dict[str, str]:
        """The broker's keys of this topic."""
        config: dict[str, str] = {"cleanup.policy": self.cleanup, "message.timestamp.type": self.timestamps}
        if self.cleanup == "delete":
            config["retention.ms"] = str(self.retention_ms)
        return config


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    domain: str
    key: str = ""
    partitions: int = Field(ge=1)
    replication: int = Field(ge=-1)
    cleanup: Literal["delete", "compact"]
    retention_ms: int = Field(ge=-1)
    timestamps: Literal["LogAppendTime", "CreateTime"]
    stored: bool = True
    urgent: tuple[str, ...] = ()


class Topics(Mapping[str, Topic]):
    """Declared topics by name, immutable."""

    def __init__(self, topics: Mapping[str, Topic]) -> None:
        self._topics = dict(topics)
        self._by_domain: dict[str, Topic] = {}
        for topic in topics.values():
            self._by_domain.setdefault(topic.domain, topic)

    @classmethod
    def load(cls, file: Path | None = None) -> Topics:
        """Reads ``topics.yaml`` (ours when None).

        Raises:
            SchemaFileError: the file is not such a file, or a key is unknown or has a bad value; names topic and key.
        """
        file = file or BUILT_IN_FILE
        try:
            content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
            defaults, entries = content.get("defaults", {}), content["topics"]
        except (OSError, yaml.YAMLError, KeyError, AttributeError, TypeError) as error:
            raise SchemaFileError(f"{file}: not a file of topics: {error!r}", file=str(file)) from error
        topics: dict[str, Topic] = {}
        for name, entry in entries.items():
            try:
                topics[name] = Topic(name=name, **_Entry(**{**defaults, **(entry or {})}).model_dump())
            except ValidationError as error:
                said = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
                raise SchemaFileError(f"{file}: topic {name}: {said}", file=str(file)) from error
        return cls(topics)

    def __getitem__(self, name: str) -> Topic:
        return self._topics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._topics)

    def __len__(self) -> int:
        return len(self._topics)

    def of_type(self, type: EventType) -> Topic:
        """The topic an event type is published to: the one its schema names, else its domain's.

        Raises:
            UnknownEventType: no topic is declared for it; names what to add to the file of topics.
        """
        topic = self._topics.get(type.topic) if type.topic else self._by_domain.get(type.domain)
        if topic is None:
            raise UnknownEventType(
                f"no topic is declared for {type.name}: add {type.topic or 'one with domain ' + type.domain} to "
                "the file that schemas.topics_file names",
                type=type.name,
            )
        return topic

    def with_partitions(self, partitions: int) -> Topics:
        """The same topics with another number of partitions each."""
        return Topics({name: replace(topic, partitions=partitions) for name, topic in self._topics.items()})


def refuse_without_topic(type: EventType, topics: Topics) -> None:
    """Checks that events of a user's type have a topic that keeps them.

    Raises:
        SchemaFileError: no topic is declared, or one that would not do; names the file and what to add where.
    """
    file = type.latest.file
    try:
        topic = topics.of_type(type)
    except UnknownEventType as error:
        raise SchemaFileError(f"{file}: {error}", file=str(file), type=type.name) from error
    why = ""
    if type.topic and topic.cleanup != "compact":
        why = (
            f"tradewire.topic names {topic.name}, which is not compacted: a topic of one type is a read model's, of "
            "which the newest of each key is kept; leave tradewire.topic out to publish to the topic of the domain"
        )
    elif not type.topic and (topic.cleanup == "compact" or not topic.stored or topic.domain == "deadletter"):
        why = (
            f"the domain {type.domain} has the topic {topic.name}, which keeps no events (compact, not stored, or dead "
            "letters); choose another domain and declare a topic for it in the file that schemas.topics_file names"
        )
    if why:
        raise SchemaFileError(f"{file}: {why}", file=str(file), type=type.name)


@dataclass(frozen=True, slots=True)
class TopicOnBroker:
    """What a broker says of a topic."""

    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicChange:
    """One step of a plan. ``refused`` says why a difference is left to a human; None means it will be made."""

    topic: Topic
    action: Literal["create", "add partitions", "set config"]
    detail: str
    config: Mapping[str, str]
    refused: str | None = None


def plan_topics(declared: Mapping[str, Topic], found: Mapping[str, TopicOnBroker]) -> list[TopicChange]:
    """The changes that make a broker's topics as declared. Topics that are not declared are left alone.

    Adding partitions to a topic that exists is refused: it sends old keys to new partitions and so breaks the order of
    every aggregate, and Kafka cannot take partitions away.
    """
    changes: list[TopicChange] = []
    for name, topic in declared.items():
        present = found.get(name)
        if present is None:
            changes.append(TopicChange(topic, "create", f"{topic.partitions} partitions", topic.config))
            continue
        if present.partitions != topic.partitions:
            changes.append(
                TopicChange(
                    topic,
                    "add partitions",
                    f"{present.partitions} -> {topic.partitions}",
                    {},
                    refused="another number of partitions moves keys and breaks their order; replay into a new topic",
                )
            )
        differing = {key: value for key, value in topic.config.items() if present.config.get(key) != value}
        if differing:
            detail = ", ".join(f"{key}: {present.config.get(key)} -> {value}" for key, value in differing.items())
            changes.append(TopicChange(topic, "set config", detail, differing))
    return changes
