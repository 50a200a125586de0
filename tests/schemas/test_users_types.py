"""Users' own event types: what is wrong with a file is said by file, field, reason and fix."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.schemas.versions import record, write

from tradewire.core import SchemaFileError, load_settings
from tradewire.schemas import Catalogue, Codec, Contract, FixedIds, UpcastFailed

FILE = "desk/quote.given/v1.avsc"
SECOND = "desk/quote.given/v2.avsc"
UPCASTER = "desk/quote.given/v2.py"
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 18}


def field(type: Any, name: str = "kind", **more: Any) -> dict[str, Any]:
    return record("QuoteGiven", {"name": name, "type": type, **more})


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "Kind", "symbols": list(symbols), **more}


def said_of(*files: tuple[str, object], folder: Path) -> str:
    """The refusal of a folder that holds these files."""
    for name, content in files:
        write(folder, name, content)
    with pytest.raises(SchemaFileError) as refused:
        Catalogue.load(folder)
    assert refused.value.context["file"]
    return str(refused.value)


DEEP: Any = {"type": "string"}
for _ in range(100):
    DEEP = {"type": "array", "items": DEEP}

BAD_SCHEMAS: dict[str, tuple[object, tuple[str, ...]]] = {
    "empty": ("", ("JSON",)),
    "not JSON": ("{", ("JSON", "line 1")),
    "not UTF-8": (b'{"type": "record", "doc": "\xff"}', ("UTF-8", "byte 27")),
    "not finite": ('{"type": "record", "name": "A", "fields": [], "n": NaN}', ("NaN",)),
    "key twice": ('{"type": "record", "type": "record"}', ("'type' twice",)),
    "nested too deep for JSON": ("[" * 100_000, ("JSON",)),
    "no record": ({"type": "string"}, ("Avro record", "begin with")),
    "a list": ([], ("Avro record",)),
    "no name": ({"type": "record", "fields": []}, ("name None",)),
    "bad name": (record("Quote-Given"), ("'Quote-Given'", "letters")),
    "bad namespace": (record() | {"namespace": "acme..desk"}, ("namespace 'acme..desk'",)),
    "no fields": ({"type": "record", "name": "A"}, ("no list of fields",)),
    "field without name": (record() | {"fields": [{"type": "string"}]}, ("field number 1",)),
    "field without type": (record() | {"fields": [{"name": "kind"}]}, ("field kind", 'add "type"')),
    "bad field name": (field("string", "kind of"), ("field kind of", "no Avro name")),
    "field twice": (record() | {"fields": [{"name": "a", "type": "long"}] * 2}, ("field a", "two fields")),
    "unknown type": (field("strng"), ("field kind", "'strng' is unknown", "did you mean 'string'")),
    "unknown name": (field(["null", "acme.desk.Sides"]), ("field kind", "acme.desk.Sides", "define it in this file")),
    "complex by name": (field("array"), ("field kind", "'array' needs an object")),
    "type is a number": (field(5), ("field kind", "5 is no type")),
    "array of nothing": (field({"type": "array"}), ("field kind", '"items"')),
    "map of nothing": (field({"type": "map"}), ("field kind", '"values"')),
    "fixed without size": (field({"type": "fixed", "name": "F"}), ("field kind", "size None")),
    "nested too deep": (field(DEEP), ("field kind", "nested more than 64")),
    "name twice": (
        record("A", {"name": "a", "type": enum("X", default="X")}, {"name": "b", "type": enum("Y", default="Y")}),
        ("field b", "acme.desk.Kind is defined twice"),
    ),
    "own name twice": (record("A", {"name": "a", "type": record("A")}), ("field a", "acme.desk.A is defined twice")),
    "empty union": (field([]), ("field kind", "union is empty")),
    "union in a union": (field(["null", ["string"]]), ("field kind", "holds a union")),
    "union of the same": (field(["string", "string"]), ("field kind", "string twice")),
    "enum without symbols": (field(enum()), ("field kind", "no symbols")),
    "enum without default": (field(enum("BUY", "SELL")), ("field kind", "no default symbol", '"UNKNOWN"')),
    "enum default on the field only": (field(enum("BUY"), default="BUY"), ("field kind", "beside its symbols")),
    "enum default unknown": (field(enum("BUY", default="UNKNOWN")), ("field kind", "'UNKNOWN'", "none of its symbols")),
    "enum symbol twice": (field(enum("BUY", "BUY", default="BUY")), ("field kind", "'BUY' twice")),
    "bad enum symbol": (field(enum("BUY-TO-OPEN", default="BUY-TO-OPEN")), ("field kind", "'BUY-TO-OPEN'")),
    "default of another type": (field("long", default="5"), ("field kind", "default '5'", "correct the default")),
    "default out of range": (field("int", default=2**40), ("field kind", str(2**40))),
    "default of the second branch": (field(["string", "null"], default=None), ("field kind", "first in the union")),
    "default of a record": (
        field({"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}]}, default={}),
        ("field kind", "no 'n'"),
    ),
    "decimal in a string": (field({**DECIMAL, "type": "string"}), ("field kind", "cannot be kept in string")),
    "decimal without precision": (field({"type": "bytes", "logicalType": "decimal"}), ("field kind", "precision None")),
    "decimal too wide": (field({**DECIMAL, "precision": 77}), ("field kind", "precision 77")),
    "decimal of bad scale": (field({**DECIMAL, "scale": 39}), ("field kind", "scale 39")),
    "price as double": (field("double", "limit_price"), ("field limit_price", "no floats", "decimal")),
    "fee as float": (field(["null", "float"], "fee_usd"), ("field fee_usd", "no floats")),
    "sizes as doubles": (field({"type": "array", "items": "double"}, "size"), ("field size", "no floats")),
    "price in a record": (
        field({"type": "record", "name": "Leg", "fields": [{"name": "bid", "type": "double"}]}, "legs"),
        ("field legs.bid", "no floats"),
    ),
    "property is text": (record(tradewire="x"), ("property tradewire is 'x'",)),
    "property misspelt": (record(tradewire={"agregate": "quote_id"}), ("'agregate'", "did you mean 'aggregate'")),
    "another type": (record(tradewire={"type": "desk.quote.sent"}), ("desk.quote.sent", "says desk.quote.given")),
    "another version": (record(tradewire={"version": 2}), ("version 2", "file name says 1")),
    "aggregate unknown": (
        record(tradewire={"aggregate": "quoteid"}),
        ("field quoteid", "no such field", "did you mean 'quote_id'"),
    ),
    "aggregate may be null": (
        field(["null", "string"]) | {"tradewire": {"aggregate": "kind"}},
        ("field kind", "must always have a value"),
    ),
    "aggregate is a decimal": (
        field(DECIMAL, "kind") | {"tradewire": {"aggregate": "kind"}},
        ("field kind", "must always have a value"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), BAD_SCHEMAS.values(), ids=BAD_SCHEMAS)
def test_a_bad_schema_is_refused_by_file_and_field(content: object, said: tuple[str, ...], tmp_path: Path) -> None:
    """The author reads file, field, reason and fix; nothing is half loaded."""
    message = said_of((FILE, content), folder=tmp_path).replace("'desk.quote.given'", "desk.quote.given")

    assert message.startswith(str(tmp_path / FILE))
    assert [] == [part for part in said if part not in message], message
    assert "; " in message


@pytest.mark.parametrize(
    "name",
    [
        "v1.avsc",
        "desk/v1.avsc",
        "desk/quote.given/v1/v1.avsc",
        "desk/quote.given/one.avsc",
        "desk/quote.given/v0.avsc",
        "desk/quote.given/v01.avsc",
        "desk/quote.given/V1.avsc",
        "desk/quote.given/v1.json",
        "desk/quote.given/v1.AVSC",
        "desk/quote/v1.avsc",
        "desk/quote.given.twice/v1.avsc",
        "Desk/quote.given/v1.avsc",
        "desk/quote-given/v1.avsc",
        "desk/1quote.given/v1.avsc",
    ],
)
def test_a_file_in_the_wrong_place_or_of_the_wrong_name_is_refused(name: str, tmp_path: Path) -> None:
    """A file that is not looked at would be an event type that is silently missing."""
    message = said_of((name, record()), folder=tmp_path)

    assert name in message
    assert "rename" in message


def test_what_is_no_schema_may_lie_beside(tmp_path: Path) -> None:
    """A page of text, hidden folders, what Kubernetes mounts: ``..data`` is the true folder, the files are links."""
    true = write(tmp_path, "..2026/v1.avsc", record())
    (tmp_path / "desk" / "quote.given").mkdir(parents=True)
    (tmp_path / FILE).symlink_to(true)
    write(tmp_path, "desk/quote.given/README.md", "ours")
    write(tmp_path, "README.md", "ours")
    write(tmp_path, ".git/config/x.y/v1.avsc", "{")

    assert "acme.desk.QuoteGiven" == Catalogue.load(tmp_path)["desk.quote.given"].latest.name


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    """The setting is named."""
    with pytest.raises(SchemaFileError, match=r"not a folder: does schemas\.folder"):
        Catalogue.load(tmp_path / "nothing")


def test_a_linked_folder_is_followed_and_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    """Neither silence nor a walk without end."""
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, "quote.given/v1.avsc", record())
    folder = tmp_path / "avro"
    folder.mkdir()
    (folder / "desk").symlink_to(elsewhere)
    assert "desk.quote.given" in Catalogue.load(folder)

    (elsewhere / "again").symlink_to(folder)
    with pytest.raises(SchemaFileError, match="leads back to a folder that it lies in"):
        Catalogue.load(folder)


def test_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    """A file that is gone is not a type that never was."""
    (tmp_path / "desk/quote.given").mkdir(parents=True)
    (tmp_path / FILE).symlink_to(tmp_path / "gone")

    with pytest.raises(SchemaFileError, match="link to nothing"):
        Catalogue.load(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    """Opening it would block for ever."""
    (tmp_path / "desk/quote.given").mkdir(parents=True)
    os.mkfifo(tmp_path / FILE)

    with pytest.raises(SchemaFileError, match="no regular file"):
        Catalogue.load(tmp_path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    """Somebody's data under a schema's name."""
    assert "1048576" in said_of((FILE, b" " * (1 << 20) + b"{}"), folder=tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file: run the tests as another user")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    """The operating system's reason is passed on."""
    write(tmp_path, FILE, record()).chmod(0)

    with pytest.raises(SchemaFileError, match="Permission denied"):
        Catalogue.load(tmp_path)


def test_types_of_ours_are_neither_replaced_nor_continued(tmp_path: Path) -> None:
    """The next release of the platform would bring another version of the same number."""
    assert "already defined" in said_of(("market/trade.reported/v1.avsc", record()), folder=tmp_path)
    later = said_of(("trading/order.filled/v2.avsc", record()), folder=tmp_path / "b")
    assert "own domain" in later


def test_two_types_of_one_record_name_are_refused(tmp_path: Path) -> None:
    """A record is told by its name in the registry."""
    message = said_of((FILE, record()), ("desk/quote.taken/v1.avsc", record()), folder=tmp_path)

    assert "acme.desk.QuoteGiven is that of desk.quote.given" in message


def test_a_gap_in_the_versions_is_refused(tmp_path: Path) -> None:
    """v1 is what old records were written with."""
    assert "[2], a number is missing" in said_of((SECOND, record()), folder=tmp_path)


WITH_NOTE = record("QuoteGiven", {"name": "quote_id", "type": "string"}, {"name": "note", "type": "string"})
RENAMED = record("QuoteGivenV2", {"name": "id", "type": "string"})
GOOD = "def upcast(data):\n    return {'id': data['quote_id']}\n"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([(SECOND, WITH_NOTE)], ("v2.avsc", "field note", "default", "QuoteGivenV2", "v2.py")),
        (
            [(SECOND, record("QuoteGiven", {"name": "quote_id", "type": "long"}))],
            ("field quote_id", "v2 cannot follow"),
        ),
        ([(SECOND, RENAMED)], ("v2.avsc", "acme.desk.QuoteGivenV2", "needs an upcaster", "def upcast(data)")),
        ([(SECOND, record(doc="x")), (UPCASTER, GOOD)], ("v2.avsc", "has an upcaster", "remove the upcaster")),
        ([("desk/quote.given/v1.py", GOOD)], ("has an upcaster", "is the first")),
        ([(UPCASTER, GOOD)], ("v2.py", "no v2.avsc beside")),
        ([(SECOND, RENAMED), (UPCASTER, "def upcast(data:")], ("v2.py", "cannot be imported", "SyntaxError")),
        ([(SECOND, RENAMED), (UPCASTER, "1 / 0")], ("v2.py", "ZeroDivisionError")),
        ([(SECOND, RENAMED), (UPCASTER, "upcast = 5")], ("v2.py", "no function 'upcast'")),
        (
            [(SECOND, RENAMED), (UPCASTER, GOOD), ("desk/quote.given/v3.avsc", record())],
            ("v3.avsc", "acme.desk.QuoteGiven again"),
        ),
    ],
    ids=[
        "no default",
        "other type",
        "no upcaster",
        "no need",
        "first",
        "alone",
        "syntax",
        "raises",
        "no function",
        "back",
    ],
)
def test_a_version_that_does_not_follow_is_refused(files: Any, said: tuple[str, ...], tmp_path: Path) -> None:
    """Either Avro reads the older as the newer, or the record has a name of its own and an upcaster."""
    message = said_of((FILE, record()), *files, folder=tmp_path)

    assert [] == [part for part in said if part not in message], message


def test_a_users_type_evolves_like_ours(tmp_path: Path) -> None:
    """A compatible version, then a breaking one with its upcaster beside the file; docs may be missing."""
    note = {"name": "note", "type": ["null", "string"], "default": None}
    ids = FixedIds()
    write(tmp_path, FILE, record())
    v1 = Codec(Catalogue.load(tmp_path), ids).encode("desk.quote.given", {"quote_id": "q1"}, "t")
    write(tmp_path, SECOND, record("QuoteGiven", {"name": "quote_id", "type": "string"}, note))
    v2 = Codec(Catalogue.load(tmp_path), ids).encode("desk.quote.given", {"quote_id": "q2", "note": "n"}, "t")
    write(tmp_path, "desk/quote.given/v3.avsc", record("QuoteGivenV3", {"name": "id", "type": "string"}, note))
    code = "def upcast(data):\n    return {'id': data['quote_id'], 'note': data['note']}\n"
    upcaster = write(tmp_path, "desk/quote.given/v3.py", code)
    codec = Codec(Catalogue.load(tmp_path), ids)

    assert [{"id": "q1", "note": None}, {"id": "q2", "note": "n"}] == [codec.decode(value).data for value in (v1, v2)]
    assert not (upcaster.parent / "__pycache__").exists()

    upcaster.write_text("def upcast(data):\n    return {'id': 5}\n")
    with pytest.raises(UpcastFailed, match=r"desk\.quote\.given: the upcaster from v2 to v3 .*id"):
        Codec(Catalogue.load(tmp_path), ids).decode(v1)


def test_floats_that_are_no_money_are_allowed(tmp_path: Path) -> None:
    """Features and scores are floats in every model."""
    write(tmp_path, FILE, record("Q", *({"name": name, "type": "double"} for name in ("price_zscore", "score", "rsi"))))

    assert "desk.quote.given" in Catalogue.load(tmp_path)


TOPICS = "topics: {market.events: {domain: market}, mine: {domain: mine}, rm: {domain: mine, cleanup: compact}, "
TOPICS += "readmodel.dead.v1: {domain: dead, cleanup: compact}}"
DEFAULTS = "defaults: {partitions: 1, replication: -1, cleanup: delete, retention_ms: -1, timestamps: LogAppendTime}\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (FILE, record(), ("desk.quote.given", "domain desk", "schemas.topics_file")),
        ("mine/quote.given/v1.avsc", record(tradewire={"topic": "desk.evnts"}), ("desk.evnts", "schemas.topics_file")),
        ("mine/quote.given/v1.avsc", record(tradewire={"topic": "mine"}), ("mine", "compact")),
        ("dead/quote.given/v1.avsc", record(), ("dead", "readmodel.dead.v1", "compact")),
    ],
    ids=["domain", "topic", "not compacted", "domain of read models"],
)
def test_a_type_without_a_topic_is_refused_when_it_is_loaded(
    name: str, content: object, said: tuple[str, ...], tmp_path: Path
) -> None:
    """Not at the first publish: the file, and what to add to which file."""
    file = write(tmp_path / "avro", name, content)
    topics = write(tmp_path, "topics.yaml", DEFAULTS + TOPICS)
    settings = load_settings(schemas={"folder": tmp_path / "avro", "topics_file": topics})

    with pytest.raises(SchemaFileError) as refused:
        Contract.load(settings, schema_ids=FixedIds())
    assert [] == [part for part in (str(file), *said) if part not in str(refused.value)], str(refused.value)


def test_a_type_of_a_declared_domain_or_topic_is_published_there(tmp_path: Path) -> None:
    """A new domain is a line in the file of topics; a type may also join a domain of ours."""
    fields = [{"name": "price", "type": DECIMAL}]
    write(tmp_path / "avro", "mine/quote.given/v1.avsc", record("A", *fields))
    write(tmp_path / "avro", "mine/book.changed/v1.avsc", record("B", *fields, tradewire={"topic": "rm"}))
    write(tmp_path / "avro", "market/auction.closed/v1.avsc", record("C", *fields))
    topics = write(tmp_path, "topics.yaml", DEFAULTS + TOPICS)
    settings = load_settings(schemas={"folder": tmp_path / "avro", "topics_file": topics})
    contract = Contract.load(settings, schema_ids=FixedIds())
    types = ("mine.quote.given", "mine.book.changed", "market.auction.closed")

    assert ["mine", "rm", "market.events"] == [contract.topic_of(type) for type in types]
    value = contract.codec.encode("mine.quote.given", {"price": Decimal("1.5")}, "mine")
    assert {"price": Decimal("1.5")} == contract.codec.decode(value).data


def test_every_file_of_ours_passes_the_same_checks() -> None:
    """There is one path for all files."""
    catalogue = Catalogue.load()

    assert all(json.loads(type.latest.text) for type in catalogue.values())
