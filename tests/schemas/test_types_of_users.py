"""Classes for a user's own folder: every construct of Avro, names that Python does not like, the command."""

from __future__ import annotations

import datetime
import importlib
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.schemas.generated import DataMaker, SchemaMaker

from tradewire.core import SchemaFileError
from tradewire.operations.cli import main
from tradewire.schemas import Catalogue, Codec, EventSchema, EventType, FixedIds
from tradewire.schemas.generate.python_types import python_types

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
KIND = {"type": "enum", "name": "Kind", "symbols": ["None", "title", "mro", "_x_"], "default": "None"}
LEG = {
    "type": "record",
    "name": "Leg",
    "doc": 'One "leg" of it, with a \\ backslash.',
    "fields": [
        {"name": "class", "type": "string", "default": "spot"},
        {"name": "ratio", "type": "double", "default": 1},
        {"name": "kind", "type": KIND},
    ],
}
QUOTE = {
    "type": "record",
    "name": "Quoted",
    "namespace": "acme.desk",
    "fields": [
        {"name": "event_type", "type": "string", "doc": "A field with the name of a class attribute."},
        {"name": "str", "type": "int", "default": -7},
        {"name": "__private", "type": ["null", "boolean"], "default": None},
        {"name": "legs", "type": {"type": "array", "items": LEG}, "default": []},
        {"name": "best", "type": "Leg", "default": {"class": "swap", "ratio": 2, "kind": "mro"}},
        {"name": "by_desk", "type": {"type": "map", "values": {"type": "array", "items": "Leg"}}, "default": {}},
        {"name": "grid", "type": {"type": "array", "items": {"type": "array", "items": "long"}}, "default": [[1], []]},
        {"name": "prices", "type": {"type": "map", "values": DECIMAL}, "default": {"a": "\u0001\u0000"}},
        {"name": "fee", "type": DECIMAL, "default": "\u00ff"},
        {"name": "raw", "type": "bytes", "default": "\u0000'\""},
        {"name": "code", "type": {"type": "fixed", "name": "Code", "size": 2}, "default": "ab"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}, "default": 1},
        {"name": "note", "type": ["string", "long", "null"], "default": 'say "it\'s"'},
        {"name": "parent", "type": ["null", "Quoted"], "default": None},
        {"name": "tagged", "type": ["null", {"type": "array", "items": "string"}], "default": None},
    ],
}


PLAIN = {
    "type": "record",
    "name": "Quoted",
    "namespace": "acme.desk",
    "doc": "A desk gave a price. Published by the desk.",
    "tradewire": {"aggregate": "quote_id"},
    "fields": [
        {"name": "quote_id", "type": "string", "doc": "Id of the quote. Set by the desk."},
        {"name": "price", "type": DECIMAL, "doc": "What it gave. Set by the desk."},
    ],
}


def catalogue_of(**schemas: Any) -> Catalogue:
    """Types as a catalogue may hold them; a folder is held to more rules than the generator needs."""
    types = {}
    for key, schema in schemas.items():
        name = key.replace("__", ".")
        types[name] = EventType(name, (EventSchema(name, 1, schema, Path(f"{name}/v1.avsc")),))
    return Catalogue(types)


def folder_of(root: Path) -> Path:
    file = root / "desk" / "quote.given" / "v1.avsc"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(PLAIN))
    return root


def package(files: dict[str, str], root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in files.items():
        file = root / "acme_types" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(root))
    for loaded in [name for name in sys.modules if name.startswith("acme_types")]:
        monkeypatch.delitem(sys.modules, loaded)
    return root / "acme_types"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    package(python_types(catalogue_of(desk__quote__given=QUOTE).values()), tmp_path, monkeypatch)
    return importlib.import_module("acme_types.desk")


def test_defaults_are_those_of_the_schema(desk: ModuleType) -> None:
    """Each kind of default becomes the value that a reader would give."""
    given = desk.QuoteGiven(event_type_="x")

    assert "desk.quote.given" == desk.QuoteGiven.event_type
    assert (-7, None, ()) == (given.str_, given.f__private, given.legs)
    assert desk.Leg(class_="swap", ratio=2.0, kind=desk.Kind.mro_) == given.best
    assert ((1,), ()) == given.grid
    assert ({"a": Decimal("2.56")}, Decimal("-0.01")) == (given.prices, given.fee)
    assert (b"\x00'\"", b"ab", datetime.date(1970, 1, 2), 'say "it\'s"') == (
        given.raw,
        given.code,
        given.day,
        given.note,
    )


def test_every_construct_comes_back_from_the_wire(desk: ModuleType) -> None:
    """Names that Python cannot bear, records in maps of lists, recursion, unions of several types."""
    codec = Codec(catalogue_of(desk__quote__given=QUOTE), FixedIds())
    leg = desk.Leg(kind=desk.Kind.None_)
    inner = desk.QuoteGiven(event_type_="inner", tagged=("a", "b"), note=5)
    given = desk.QuoteGiven(event_type_="e", legs=(leg,), by_desk={"x": (leg, leg)}, parent=inner, f__private=True)

    decoded = codec.decode(codec.encode("desk.quote.given", given.to_data(), "desk.events"))

    assert given == desk.QuoteGiven.from_data(decoded.data)


def test_the_files_are_typed_and_formatted(desk: ModuleType, tmp_path: Path) -> None:
    """A user's strict mypy and ruff have nothing to say about the odd one either."""
    for command in (
        ["mypy", "--strict", "acme_types"],
        ["ruff", "format", "--check", "--line-length=120", "acme_types"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )

        assert 0 == done.returncode, done.stdout + done.stderr


def test_random_schemas_come_back_from_the_wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every construct in any nesting; half of the schemas lie in one domain, where their nested names collide."""
    schemas = {}
    for seed in range(80):
        domain = "desk" if seed % 2 else f"desk{seed}"
        schemas[f"{domain}__e{seed}__made"] = SchemaMaker(seed).record() | {"namespace": f"n{seed}"}
    catalogue = catalogue_of(**schemas)
    package(python_types(catalogue.values()), tmp_path, monkeypatch)
    codec = Codec(catalogue, FixedIds())

    for seed, name in enumerate(name.replace("__", ".") for name in schemas):
        kind = getattr(importlib.import_module(f"acme_types.{catalogue[name].domain}"), f"E{seed}Made")
        sent = codec.decode(codec.encode(name, DataMaker(catalogue[name].latest.schema, seed).make(), "t")).data
        typed = kind.from_data(sent)
        again = codec.decode(codec.encode(name, typed.to_data(), "t")).data
        assert repr(sent) == repr(again), name  # by repr: NaN is not equal to itself


def test_events_that_share_a_record_share_its_class_while_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An enum with one more symbol in one event has all symbols; a record that differs is named after its event."""
    leg = {"type": "record", "name": "Leg", "fields": [{"name": "n", "type": "long"}]}
    other = {"type": "record", "name": "Leg", "fields": [{"name": "n", "type": "string"}]}
    kind = {"type": "enum", "name": "Kind", "symbols": ["A", "B"], "default": "A"}
    more = kind | {"symbols": ["A", "C", "B"]}

    def event(name: str, leg: Any, kind: Any) -> dict[str, Any]:
        fields = [{"name": "leg", "type": leg | {"doc": name}}, {"name": "kind", "type": kind}]
        return {"type": "record", "name": name, "namespace": "acme", "fields": fields}

    events = {"a": event("A", leg, kind), "b": event("B", leg, more), "c": event("C", other, kind)}
    catalogue = catalogue_of(**{f"desk__{name}__seen": schema for name, schema in events.items()})
    package(python_types(catalogue.values()), tmp_path, monkeypatch)
    desk = importlib.import_module("acme_types.desk")

    assert (
        desk.ASeen.from_data({"leg": {"n": 1}, "kind": "B"}).leg
        == desk.BSeen.from_data({"leg": {"n": 1}, "kind": "C"}).leg
    )
    assert isinstance(desk.CSeen.from_data({"leg": {"n": "x"}, "kind": "A"}).leg, desk.CSeenLeg)
    assert ["A", "C", "B"] == list(desk.Kind)


def test_two_types_that_would_be_one_module_are_refused() -> None:
    """The message names both."""
    record = {"type": "record", "name": "R", "fields": []}
    catalogue = catalogue_of(desk__a_b__c=record, desk__a__b_c=record | {"name": "S"})

    with pytest.raises(SchemaFileError, match=r"desk\.a_b\.c and desk\.a\.b_c would both be"):
        python_types(catalogue.values())


def run(*arguments: str) -> int:
    try:
        main(["schemas", *arguments])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_command_keeps_a_package_as_the_folder_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It writes the user's types alone, tells a build what is not up to date, and removes what is gone."""
    folder, output = folder_of(tmp_path / "avro"), tmp_path / "acme_types"
    arguments = ("generate-types", "--folder", str(folder), "--output", str(output))

    assert 3 == run(*arguments, "--check")
    assert not output.exists()
    assert 0 == run(*arguments)
    assert ["desk"] == [file.name for file in output.iterdir() if file.is_dir()]
    assert 0 == run(*arguments, "--check")
    (folder / "desk" / "quote.given").rename(folder / "desk" / "quote.sent")
    assert 3 == run(*arguments, "--check")
    assert 0 == run(*arguments)
    assert "quote_given.py" in capsys.readouterr().out
    assert not (output / "desk" / "quote_given.py").exists()
    assert (output / "desk" / "quote_sent.py").exists()


def test_the_command_never_overwrites_what_it_did_not_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A package of the user's own stays as it is."""
    folder, output = folder_of(tmp_path / "avro"), tmp_path / "acme"
    output.mkdir()
    (output / "__init__.py").write_text("mine = 1\n")

    assert 1 == run("generate-types", "--folder", str(folder), "--output", str(output))
    assert "__init__.py" in capsys.readouterr().err
    assert "mine = 1\n" == (output / "__init__.py").read_text()
    assert not (output / "desk").exists()
