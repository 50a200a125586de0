"""Records of every version read as the newest; what cannot be read says why."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.schemas.test_avro_files import resolved, values
from tests.schemas.versions import before, chain, record

from tradewire.core import MalformedRecord, UnknownSchemaId
from tradewire.core.errors import RegistryUnavailable
from tradewire.schemas import Catalogue, Codec, Event, FixedIds, NewerVersion, UpcastFailed, encode_headers, read_event
from tradewire.schemas.catalogue import EventSchema, EventType
from tradewire.schemas.codec import FRAME
from tradewire.schemas.reading import encoder_factory
from tradewire.schemas.upcasters import BUILT_IN

CATALOGUE = Catalogue.load()
OLD = before(CATALOGUE)
EVOLVED = [type for type in CATALOGUE.values() if len(type.versions) > 1]
ORDER = {"order_id": "o", "account": "a", "symbol": "BTCUSDT", "venue": "v"}
REJECTED_V1 = {**ORDER, "reason": "margin", "code": "-2010", "rejected_by": "RISK", "venue_time_ns": 7}
QUOTE = "desk.quote.given"


class Ids(FixedIds):
    """Ids by text alone, so that a schema which no catalogue has can be given one."""

    def __init__(self) -> None:
        super().__init__()
        self._given: dict[int, Any] = {}

    def give(self, schema: Any) -> int:
        self._given[1000 + len(self._given)] = schema
        return 999 + len(self._given)

    def schema_of(self, schema_id: int) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._given[schema_id] if schema_id in self._given else super().schema_of(schema_id)
        return found


def framed(schema: Mapping[str, Any], data: Mapping[str, Any], schema_id: int) -> bytes:
    return encoder_factory(json.dumps(schema), "written").encoder(FRAME.pack(0, schema_id))(data)


def test_the_catalogue_has_a_compatible_a_widened_and_a_breaking_version() -> None:
    """One optional field, one enum symbol, one upcaster, in types that services really publish."""
    assert {"trading.order.created", "risk.alert.raised", "trading.order.rejected"} <= {type.name for type in EVOLVED}
    assert [2] == [version.version for version in CATALOGUE["trading.order.rejected"].versions if version.is_breaking]
    breaking = {(v.type, v.version) for type in CATALOGUE.values() for v in type.versions if v.is_breaking}
    assert breaking == set(BUILT_IN)


OLDER = [version for type in EVOLVED for version in type.versions[:-1]]


@pytest.mark.parametrize("version", OLDER, ids=lambda version: f"{version.type}-v{version.version}")
def test_every_value_of_an_older_version_is_a_value_of_the_newest(version: EventSchema) -> None:
    """Whatever was ever written can be read, and written again by a service of today."""
    ids = FixedIds()
    name, type = version.type, CATALOGUE[version.type]
    codec, writer = Codec(CATALOGUE, ids), Codec(before(CATALOGUE, version.version), ids)

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(values(resolved(version.file)))
    def reads(data: dict[str, Any]) -> None:
        decoded = codec.decode(writer.encode(name, data, "t"))
        assert (name, version.version) == (decoded.type, decoded.version)
        again = codec.decode(codec.encode(name, decoded.data, "t"))
        assert (decoded.data, type.latest.version) == (again.data, again.version)

    reads()


def test_an_older_record_gets_the_new_fields_default() -> None:
    """What v1 did not know is null in data of v2."""
    ids = FixedIds()
    old = {**ORDER, "quantity": Decimal(2), "side": "BUY"}
    decoded = Codec(CATALOGUE, ids).decode(Codec(OLD, ids).encode("trading.order.created", old, "t"))

    assert (None, Decimal(2), 1) == (decoded.data["arrival_price"], decoded.data["quantity"], decoded.version)


def test_a_breaking_step_goes_through_the_upcaster() -> None:
    """The free text of v1 is the text of v2, and only what v1 says for certain becomes a kind."""
    ids = FixedIds()
    reader, writer = Codec(CATALOGUE, ids), Codec(OLD, ids)
    by_risk = reader.decode(writer.encode("trading.order.rejected", REJECTED_V1, "t"))
    by_venue = reader.decode(writer.encode("trading.order.rejected", REJECTED_V1 | {"rejected_by": "VENUE"}, "t"))

    assert {**REJECTED_V1, "reason": "RISK_LIMIT", "text": "margin"} == by_risk.data
    assert ("UNKNOWN", "margin", 1) == (by_venue.data["reason"], by_venue.data["text"], by_venue.version)


def test_an_older_service_reads_a_newer_compatible_record() -> None:
    """Producers may be upgraded first: a field is left out, a symbol becomes the default, the version tells."""
    ids = FixedIds()
    new, old = Codec(CATALOGUE, ids), Codec(OLD, ids)
    created = {**ORDER, "quantity": Decimal(2), "arrival_price": Decimal("1.5")}
    alert = {"alert_id": "a", "rule": "r", "message": "m", "action": "ORDERS_CANCELLED"}
    order = old.decode(new.encode("trading.order.created", created, "t"))
    raised = old.decode(new.encode("risk.alert.raised", alert, "t"))

    assert (True, 2) == ("arrival_price" not in order.data, order.version)
    assert ("UNKNOWN", 2) == (raised.data["action"], raised.version)


def test_an_older_service_says_that_it_must_be_upgraded_for_a_breaking_record() -> None:
    """The record is intact: the error is a dead letter's, and names the versions on both sides."""
    ids = FixedIds()
    value = Codec(CATALOGUE, ids).encode("trading.order.rejected", {**ORDER, "reason": "OTHER"}, "t")

    with pytest.raises(
        NewerVersion, match=r"trading\.order\.rejected: this reader knows v1, the record is v2: upgrade"
    ):
        Codec(OLD, ids).decode(value)


def test_a_later_version_that_cannot_be_resolved_says_that_the_reader_must_be_upgraded() -> None:
    """A field that we need is gone: nothing is guessed."""
    ids = Ids()
    schema = copy.deepcopy(dict(CATALOGUE["trading.order.created"].latest.schema))
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "quantity"]
    schema["tradewire"]["version"] = 3

    with pytest.raises(NewerVersion, match=r"knows v1\.\.v2, the record is v3: upgrade the reader.*quantity"):
        Codec(CATALOGUE, ids).decode(framed(schema, ORDER, ids.give(schema)))


def test_a_later_record_whose_schema_lost_its_property_is_told_by_the_header() -> None:
    """A registry may drop ``tradewire``; then the type in the envelope says that a version is missing here."""
    ids = Ids()
    schema = record("OrderRejectedV9") | {"namespace": "tradewire.trading"}
    envelope = Event(
        id="1", type="trading.order.rejected", data={}, source="s", subject="o", time_ns=1, correlation_id="c"
    )
    where: dict[str, Any] = {"topic": "t", "partition": 0, "offset": 5, "timestamp_ms": 1}
    value = framed(schema, {"quote_id": "q"}, ids.give(schema))

    with pytest.raises(NewerVersion, match=r"t\[0\]@5: trading\.order\.rejected: this reader knows v1\.\.v2"):
        read_event(Codec(CATALOGUE, ids), value=value, headers=encode_headers(envelope), **where)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "strip",
    [
        lambda schema: {key: value for key, value in schema.items() if key not in ("tradewire", "doc")},
        lambda schema: dict(reversed(schema.items())),
        lambda schema: (
            {key: value for key, value in schema.items() if key not in ("tradewire", "namespace")}
            | {"name": f"{schema['namespace']}.{schema['name']}"}
        ),
    ],
    ids=["dropped", "turned round", "full name"],
)
def test_a_version_is_recognised_by_its_meaning(version: int, strip: Any) -> None:
    """Whatever a registry did to the text: without property and docs, in another order, with a full name."""
    ids = Ids()
    for name, data in (
        ("trading.order.created", {**ORDER, "quantity": Decimal(1)}),
        ("risk.alert.raised", {"alert_id": "a", "rule": "r", "message": "m"}),
        ("trading.order.rejected", REJECTED_V1 if version == 1 else {**ORDER, "reason": "OTHER"}),
    ):
        schema = strip(CATALOGUE[name].versions[version - 1].schema)
        decoded = Codec(CATALOGUE, ids).decode(framed(schema, data, ids.give(schema)))
        assert (name, version) == (decoded.type, decoded.version)


def test_decimals_of_another_scale_are_another_schema() -> None:
    """The same bytes, and another price: Avro's own canonical form would not tell them apart."""
    ids = Ids()
    schema = json.loads(CATALOGUE["market.quote.updated"].latest.text.replace('"scale":18', '"scale":8'))

    assert None is CATALOGUE.identify(schema).known
    del schema["tradewire"]
    assert None is Codec(CATALOGUE, ids).catalogue.identify(schema).version


@pytest.mark.parametrize("schema", [None, 7, "string", [], ["null"], {}, {"type": "record"}, {"name": 5}])
def test_what_is_no_schema_is_nobodys(schema: Any) -> None:
    """A registry may hold anything."""
    assert (None, None, None) == (
        CATALOGUE.identify(schema).type,
        CATALOGUE.identify(schema).version,
        CATALOGUE.identify(schema).known,
    )


PRICE_MS = record("QuoteGiven", {"name": "price", "type": "string"}, {"name": "time_ms", "type": "long"})
PRICE_NS = record(
    "QuoteGivenV3",
    {"name": "price", "type": "string"},
    {"name": "time_ns", "type": "long"},
    {"name": "desk", "type": "string", "default": "fx"},
)
NOTE = {"name": "note", "type": "string", "default": "none"}
V1 = PRICE_MS
V2 = {**PRICE_MS, "fields": [*PRICE_MS["fields"], NOTE]}
V3 = PRICE_NS
V4 = {**PRICE_NS, "fields": [*PRICE_NS["fields"], NOTE | {"default": "none at all"}]}
V5 = record("QuoteGivenV5", *V4["fields"], {"name": "cents", "type": "long"})


def to_ns(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"price": f"{data['price']}/{data['note']}", "time_ns": data["time_ms"] * 1_000_000}


def to_cents(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**data, "cents": len(data["price"])}


FIVE = chain(QUOTE, (V1, None), (V2, None), (V3, to_ns), (V4, None), (V5, to_cents))


@pytest.mark.parametrize(
    ("version", "data", "expected"),
    [
        (1, {"price": "9", "time_ms": 5}, ("9/none", 5_000_000, "fx", "none at all", 6)),
        (2, {"price": "9", "time_ms": 5, "note": "x"}, ("9/x", 5_000_000, "fx", "none at all", 3)),
        (3, {"price": "9", "time_ns": 5, "desk": "d"}, ("9", 5, "d", "none at all", 1)),
        (4, {"price": "9", "time_ns": 5, "desk": "d", "note": "y"}, ("9", 5, "d", "y", 1)),
        (5, {"price": "9", "time_ns": 5, "desk": "d", "note": "y", "cents": 8}, ("9", 5, "d", "y", 8)),
    ],
)
def test_upcasters_are_chained_with_resolution_in_between(version: int, data: Any, expected: Any) -> None:
    """v1 is resolved to v2, upcast to v3, resolved to v4, upcast to v5; each later version begins further on."""
    ids = FixedIds()
    value = Codec(Catalogue({QUOTE: EventType(QUOTE, FIVE.versions[:version])}), ids).encode(QUOTE, data, "t")
    decoded = Codec(Catalogue({QUOTE: FIVE}), ids).decode(value)

    assert expected == tuple(decoded.data[name] for name in ("price", "time_ns", "desk", "note", "cents"))
    assert version == decoded.version


def boom(data: Mapping[str, Any]) -> Mapping[str, Any]:
    raise ZeroDivisionError("no price")


@pytest.mark.parametrize(
    ("upcaster", "said"),
    [
        (boom, r"raised ZeroDivisionError\('no price'\)"),
        (lambda data: None, "returned None, which is no mapping"),
        (lambda data: [data], "which is no mapping"),
        (lambda data: {"price": "1"}, "do not fit.*time_ns"),
        (lambda data: {"price": 1.5, "time_ns": 1}, "do not fit.*price"),
        (lambda data: {"price": "1", "time_ns": 1, "extra": 2}, "do not fit.*extra"),
        (lambda data: {"price": "1", "time_ns": 2**70}, "do not fit.*time_ns"),
    ],
)
def test_a_bad_upcaster_is_a_typed_error_of_the_record(upcaster: Any, said: str) -> None:
    """Type, versions and field are named; a worker sends the record to the dead letters and goes on."""
    ids = FixedIds()
    value = Codec(Catalogue({QUOTE: chain(QUOTE, (V1, None))}), ids).encode(QUOTE, {"price": "9", "time_ms": 5}, "t")
    codec = Codec(Catalogue({QUOTE: chain(QUOTE, (V1, None), (V3, upcaster))}), ids)

    with pytest.raises(UpcastFailed, match=rf"desk\.quote\.given: the upcaster from v1 to v2 .*{said}") as failed:
        codec.decode(value)
    assert isinstance(failed.value, MalformedRecord)
    assert not failed.value.retriable
    assert (1, 2) == (failed.value.context["from_version"], failed.value.context["to_version"])


def test_an_upcaster_cannot_change_what_another_reader_sees() -> None:
    """It gets a dict of its own; the next record begins anew."""

    def greedy(data: Any) -> Any:
        data["time_ns"] = data.pop("time_ms")
        return data

    ids = FixedIds()
    value = Codec(Catalogue({QUOTE: chain(QUOTE, (V1, None))}), ids).encode(QUOTE, {"price": "9", "time_ms": 5}, "t")
    codec = Codec(Catalogue({QUOTE: chain(QUOTE, (V1, None), (V3, greedy))}), ids)

    assert [codec.decode(value).data] * 2 == [codec.decode(value).data, codec.decode(value).data]


def test_truncated_bytes_of_an_old_version_are_malformed_and_not_newer() -> None:
    """An upgrade would not help."""
    ids = FixedIds()
    value = Codec(OLD, ids).encode("trading.order.rejected", REJECTED_V1, "t")

    with pytest.raises(MalformedRecord, match="do not fit the schema") as refused:
        Codec(CATALOGUE, ids).decode(value[:-3])
    assert MalformedRecord is type(refused.value)


def test_an_id_that_nobody_knows_and_a_registry_that_is_away_can_be_tried_again() -> None:
    """Neither makes a dead letter of a record by itself; the same codec reads it once the schema is there."""

    class Away(FixedIds):
        error: Exception | None = RegistryUnavailable("away")

        def schema_of(self, schema_id: int) -> Mapping[str, Any]:
            if self.error is not None:
                raise self.error
            return super().schema_of(schema_id)

    ids = Away()
    value = Codec(OLD, ids).encode("trading.order.rejected", REJECTED_V1, "t")
    codec = Codec(CATALOGUE, ids)
    for error in (RegistryUnavailable("away"), UnknownSchemaId("unknown")):
        ids.error = error
        with pytest.raises(type(error)) as waits:
            codec.decode(value)
        assert waits.value.retriable
    ids.error = None
    assert 1 == codec.decode(value).version
