"""Compatibility of schemas: Avro's own cases, registries' matrix, the house's rules, and what is said to a person."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.schemas.compatibility_tables import COMPATIBLE, INCOMPATIBLE, MATRIX, enum, field, record
from tests.schemas.generated import DataMaker, SchemaMaker, evolve, fastavro_bytes

from tradewire.core import ContractError
from tradewire.schemas import Catalogue, CompatibilityLevel, can_read, check_compatibility
from tradewire.schemas._compiled_decoder import Decoder
from tradewire.schemas.catalogue_check import check_history
from tradewire.schemas.compatibility import Direction, Rule, Severity

_FILE = Path(__file__).with_name("compatibility_java.jsonl")
JAVA = [json.loads(line) for line in _FILE.read_text().splitlines()]
PRICE = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 18}


@pytest.mark.parametrize(("reader", "writer"), COMPATIBLE)
def test_avros_compatible_pairs_are_compatible(reader: Any, writer: Any) -> None:
    """The table of Avro's own tests."""
    assert [] == can_read(json.dumps(reader), json.dumps(writer))


@pytest.mark.parametrize(("reader", "writer", "rule", "detail", "location"), INCOMPATIBLE)
def test_avros_incompatible_pairs_break_the_same_rule_at_the_same_place(
    reader: Any, writer: Any, rule: str, detail: str, location: str
) -> None:
    """One finding each, with Avro's rule, message and JSON pointer."""
    found = can_read(reader, writer)

    assert [(rule, detail, location)] == [(item.rule, item.detail, item.location) for item in found]
    assert all(item.message and item.fix for item in found)


@pytest.mark.parametrize("case", JAVA, ids=range(len(JAVA)))
def test_generated_pairs_are_judged_as_avros_java_implementation_judged_them(case: dict[str, Any]) -> None:
    """``compatibility_java.jsonl``: generated pairs with the answer of Avro 1.12.1: rules, places and messages."""
    found = can_read(case["reader"], case["writer"])

    if case["found"] == "ambiguous":
        assert [Rule.AMBIGUOUS_ALIAS] == [item.rule for item in found]
    else:
        assert case["found"] == [[item.rule.value, item.location, item.detail] for item in found]


def test_several_findings_come_in_the_order_of_the_fields() -> None:
    """All of them, so that one round of corrections is enough."""
    old = record("R", field("a", "int"), field("e", enum("E", "AB")), field("u", ["int", "string"]))
    new = record("S", field("a", "boolean"), field("e", enum("E", "A")), field("u", ["int"]), field("n", "int"))

    assert [
        (Rule.NAME_MISMATCH, "/name"),
        (Rule.TYPE_MISMATCH, "/fields/a/type"),
        (Rule.MISSING_ENUM_SYMBOLS, "/fields/e/type/symbols"),
        (Rule.MISSING_UNION_BRANCH, "/fields/u/type/string"),
        (Rule.READER_FIELD_MISSING_DEFAULT_VALUE, "/fields/n"),
    ] == [(item.rule, item.path) for item in can_read(new, old)]


@pytest.mark.parametrize(("level", "new", "history", "allowed"), MATRIX)
def test_the_levels_are_those_of_a_registry(level: str, new: Any, history: list[Any], allowed: bool) -> None:
    """The last version or all of them, one direction or both."""
    assert allowed == (check_compatibility(new, history, level) == [])


def test_an_unknown_level_is_refused() -> None:
    """It is never taken for NONE."""
    with pytest.raises(ValueError, match="SIDEWAYS"):
        check_compatibility("int", ["int"], "SIDEWAYS")


def test_the_first_version_is_free_at_every_level() -> None:
    """There is nothing that it could break."""
    assert [] == [finding for level in CompatibilityLevel for finding in check_compatibility("int", [], level)]


def test_a_finding_names_the_version_the_direction_and_the_field() -> None:
    """A person reads which of the older versions is in the way."""
    first = record("R", field("legs", {"type": "array", "items": record("Leg", field("size", "int"))}))
    second = record("R", field("legs", {"type": "array", "items": record("Leg", field("size", "long"))}))
    (finding,) = check_compatibility(second, [first], "FULL", new_name="v2", names=["v1"])

    assert (0, Direction.FORWARD) == (finding.against, finding.direction)
    assert "legs[].size" == finding.incompatibility.field
    assert "/fields/legs/type/items/fields/size/type" == finding.incompatibility.path
    assert "legs[].size is int in v1, which cannot hold the long of v2" == finding.incompatibility.message


def test_the_fix_is_worded_for_the_schema_that_can_still_be_edited() -> None:
    """The older version is released: only the new one changes."""
    old, new = record("R", field("a", "int")), record("R", field("b", "int"))
    backward, forward = check_compatibility(new, [old], "FULL")

    assert backward.incompatibility.fix.startswith("give the field b a default")
    assert forward.incompatibility.fix.startswith("put the field a back")


def test_a_renamed_field_is_told_the_alias_it_lacks() -> None:
    """The nearest name that is gone."""
    (found,) = can_read(record("R", field("unit_price", "int")), record("R", field("price", "int")))

    assert 'add "aliases": ["price"]' in found.fix


def test_a_union_says_why_the_branch_that_was_meant_does_not_fit() -> None:
    """ "Lacking RECORD" alone sends a person to search in a record that is there."""
    old = record("R", field("leg", ["null", record("Leg", field("size", "int"))]))
    new = record("R", field("leg", ["null", record("Leg", field("size", "string"))]))
    (found,) = can_read(new, old)

    assert Rule.MISSING_UNION_BRANCH == found.rule
    assert [(Rule.TYPE_MISMATCH, "leg.size")] == [(cause.rule, cause.field) for cause in found.causes]
    assert "leg.size is string" in found.message and "keep int" in found.fix


def test_a_new_enum_field_needs_a_default_of_its_own() -> None:
    """The default of the enum stands for unknown symbols; Java says "type mismatch" here, and so do we."""
    (found,) = can_read(record("R", field("side", enum("Side", "AB", default="A"))), record("R"))

    assert (Rule.TYPE_MISMATCH, "/fields/0/type") == (found.rule, found.location)
    assert "itself a default" in found.fix


def test_an_alias_beside_the_field_it_names_is_ambiguous() -> None:
    """Java raises an exception, which registries answer as "incompatible"."""
    (found,) = can_read(
        record("R", field("a", "int", aliases=["b"])), record("R", field("a", "int"), field("b", "int"))
    )

    assert Rule.AMBIGUOUS_ALIAS == found.rule


def test_a_recursive_schema_is_compared_once_around() -> None:
    """Neither an endless loop nor a finding that only the first round would show."""
    old = record("Node", field("value", "int"), field("next", ["null", "Node"]))
    new = record("Node", field("value", "string"), field("next", ["null", "Node"]))

    assert [] == can_read(old, old)
    assert Rule.TYPE_MISMATCH == can_read(new, old)[0].rule


@pytest.mark.parametrize(
    "schema",
    [
        '{"type": "recor',
        "nonsense",
        '{"type": "array"}',
        '{"type": "record", "name": "R", "fields": [{"name": "a"}]}',
        '{"type": "fixed", "name": "F"}',
        '{"type": "array", "items": "Missing"}',
        "[" * 100_000,
        "7",
    ],
    ids=range(8),
)
def test_what_is_no_schema_is_a_typed_error(schema: str) -> None:
    """Also when it is nested ten thousand deep."""
    with pytest.raises(ContractError):
        can_read(schema, "int")


def test_a_bad_default_in_history_is_still_compared() -> None:
    """Registries hold schemas of times when defaults were not checked."""
    assert [] == can_read(record("R", field("a", ["null", "string"], default="null")), record("R"))


@pytest.mark.parametrize(
    ("new", "says"),
    [(PRICE | {"scale": 8}, "another value"), (PRICE | {"precision": 20}, "another value"), ("bytes", "another value")],
)
def test_another_scale_is_refused_by_the_house_and_not_by_avro(new: Any, says: str) -> None:
    """The same bytes would be another price: 1.5 with scale 18 is 15000000000 with scale 8."""
    one, other = record("R", field("price", PRICE)), record("R", field("price", new))

    assert [] == can_read(other, one)
    (found,) = can_read(other, one, strict=True)
    assert (Rule.LOGICAL_TYPE_MISMATCH, Severity.ERROR, "price") == (found.rule, found.severity, found.field)
    assert says in found.message and "keep decimal(38, 18)" in found.fix


def test_a_wider_precision_is_free_for_readers_and_not_for_older_ones() -> None:
    """Older readers refuse a decimal beyond their precision."""
    old, new = record("R", field("p", PRICE | {"precision": 20})), record("R", field("p", PRICE))

    assert [] == check_compatibility(new, [old], "BACKWARD", strict=True)
    assert [Rule.LOGICAL_TYPE_MISMATCH] == [
        finding.incompatibility.rule for finding in check_compatibility(new, [old], "FORWARD", strict=True)
    ]


@pytest.mark.parametrize(
    "wrap", [lambda kind: kind, lambda kind: ["null", kind], lambda kind: {"type": "map", "values": kind}]
)
def test_the_house_looks_into_unions_and_collections(wrap: Any) -> None:
    """Most of our decimals are optional ones."""
    old, new = record("R", field("p", wrap(PRICE))), record("R", field("p", wrap(PRICE | {"scale": 2})))

    assert [Rule.LOGICAL_TYPE_MISMATCH] == [item.rule for item in can_read(new, old, strict=True)]


def test_a_time_that_becomes_a_double_is_a_warning() -> None:
    """Nanoseconds beyond 2^53 lose their last digits; Avro allows it."""
    (found,) = can_read(record("R", field("t_ns", "double")), record("R", field("t_ns", "long")), strict=True)

    assert (Rule.LOSSY_PROMOTION, Severity.WARNING) == (found.rule, found.severity)


def test_bytes_that_become_text_are_a_warning() -> None:
    """Avro allows it; what is not UTF-8 then ends in the dead letters."""
    (found,) = can_read("string", "bytes", strict=True)

    assert (Rule.BYTES_AS_TEXT, Severity.WARNING) == (found.rule, found.severity)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32))
def test_what_is_said_to_be_readable_is_read(seed: int) -> None:
    """Our decoder is the witness: compatible means that any datum of the writer is read."""
    pick = random.Random(seed)
    writer = SchemaMaker(seed).record()
    reader = evolve(writer, pick)
    if can_read(reader, writer, strict=True):
        return
    made = DataMaker(writer, seed)
    data = made.make()
    octets = fastavro_bytes(made.parsed, data)

    Decoder(writer, reader, title="generated").read(octets, 0)


@pytest.mark.parametrize("level", list(CompatibilityLevel))
def test_the_built_in_catalogue_may_follow_itself_at_every_level(level: CompatibilityLevel) -> None:
    """Each version against those before it, by Avro's rules and the house's."""
    assert [] == [
        finding
        for type in Catalogue.load().values()
        for finding in check_history(type.versions, level)
        if finding.severity is Severity.ERROR
    ]
