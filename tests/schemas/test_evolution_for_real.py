"""Versions in the real registry: what it accepts, what it gives back, what happens when it is away."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from tests.schemas.versions import before

from tradewire.core import ContractError, RegistryUnavailable, Settings, UnknownSchemaId, new_id
from tradewire.core.settings import RegistrySettings
from tradewire.schemas import (
    Catalogue,
    Codec,
    Contract,
    EventSchema,
    EventType,
    RegistryIds,
    SchemaArchive,
    subject_of,
)
from tradewire.schemas.codec import FRAME

NEW = Catalogue.load()
OLD = before(NEW)
CREATED, REJECTED = "trading.order.created", "trading.order.rejected"
EVOLVED = [type for type in NEW.values() if len(type.versions) > 1]
ORDER = {"order_id": "o", "account": "a", "symbol": "S", "venue": "v"}
DATA: dict[str, dict[str, Any]] = {
    CREATED: {**ORDER, "quantity": Decimal(1)},
    REJECTED: {**ORDER, "reason": "no funds", "rejected_by": "RISK"},
}
AWAY = RegistrySettings(url="http://127.0.0.1:1", timeout_ms=500)


@pytest.fixture
def topic() -> str:
    """Its subjects are nobody else's."""
    return f"evolution.{new_id()}"


@pytest.fixture
def ids(contract: Contract, settings: Settings, tmp_path: Path) -> RegistryIds:
    """Of a service with an archive of its own."""
    return RegistryIds(settings.registry.model_copy(update={"archive_folder": tmp_path / "archive"}))


def test_later_versions_follow_the_first_at_the_registrys_own_rule(ids: RegistryIds, topic: str) -> None:
    """v1 first, then the rest, as a deployment does it; a breaking version has a subject of its own."""
    for type in EVOLVED:
        registered = [ids.register(version, topic) for version in type.versions]
        assert len(set(registered)) == len(type.versions), type.name
    subjects = {subject_of(topic, version.name) for version in NEW[REJECTED].versions}
    assert {f"{topic}-tradewire.trading.OrderRejected", f"{topic}-tradewire.trading.OrderRejectedV2"} == subjects


def test_a_breaking_version_under_the_old_name_never_gets_in(ids: RegistryIds, topic: str) -> None:
    """The registry's rule holds, which is why a breaking version is named anew."""
    first, second = NEW[REJECTED].versions
    ids.register(first, topic)
    bent = {**second.schema, "name": first.schema["name"]}

    with pytest.raises(ContractError, match="refuses"):
        ids.register(EventSchema(REJECTED, 2, bent, second.file), topic)


def test_records_of_both_versions_are_read_by_services_of_both(
    ids: RegistryIds, topic: str, settings: Settings
) -> None:
    """Each through the registry alone; the codec that reads has never seen the writer."""
    old, new = Codec(OLD, ids), Codec(NEW, ids)
    for name in (CREATED, REJECTED):
        for version in NEW[name].versions:
            ids.register(version, topic)
    by_old = [old.encode(name, DATA[name], topic) for name in (CREATED, REJECTED)]
    by_new = new.encode(CREATED, DATA[CREATED] | {"arrival_price": Decimal("1.5")}, topic)
    plain = RegistryIds(settings.registry.model_copy(update={"archive_folder": None}))
    created, rejected = [Codec(NEW, plain).decode(value) for value in by_old]

    assert (1, None) == (created.version, created.data["arrival_price"])
    assert (1, "RISK_LIMIT", "no funds") == (rejected.version, rejected.data["reason"], rejected.data["text"])
    assert 2 == Codec(OLD, plain).decode(by_new).version


def test_a_version_is_recognised_when_the_registry_has_lost_its_property(
    settings: Settings, contract: Contract, topic: str
) -> None:
    """As registered by a tool that normalises, or by a producer in another language that left the property out."""
    client = SchemaRegistryClient({"url": settings.registry.url})
    plain = RegistryIds(settings.registry.model_copy(update={"archive_folder": None}))
    for version in NEW[CREATED].versions:
        stripped = {key: value for key, value in version.schema.items() if key not in ("tradewire", "doc")}
        name = f"{topic}-{version.version}"
        schema_id = client.register_schema(name, Schema(json.dumps(stripped), "AVRO"), normalize_schemas=True)
        body = Codec(before(NEW, version.version), contract.schema_ids).encode(CREATED, DATA[CREATED], "trading.events")
        decoded = Codec(NEW, plain).decode(FRAME.pack(0, schema_id) + body[5:])
        assert (CREATED, version.version, schema_id) == (decoded.type, decoded.version, decoded.schema_id)


def test_a_record_of_a_newer_service_is_read_by_the_newest_that_is_known_here(ids: RegistryIds, topic: str) -> None:
    """Its id is in the registry: v3 is resolved to v2, and the event says that it was written as v3."""
    type = NEW[CREATED]
    schema = copy.deepcopy(dict(type.latest.schema))
    schema["fields"].append({"name": "basket_id", "type": ["null", "string"], "default": None})
    schema["tradewire"] = schema["tradewire"] | {"version": 3}
    third = EventSchema(CREATED, 3, schema, type.latest.file)
    for version in (*type.versions, third):
        ids.register(version, topic)
    newer = Codec(Catalogue({CREATED: EventType(CREATED, (*type.versions, third))}), ids)
    decoded = Codec(NEW, ids).decode(newer.encode(CREATED, DATA[CREATED] | {"basket_id": "b"}, topic))

    assert (CREATED, 3) == (decoded.type, decoded.version)
    assert set(decoded.data) == type.latest.field_names


def test_the_archive_reads_every_version_when_the_registry_is_away(
    ids: RegistryIds, topic: str, tmp_path: Path
) -> None:
    """What was registered, looked up or read once is kept; without an archive the reader waits, and loses nothing."""
    for version in NEW[REJECTED].versions:
        ids.register(version, topic)
    values = [Codec(OLD, ids).encode(REJECTED, DATA[REJECTED], topic)]
    values.append(Codec(NEW, ids).encode(REJECTED, {**ORDER, "reason": "OTHER"}, topic))
    offline = Codec(NEW, RegistryIds(AWAY, SchemaArchive(tmp_path / "archive")))

    assert [1, 2] == [offline.decode(value).version for value in values]
    for value in values:
        with pytest.raises(RegistryUnavailable) as waits:
            Codec(NEW, RegistryIds(AWAY)).decode(value)
        assert waits.value.retriable


def test_an_id_that_nobody_gave_out_waits_for_a_human(ids: RegistryIds) -> None:
    """The registry answers that it does not know it; the record is intact and must be kept."""
    with pytest.raises(UnknownSchemaId, match="another registry") as unknown:
        Codec(NEW, ids).decode(FRAME.pack(0, 888_888) + b"x")
    assert unknown.value.retriable
