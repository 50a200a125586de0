"""Registry ids and topics against the real servers."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from tradewire.core import ContractError, RegistryUnavailable, Settings, UnknownSchemaId
from tradewire.core.settings import RegistrySettings
from tradewire.schemas import Catalogue, Codec, Contract, RegistryIds, SchemaArchive, Topic, TopicAdmin

AWAY = RegistrySettings(url="http://127.0.0.1:1", timeout_ms=500)
QUOTE = {
    "venue": "v",
    "symbol": "s",
    "bid_price": Decimal("1.5"),
    "bid_quantity": Decimal(1),
    "ask_price": Decimal("1.6"),
    "ask_quantity": Decimal(2),
    "quote_time_ns": 1,
}


def test_what_one_process_encodes_another_decodes_by_id(contract: Contract, settings: Settings) -> None:
    """The reader knows nothing but the registry's address."""
    value = contract.codec.encode("market.quote.updated", QUOTE, "market.events")
    reader = Codec(Catalogue.load(), RegistryIds(settings.registry.model_copy(update={"archive_folder": None})))

    assert Decimal("1.5") == reader.decode(value).data["bid_price"]


def test_the_archive_answers_when_the_registry_is_away(contract: Contract, settings: Settings) -> None:
    """Known schemas are written and read on; only the unknown waits."""
    value = contract.codec.encode("market.quote.updated", QUOTE, "market.events")
    assert settings.registry.archive_folder is not None
    codec = Codec(Catalogue.load(), RegistryIds(AWAY, SchemaArchive(settings.registry.archive_folder)))

    assert value == codec.encode("market.quote.updated", QUOTE, "market.events")
    assert "market.quote.updated" == codec.decode(value).type


def test_without_archive_an_absent_registry_can_be_tried_again(contract: Contract) -> None:
    """It is never taken for an unknown schema."""
    codec = Codec(Catalogue.load(), RegistryIds(AWAY))

    with pytest.raises(RegistryUnavailable) as away:
        codec.encoder("market.quote.updated", "market.events")
    assert away.value.retriable


def test_an_unregistered_subject_is_refused_and_not_registered(contract: Contract, settings: Settings) -> None:
    """Publishing never registers as a side effect; the message names the command that does."""
    ids = RegistryIds(settings.registry.model_copy(update={"archive_folder": None}))
    schema = contract.catalogue["market.quote.updated"].latest

    for _ in range(2):
        with pytest.raises(ContractError, match="tradewire schemas register"):
            ids.id_of(schema, "a.topic.nobody.registered")


def test_an_id_nobody_gave_out_is_unknown(contract: Contract) -> None:
    """Registry and archive are both asked."""
    with pytest.raises(UnknownSchemaId):
        contract.schema_ids.schema_of(999_999)


def test_an_archived_id_never_changes_its_meaning(tmp_path: Path, contract: Contract) -> None:
    """A registry that was reset must not overwrite what old records were written with."""
    from tradewire.schemas import ArchivedSchema

    archive = SchemaArchive(tmp_path)
    archive.put(ArchivedSchema(7, "s", '{"type":"string"}'))
    archive.put(ArchivedSchema(7, "s", '{"type": "string"}'))

    with pytest.raises(ContractError, match="registry reset"):
        archive.put(ArchivedSchema(7, "s", '{"type":"long"}'))
    assert '{"type":"string"}' == archive.get(7).schema


def test_every_partition_of_a_new_topic_has_a_leader_when_the_call_returns(settings: Settings) -> None:
    """The controller answers before the broker has made the logs: a reader then met "not leader for partition"."""
    topics = {name: Topic(name, "test", partitions=20) for name in (f"test.leaders-{number}" for number in range(5))}
    TopicAdmin(settings.kafka).ensure(topics)

    consumer = Consumer(settings.kafka.client_config() | {"group.id": "test-leaders"})
    try:
        ends = {
            consumer.get_watermark_offsets(TopicPartition(name, number), timeout=10)
            for name, topic in topics.items()
            for number in range(topic.partitions)
        }
    finally:
        consumer.close()
    assert ends == {(0, 0)}


def test_a_client_that_asked_for_a_leader_too_early_asks_again(settings: Settings) -> None:
    """librdkafka remembers for half a minute that a topic was not there: its answers then are not the broker's."""
    for number in range(4):
        topic = Topic(f"test.early-{number}", "test", partitions=2)
        admin = TopicAdmin(settings.kafka)
        changes = admin.plan({topic.name: topic})
        assert admin._without_leader([TopicPartition(topic.name, 0)])

        assert changes == admin.apply(changes)


def test_topics_are_made_once_and_their_configuration_follows(settings: Settings) -> None:
    """A changed retention is applied to the topic that exists; another number of partitions is left to a human."""
    admin = TopicAdmin(settings.kafka)
    topic = Topic("test.admin", "test", partitions=2, retention_ms=1_000_000)
    assert [] == admin.ensure({topic.name: topic})
    longer = Topic("test.admin", "test", partitions=3, retention_ms=2_000_000)
    refused = admin.ensure({longer.name: longer})

    assert ["add partitions"] == [change.action for change in refused]
    found = admin.found([topic.name])[topic.name]
    assert (2, "2000000") == (found.partitions, found.config["retention.ms"])
