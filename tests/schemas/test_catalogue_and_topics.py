"""The catalogue and the declared topics, read from files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tradewire.core import SchemaFileError, UnknownEventType
from tradewire.schemas import Catalogue, TopicOnBroker, Topics, plan_topics


def write(folder: Path, name: str, content: object) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


RECORD = {"type": "record", "name": "Filled", "namespace": "acme", "fields": [{"name": "n", "type": "long"}]}


def test_adding_an_event_type_is_adding_a_file(tmp_path: Path) -> None:
    """A user's folder of the same shape extends the built-in types."""
    write(tmp_path, "desk/quote.filled/v1.avsc", RECORD)
    catalogue = Catalogue.load(tmp_path)

    assert "acme.Filled" == catalogue["desk.quote.filled"].latest.name
    assert "market.trade.reported" in catalogue


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("desk/quote.filled/v1.avsc", "{", "JSON"),
        ("desk/quote.filled/v1.avsc", {"type": "string"}, "Avro record"),
        ("desk/quote.filled/v1.avsc", RECORD | {"fields": [{"name": "n", "type": "lnog"}]}, "lnog"),
        ("desk/quote.filled/v1.avsc", RECORD | {"tradewire": {"type": "desk.quote.sent"}}, "desk.quote.sent"),
        ("desk/quote.filled/one.avsc", RECORD, "v<N>.avsc"),
        ("desk/Quote/v1.avsc", RECORD, "lower-case"),
        ("desk/quote.filled/v2.avsc", RECORD, "a number is missing"),
        ("market/trade.reported/v1.avsc", RECORD, "already defined"),
    ],
)
def test_a_bad_file_is_refused_by_name(name: str, content: object, said: str, tmp_path: Path) -> None:
    """The author reads which file it is and what is wrong with it; nothing is half loaded."""
    write(tmp_path, name, content)

    with pytest.raises(SchemaFileError) as refused:
        Catalogue.load(tmp_path)
    assert said in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_a_misspelt_type_gets_a_suggestion() -> None:
    """The nearest names are offered."""
    with pytest.raises(UnknownEventType, match=r"market\.trade\.reported"):
        Catalogue.load()["market.trade.report"]


def test_every_type_of_the_catalogue_has_a_topic() -> None:
    """No event type can be published into nowhere."""
    topics = Topics.load()
    catalogue = Catalogue.load()

    assert "market.events" == topics.of_type(catalogue["market.trade.reported"]).name
    assert "flows.state" == topics.of_type(catalogue["flows.state.changed"]).name
    assert "readmodel.order.v1" == topics.of_type(catalogue["readmodel.order.changed"]).name
    assert len(catalogue) == len([topics.of_type(type) for type in catalogue.values()])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("topics: {a: {domain: x, partitons: 3}}", "partitons"),
        ("defaults: {partitions: 0}\ntopics: {a: {domain: x}}", "partitions"),
        ("[]", "not a file of topics"),
    ],
)
def test_a_bad_file_of_topics_is_refused_by_name(content: str, said: str, tmp_path: Path) -> None:
    """Topic and key are named."""
    with pytest.raises(SchemaFileError, match=said):
        Topics.load(write(tmp_path, "topics.yaml", content))


def test_the_plan_creates_what_is_missing_and_leaves_others_alone() -> None:
    """Topics of other owners on the same cluster are not touched."""
    declared = Topics.load()
    changes = plan_topics(declared, {"theirs": TopicOnBroker(1, {})})

    assert {("create", name) for name in declared} == {(change.action, change.topic.name) for change in changes}


def test_the_plan_is_empty_when_the_broker_is_as_declared() -> None:
    """Applying twice changes nothing."""
    declared = Topics.load()
    found = {name: TopicOnBroker(topic.partitions, topic.config) for name, topic in declared.items()}

    assert [] == plan_topics(declared, found)


def test_the_plan_refuses_to_change_partitions_and_sets_configuration() -> None:
    """More partitions would move keys and break the order of every aggregate."""
    topic = Topics.load()["market.events"]
    found = {topic.name: TopicOnBroker(topic.partitions + 1, topic.config | {"retention.ms": "1"})}
    partitions, config = plan_topics({topic.name: topic}, found)

    assert partitions.refused is not None
    assert config.refused is None
    assert {"retention.ms": str(topic.retention_ms)} == config.config
