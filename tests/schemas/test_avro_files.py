"""The Avro files are the contract: what they must hold is read from the files alone, without their loader."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2] / "schemas" / "tradewire" / "schemas" / "avro"
FILES = sorted(ROOT.glob("*/*/v*.avsc"))

# FEATURES section 9, written out: a type that leaves the catalogue must leave this list first.
EVENT_TYPES_BY_DOMAIN = {
    "market": (
        "trade.reported",
        "candle.closed",
        "quote.updated",
        "depth.updated",
        "alert.triggered",
        "regime.changed",
    ),
    "trading": (
        "order.created",
        "order.accepted",
        "order.rejected",
        "order.filled",
        "order.amended",
        "order.cancelled",
        "position.opened",
        "position.changed",
        "position.closed",
        "portfolio.updated",
        "decision.made",
    ),
    "strategy": (
        "signal.generated",
        "run.started",
        "run.stopped",
        "parameter.updated",
        "analysis.completed",
        "plan.formulated",
        "performance.updated",
    ),
    "risk": ("alert.raised", "limit.changed"),
    "model": ("training.completed", "policy.updated", "action.taken", "features.updated"),
    "reference": ("alternative.updated", "sentiment.updated", "onchain.updated", "economic.updated"),
    "backtest": ("run.requested", "run.completed", "sweep.requested", "optimization.requested"),
    "setup": (
        "message.received",
        "message.stored",
        "message.processed",
        "channel.scanned",
        "bot.connected",
        "parse.completed",
        "parse.failed",
        "plan.created",
    ),
    "system": (
        "error.raised",
        "warning.raised",
        "notice.posted",
        "component.started",
        "component.stopped",
        "health.reported",
        "configuration.changed",
        "snapshot.created",
        "cleanup.completed",
        "cleanup.failed",
        "replay.completed",
        "dead_letter.edited",
        "dead_letter.discarded",
        "redrive.requested",
    ),
    "flow": ("run.completed", "run.failed", "run.stalled", "run.repaired"),
}
EVENT_TYPES = [f"{domain}.{fact}" for domain, facts in EVENT_TYPES_BY_DOMAIN.items() for fact in facts]
DERIVED_TOPICS = {
    "flows.step.recorded": "flows.steps",
    "flows.steps.recorded": "flows.steps",
    "flows.state.changed": "flows.state",
    "flows.timer.changed": "flows.timers",
    "readmodel.last_price.changed": "readmodel.last_price.v1",
    "readmodel.candle.changed": "readmodel.candle.v1",
    "readmodel.order.changed": "readmodel.order.v1",
    "readmodel.position.changed": "readmodel.position.v1",
    "patterns.keyed.changed": "patterns.state",
    "patterns.market.changed": "patterns.market",
}
# A typed table holds the envelope and the payload side by side; only the flows describe envelopes as their payload.
ENVELOPE_NAMES = {
    *("id", "type", "source", "subject", "time_ns", "correlation_id", "causation_id", "sequence", "tags"),
    *("topic", "partition", "offset", "recorded_ns", "stored_ns", "schema_id", "event_id", "event_type", "data"),
}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 18}
PRIMITIVES = {"null", "boolean", "int", "long", "string", "bytes"}


def load(path: Path) -> dict[str, Any]:
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(schema, dict)
    return schema


def nodes(schema: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every type in a schema, unions and named references too, with the path of fields that leads there."""
    yield where, schema
    if isinstance(schema, list):
        for branch in schema:
            yield from nodes(branch, where)
    elif isinstance(schema, dict):
        for field in schema.get("fields", []):
            yield from nodes(field["type"], f"{where}.{field['name']}")
        for inner in ("items", "values"):
            if inner in schema:
                yield from nodes(schema[inner], f"{where}[]")


def records(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((where, node) for where, node in nodes(schema) if isinstance(node, dict) and node["type"] == "record")


def fields(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((f"{where}.{field['name']}", field) for where, record in records(schema) for field in record["fields"])


def definitions(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Full name and definition of every named type: inner ones take the namespace of the record around them."""
    for _, node in nodes(schema):
        if isinstance(node, dict) and node["type"] in ("record", "enum"):
            yield f"{node.get('namespace', schema['namespace'])}.{node['name']}", node


def canonical(schema: Any, namespace: str, known: dict[str, Any]) -> Any:
    """The schema with every reference replaced by what it refers to, so that definitions compare as written out."""
    if isinstance(schema, str):
        return canonical(known[f"{namespace}.{schema}"], namespace, known) if schema not in PRIMITIVES else schema
    if isinstance(schema, list):
        return [canonical(branch, namespace, known) for branch in schema]
    out = dict(schema)
    for key in ("items", "values"):
        if key in out:
            out[key] = canonical(out[key], namespace, known)
    if "fields" in out:
        out["fields"] = [{**f, "type": canonical(f["type"], namespace, known)} for f in out["fields"]]
    return out


def resolved(path: Path) -> dict[str, Any]:
    schema = load(path)
    out = canonical(schema, schema["namespace"], dict(definitions(schema)))
    assert isinstance(out, dict)
    return out


def name_of(path: Path) -> str:
    return f"{path.parent.parent.name}.{path.parent.name}"


each_file = pytest.mark.parametrize("path", FILES, ids=[f"{name_of(path)}-{path.stem}" for path in FILES])


def test_every_event_type_of_the_feature_list_has_a_first_version() -> None:
    """Nothing of the feature list is missing, and nothing is there that neither it nor the derived list names."""
    assert len(EVENT_TYPES) == len(set(EVENT_TYPES)) == 64
    assert {name_of(path) for path in FILES if path.stem == "v1"} == {*EVENT_TYPES, *DERIVED_TOPICS}


@each_file
def test_the_file_is_avro_by_the_reference_parser(path: Path) -> None:
    fastavro.parse_schema(load(path))


@each_file
def test_the_folder_tells_type_version_and_record_name(path: Path) -> None:
    """Path, `tradewire` property, namespace and CamelCase name say the same, so none of them can drift alone."""
    schema, event_type = load(path), name_of(path)
    domain, _, rest = event_type.partition(".")
    assert schema["tradewire"]["type"] == event_type
    assert f"v{schema['tradewire']['version']}" == path.stem
    assert schema["namespace"] == f"tradewire.{domain}"
    name = "".join(part.capitalize() for part in rest.replace("_", ".").split("."))
    # A breaking version has a record name, and so a registry subject, of its own.
    assert schema["name"] in (name, f"{name}V{schema['tradewire']['version']}")
    assert schema["tradewire"].get("topic") == DERIVED_TOPICS.get(event_type)


@each_file
def test_every_record_enum_and_field_says_what_it_means(path: Path) -> None:
    schema = load(path)
    silent = [name for name, node in definitions(schema) if not node.get("doc", "").endswith(".")]
    silent += [where for where, field in fields(schema) if not field.get("doc", "").endswith(".")]
    assert silent == []
    assert "Published by" in schema["doc"]


@each_file
def test_numbers_are_whole_or_decimal_and_never_floating(path: Path) -> None:
    """A price that went through a float is not the price that the venue said; one decimal form serves every figure."""
    for where, node in nodes(load(path)):
        kind = node["type"] if isinstance(node, dict) else node
        assert kind not in ("float", "double"), where
        if isinstance(node, dict) and "logicalType" in node:
            assert node == DECIMAL, where
        else:
            assert kind not in ("bytes", "fixed"), where


@each_file
def test_times_and_spans_are_longs_with_the_unit_last(path: Path) -> None:
    for where, field in fields(load(path)):
        name, kind = field["name"], field["type"]
        if name.endswith(("_ns", "_ms")):
            assert kind in ("long", ["null", "long"]), where
        assert not name.endswith(("_at", "_time", "_timestamp", "_seconds", "_s", "_us")), (
            f"{where}: no unit in the name"
        )


@each_file
def test_an_enum_begins_with_the_symbol_it_falls_back_to(path: Path) -> None:
    """A reader that does not know a newer symbol reads UNKNOWN, in every language."""
    for name, node in definitions(load(path)):
        if node["type"] == "enum":
            assert node["default"] == node["symbols"][0] == "UNKNOWN", name


@each_file
def test_what_may_be_absent_is_null_or_empty_by_default(path: Path) -> None:
    """Unions are `null or one thing`, null first; lists and maps default to empty, so each may be added or dropped."""
    for where, field in fields(load(path)):
        kind = field["type"]
        if isinstance(kind, list):
            assert kind[0] == "null" and len(kind) == 2 and field["default"] is None, where
        elif isinstance(kind, dict) and kind["type"] in ("array", "map"):
            assert field["default"] == ([] if kind["type"] == "array" else {}), where
        elif kind == DECIMAL:
            # Libraries disagree on what a default of decimal bytes reads as.
            assert "default" not in field, where


@each_file
def test_the_aggregate_names_fields_that_always_have_a_value(path: Path) -> None:
    """The key is made of these fields, joined by ':': a missing one would send the event to another partition."""
    schema = load(path)
    kinds = {field["name"]: field["type"] for field in schema["fields"]}
    parts = schema["tradewire"]["aggregate"].split(":")
    assert [part for part in parts if kinds.get(part) not in ("string", "long")] == []


@each_file
def test_payload_fields_keep_clear_of_the_envelope(path: Path) -> None:
    schema = load(path)
    if schema["namespace"] != "tradewire.flows":
        assert ENVELOPE_NAMES & {field["name"] for field in schema["fields"]} == set()


@each_file
def test_predecessors_are_named_by_their_letter(path: Path) -> None:
    names = load(path)["tradewire"]["predecessors"]
    assert all(name.split(" ")[0] in {"P", "E", "M", "R", "D"} and len(name.split(" ")) > 1 for name in names)


def test_a_full_name_means_one_thing_in_the_whole_catalogue() -> None:
    """Several files define `tradewire.trading.Side`; a registry or code generator may meet any of them first."""
    seen: dict[str, Any] = {}
    for path in FILES:
        schema = load(path)
        known = dict(definitions(schema))
        for name, node in known.items():
            written_out = canonical(node, schema["namespace"], known)
            # A later version may add a symbol; files of one version may not differ.
            first = seen.setdefault(f"{name} {path.stem}", written_out)
            assert first == written_out, f"{path}: {name} differs from another file's"


def test_no_two_event_types_share_a_record_name() -> None:
    names = {path: f"{load(path)['namespace']}.{load(path)['name']}" for path in FILES if path.stem == "v1"}
    assert len(set(names.values())) == len(names)


BOUND = 10**38 - 1
PRIMITIVE_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "string": st.text(max_size=8),
}


def values(schema: Any) -> st.SearchStrategy[Any]:
    """Any value that a resolved schema allows, the extremes of every number included."""
    if isinstance(schema, str):
        return PRIMITIVE_VALUES[schema]
    if isinstance(schema, list):
        return st.one_of([values(branch) for branch in schema])
    if schema == DECIMAL:
        return st.one_of(st.integers(-BOUND, BOUND), st.sampled_from([0, -BOUND, BOUND, 1, -1])).map(
            lambda unscaled: Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -18))
        )
    match schema["type"]:
        case "enum":
            return st.sampled_from(schema["symbols"])
        case "array":
            return st.lists(values(schema["items"]), max_size=2)
        case "map":
            return st.dictionaries(st.text(max_size=4), values(schema["values"]), max_size=2)
        case "record":
            return st.fixed_dictionaries({field["name"]: values(field["type"]) for field in schema["fields"]})
    raise AssertionError(f"no value is known for {schema}")


@each_file
def test_every_allowed_value_comes_back_as_it_was_written(path: Path) -> None:
    """Decimals of 38 digits, nulls, every enum symbol and any text survive a round trip, for every event type."""
    parsed = fastavro.parse_schema(load(path))
    strategy = values(resolved(path))

    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def comes_back(event: dict[str, Any]) -> None:
        wire = io.BytesIO()
        fastavro.schemaless_writer(wire, parsed, event, strict=True)
        wire.seek(0)
        assert fastavro.schemaless_reader(wire, parsed, None) == event
        assert wire.read() == b""

    comes_back()


@each_file
def test_required_fields_alone_make_an_event(path: Path) -> None:
    """Every default in the file is one that the writer can write: leaving it out and naming it give the same bytes."""
    schema = resolved(path)
    parsed = fastavro.parse_schema(load(path))
    plain = {"boolean": False, "int": 0, "long": 0, "string": "x"}
    required = {
        field["name"]: Decimal(1) if field["type"] == DECIMAL else plain[field["type"]]
        for field in schema["fields"]
        if "default" not in field
    }
    defaults = {field["name"]: field["default"] for field in schema["fields"] if "default" in field}
    short, full = io.BytesIO(), io.BytesIO()
    fastavro.schemaless_writer(short, parsed, required)
    fastavro.schemaless_writer(full, parsed, {**defaults, **required}, strict=True)
    assert short.getvalue() == full.getvalue()


def test_the_two_hot_types_stay_small() -> None:
    """A spot trade fits in 96 bytes and a quote in 112: an event type that grows here slows the whole platform."""
    price, ns = Decimal("61837.63000000"), 1_723_161_255_342_000_000
    same = {"venue": "binance.spot", "symbol": "BTCUSDT", "received_time_ns": ns}
    trade = {"trade_id": "3735683259", "price": price, "quantity": Decimal("0.02"), "trade_time_ns": ns}
    bid = {"bid_price": price, "bid_quantity": Decimal("3.78826")}
    ask = {"ask_price": price, "ask_quantity": Decimal("1.54698")}
    quote = {**bid, **ask, "update_id": 50093239212, "quote_time_ns": ns}
    for event_type, event, limit in (
        ("trade.reported", {**same, **trade}, 96),
        ("quote.updated", {**same, **quote}, 112),
    ):
        wire = io.BytesIO()
        parsed = fastavro.parse_schema(load(ROOT / "market" / event_type / "v1.avsc"))
        fastavro.schemaless_writer(wire, parsed, event)
        assert len(wire.getvalue()) <= limit
