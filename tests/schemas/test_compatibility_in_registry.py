"""Our verdicts beside those of a real registry, at every level, over a matrix of changes."""

from __future__ import annotations

import itertools
import json
from typing import Any, NamedTuple

import pytest
from tests.schemas.compatibility_tables import enum, field, fixed, record

from tradewire.core.settings import RegistrySettings
from tradewire.schemas import CompatibilityLevel, check_compatibility
from tradewire.schemas.registry_admin import RegistryAdmin, RegistryRefused

PRICE = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 18}
BASE = [field("id", "string"), field("count", "int"), field("note", "string", default="")]
NUMBER = itertools.count(1)
WAYS = (CompatibilityLevel.BACKWARD, CompatibilityLevel.FORWARD)


class Change(NamedTuple):
    """A change of a schema, and whether the newer reads data of the older and the other way round."""

    name: str
    before: Any
    after: Any
    new_reads_old: bool
    old_reads_new: bool


def base(*fields: Any, **more: Any) -> dict[str, Any]:
    return record("Changed", *BASE, *fields, **more)


def one(kind: Any, **more: Any) -> dict[str, Any]:
    return record("Changed", field("id", "string"), field("value", kind, **more))


CHANGES = [
    Change("nothing", base(), base(), True, True),
    Change("add a field with a default", base(), base(field("new", "int", default=0)), True, True),
    Change("add a field without a default", base(), base(field("new", "int")), False, True),
    Change("add an optional field", base(), base(field("new", ["null", "int"], default=None)), True, True),
    Change("remove a field with a default", base(), record("Changed", *BASE[:2]), True, True),
    Change("remove a field without a default", base(), record("Changed", *BASE[1:]), True, False),
    Change("rename a field", one("int"), record("Changed", BASE[0], field("amount", "int")), False, False),
    Change(
        "rename a field with an alias",
        one("int"),
        record("Changed", BASE[0], field("amount", "int", aliases=["value"])),
        True,
        False,
    ),
    Change("int to long", one("int"), one("long"), True, False),
    Change("long to int", one("long"), one("int"), False, True),
    Change("long to double", one("long"), one("double"), True, False),
    Change("float to double", one("float"), one("double"), True, False),
    Change("string to bytes", one("string"), one("bytes"), True, True),
    Change("int to string", one("int"), one("string"), False, False),
    Change("add a symbol", one(enum("E", "AB")), one(enum("E", "ABC")), True, False),
    Change(
        "add a symbol beside a default",
        one(enum("E", "AB", default="A")),
        one(enum("E", "ABC", default="A")),
        True,
        True,
    ),
    Change("remove a symbol", one(enum("E", "ABC")), one(enum("E", "AB")), False, True),
    Change("rename an enum", one(enum("E", "AB")), one(enum("F", "AB")), False, False),
    Change("make optional", one("int"), one(["null", "int"]), True, False),
    Change("make required", one(["null", "int"]), one("int"), False, True),
    Change("add a branch", one(["null", "int"]), one(["null", "int", "string"]), True, False),
    Change("remove a branch", one(["null", "int", "string"]), one(["null", "int"]), False, True),
    Change("swap branches", one(["null", "int"]), one(["int", "null"]), True, True),
    Change("change a doc", base(doc="old"), base(doc="new"), True, True),
    Change("change the order of fields", base(), record("Changed", *BASE[::-1]), True, True),
    Change("change a default", one("int", default=1), one("int", default=2), True, True),
    Change("drop a default", one("int", default=1), one("int"), True, True),
    Change("change the namespace", base(namespace="a"), base(namespace="b"), True, True),
    Change("rename the record", base(), base() | {"name": "Other"}, False, False),
    Change("rename the record with an alias", base(), base(aliases=["Changed"]) | {"name": "Other"}, True, False),
    Change("change the size of a fixed", one(fixed("F", 4)), one(fixed("F", 8)), False, False),
    Change("change a decimal's scale", one(PRICE), one(PRICE | {"scale": 8}), True, True),
    Change("drop a logical type", one(PRICE), one("bytes"), True, True),
    Change(
        "change a field of a nested record",
        one(record("Inner", field("x", "int"))),
        one(record("Inner", field("x", "int"), field("y", "int"))),
        False,
        True,
    ),
    Change(
        "change a field of a recursive record",
        one(record("Inner", field("x", "int"), field("next", ["null", "Inner"]))),
        one(record("Inner", field("x", "long"), field("next", ["null", "Inner"]))),
        True,
        False,
    ),
]


def allowed(change: Change, level: CompatibilityLevel) -> bool:
    readable = {"BACKWARD": change.new_reads_old, "FORWARD": change.old_reads_new}
    return all(readable[direction] for direction in level.directions)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_our_verdict_is_the_expected_one_at_every_level(change: Change) -> None:
    """By Avro's rules alone: the house's own are not a registry's."""
    for level in CompatibilityLevel:
        found = check_compatibility(change.after, [change.before], level)
        assert allowed(change, level) == (not found), level


@pytest.fixture(scope="module")
def admin(registry_settings: RegistrySettings) -> RegistryAdmin:
    return RegistryAdmin(registry_settings)


def accepts(admin: RegistryAdmin, level: CompatibilityLevel, new: Any, *history: Any) -> bool:
    """Whether the registry takes ``new`` after ``history`` at a level; by registering it, which is what counts."""
    subject = f"compatibility.matrix-{next(NUMBER)}"
    for at, schema in enumerate(history):
        # No registry lets a history be written past its rules: each step goes in the direction that it allows.
        step = next(way for way in WAYS if not check_compatibility(schema, history[:at], way))
        if at:
            admin.set_level(step, subject)
        admin.register(subject, json.dumps(schema))
    admin.set_level(level, subject)
    assert level == admin.level_of(subject)
    return registers(admin, subject, new)


def registers(admin: RegistryAdmin, subject: str, schema: Any) -> bool:
    try:
        admin.register(subject, json.dumps(schema))
    except RegistryRefused as refused:
        assert 409 == refused.context["status"], refused
        return False
    return True


@pytest.mark.parametrize("level", [*WAYS, CompatibilityLevel.FULL])
def test_the_registry_decides_as_we_do(admin: RegistryAdmin, level: CompatibilityLevel) -> None:
    """Each change is registered for real after its predecessor. No difference was found between Apicurio and Avro."""
    ours = {change.name: not check_compatibility(change.after, [change.before], level) for change in CHANGES}

    assert ours == {change.name: accepts(admin, level, change.after, change.before) for change in CHANGES}


@pytest.mark.parametrize("level", [level for level in CompatibilityLevel if level != "NONE"])
def test_the_registry_counts_the_same_versions(admin: RegistryAdmin, level: CompatibilityLevel) -> None:
    """A default that comes and goes: only TRANSITIVE looks beyond the last version."""
    none, default = record("T", BASE[0]), record("T", BASE[0], field("x", "int", default=1))
    needed = record("T", BASE[0], field("x", "int"))

    for new, *history in ([needed, none, default], [none, needed, default], [default, none, needed]):
        assert accepts(admin, level, new, *history) == (not check_compatibility(new, history, level)), (new, history)


def test_none_on_a_subject_is_a_level_in_confluents_registry_and_no_level_in_apicurio(admin: RegistryAdmin) -> None:
    """Apicurio takes NONE for "as the registry's own": an incompatible version is still refused there.

    ``level_of`` tells the two apart, so that ``schemas check`` does not promise what the registry will not do.
    """
    subject = f"compatibility.matrix-{next(NUMBER)}"
    admin.register(subject, json.dumps(one("int")))
    admin.set_level(CompatibilityLevel.NONE, subject)

    expected = CompatibilityLevel.NONE in (admin.level_of(subject), admin.level())
    assert expected == registers(admin, subject, one("string"))
