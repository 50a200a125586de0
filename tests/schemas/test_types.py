"""The generated classes of event types: what they promise, and that nobody edits or forgets them."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradewire.core import EventInvalid
from tradewire.core.settings import Settings
from tradewire.schemas import Catalogue, Contract, FixedIds, TypedData
from tradewire.schemas.generate.python_types import python_types
from tradewire.schemas.types import trading
from tradewire.schemas.types.trading import OrderCreated, Side

REPO = Path(__file__).parents[2]
FOLDER = REPO / "schemas" / "tradewire" / "schemas" / "types"
CATALOGUE = Catalogue.load()
BOUND = 10**38 - 1
TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["", "\x00", "漢字🚀", "a" * 9_000]))
LONGS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([-(2**63), 2**63 - 1, 0]))
DECIMALS = st.one_of(st.integers(-BOUND, BOUND), st.sampled_from([-BOUND, BOUND, 0, 1])).map(
    lambda unscaled: Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -18))
)


def class_of(event_type: str) -> Any:
    domain, _, rest = event_type.partition(".")
    module = importlib.import_module(f"tradewire.schemas.types.{domain}")
    return getattr(module, "".join(part.capitalize() for part in rest.replace("_", ".").split(".")))


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of an annotation, the extremes included."""
    if kind is int:
        return LONGS
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return st.sampled_from(list(kind))
    if dataclasses.is_dataclass(kind):
        return objects(kind)
    simple = {str: TEXTS, bool: st.booleans(), Decimal: DECIMALS, type(None): st.none()}
    if kind in simple:
        return simple[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(TEXTS, values(arguments[1]), max_size=2)
    return st.one_of([values(argument) for argument in arguments])


def whole_numbers(schema: Any) -> Iterator[str]:
    """Names of the fields that are an Avro int: Python's annotation does not tell it from a long."""
    if isinstance(schema, dict):
        if schema.get("type") == "int" and "name" in schema:
            yield schema["name"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from whole_numbers(part)


INTS = {name for type in CATALOGUE.values() for name in whole_numbers(dict(type.latest.schema))}


@cache
def objects(kind: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    short = st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from([-(2**31), 2**31 - 1]))
    return st.builds(kind, **{name: short if name in INTS else values(hints[name]) for name in names})


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract.load(Settings(), schema_ids=FixedIds())


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_an_object_comes_back_from_the_wire_equal(name: str, contract: Contract) -> None:
    """Decimals of 38 digits, nulls, nested records and any text survive the way out and back."""
    kind = class_of(name)

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(objects(kind))
    def comes_back(sent: Any) -> None:
        value = contract.codec.encode(name, sent.to_data(), "some.events")
        decoded = contract.codec.decode(value)
        assert sent == kind.from_data(decoded.data)
        assert sent.to_data() == decoded.data

    comes_back()


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_a_class_stands_for_the_newest_version_of_its_type(name: str, contract: Contract) -> None:
    """Type, version and key are known without the catalogue; defaults are the schema's."""
    type, kind = CATALOGUE[name], class_of(name)
    fields = {field["name"]: field for field in type.latest.schema["fields"]}
    expected = (name, type.latest.version, type.latest.schema["tradewire"]["aggregate"])

    assert expected == (kind.event_type, kind.schema_version, kind.aggregate)
    assert {field for field in fields if "default" not in fields[field]} == {
        field.name.removesuffix("_") if field.name == "event_type_" else field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    required = {
        field.name: {"str": "x", "int": 1, "Decimal": Decimal(1), "bool": True}[str(field.type)]
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    data = {name.removesuffix("_") if name == "event_type_" else name: value for name, value in required.items()}
    left_out = contract.codec.encode(name, data, "some.events")
    assert left_out == contract.codec.encode(name, kind(**required).to_data(), "some.events")


def test_an_object_is_checked_by_the_codec_as_a_dict_is(contract: Contract) -> None:
    """A type checker can be ignored; the contract cannot."""
    order = OrderCreated(order_id="o", account="a", symbol="s", venue="v", quantity=1.5)  # type: ignore[arg-type]

    with pytest.raises(EventInvalid, match="quantity"):
        contract.codec.encode(order.event_type, order.to_data(), "trading.events")


def test_an_object_is_a_value() -> None:
    """It cannot be changed, has no other attributes, and takes fields by name alone."""
    order = OrderCreated(order_id="o", account="a", symbol="s", venue="v", quantity=Decimal(1), side=Side.BUY)
    typed: TypedData = order

    assert typed.to_data() is not typed.to_data()
    assert order == dataclasses.replace(order)
    assert not hasattr(order, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        order.quantity = Decimal(2)  # type: ignore[misc]
    with pytest.raises(TypeError):
        OrderCreated("o", "a", "s", "v", Decimal(1))  # type: ignore[misc,call-arg]


def test_docs_reach_the_reader_of_a_class() -> None:
    """The record's doc is the class's; the fields' docs stand below the fields, where editors look for them."""
    source = (FOLDER / "trading" / "order_created.py").read_text()

    assert (OrderCreated.__doc__ or "").startswith("A trader means to trade")
    assert '"""Whole quantity wanted in base units or contracts, above zero.' in source
    assert (trading.Side.__doc__ or "").startswith("Direction of a trade")


def test_regeneration_changes_nothing() -> None:
    """What is checked in is what the Avro files give, in the form of `ruff format`; no file too many, none too few."""
    expected = {name: text.splitlines() for name, text in python_types(CATALOGUE.values()).items()}
    found = {str(file.relative_to(FOLDER)): file.read_text("utf-8").splitlines() for file in FOLDER.rglob("*.py")}
    hint = "run `tradewire schemas generate-types --output schemas/tradewire/schemas/types`"

    assert sorted(expected) == sorted(found), hint
    assert [] == [name for name in expected if expected[name] != found[name]], hint


def test_the_files_are_as_ruff_formats_them() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", str(FOLDER)],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr


def test_publishers_of_dicts_do_not_load_the_classes() -> None:
    """Importing the room costs what it cost before there were classes."""
    code = "import sys, tradewire.schemas; print([n for n in sys.modules if n.startswith('tradewire.schemas.types')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]\n" == done.stdout
