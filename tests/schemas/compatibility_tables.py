"""Reader and writer pairs with Avro's verdict, as data.

The cases are those of Apache Avro's own tests (Java: TestSchemaCompatibility and its siblings per rule; Python:
test_compatibility), restated as JSON. Rules, messages and locations are those of Avro's Java implementation 1.12.
"""

from __future__ import annotations

from typing import Any


def record(name: str, *fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(name: str, symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": list(symbols), **more}


def fixed(name: str, size: int) -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def mapping(values: Any) -> dict[str, Any]:
    return {"type": "map", "values": values}


def listed(head: str) -> dict[str, Any]:
    """A list as a record that contains itself."""
    return record("List", field("head", head), field("tail", "List"))


NUMBERS = ["int", "long", "float", "double"]
EMPTY1, EMPTY2 = record("Record1"), record("Record2")
A_INT, A_LONG = record("Record1", field("a", "int")), record("Record1", field("a", "long"))
A_DINT = record("Record1", field("a", "int", default=0))
A_OPTIONAL = record("Record1", field("a", ["null", "int"], default=None))
A_INT_B_INT = record("Record1", field("a", "int"), field("b", "int"))
A_INT_B_DINT = record("Record1", field("a", "int"), field("b", "int", default=0))
A_DINT_B_DINT = record("Record1", field("a", "int", default=0), field("b", "int", default=0))
AB, ABC, BC, AB2 = enum("Enum1", "AB"), enum("Enum1", "ABC"), enum("Enum1", "BC"), enum("Enum2", "AB")
FIXED4, FIXED8 = fixed("Fixed", 4), fixed("Fixed", 8)


def a_then_b(kind: Any, **more: Any) -> dict[str, Any]:
    return record("Record1", field("a", "int", default=0), field("b", kind, **more))


def inner_of(namespace: str) -> dict[str, Any]:
    inner = record("InnerRecord1", field("a", "int"), namespace=namespace)
    return record("Record1", field("f1", ["null", array(inner)]))


def enum_field(symbols: str, fallback: str, **more: Any) -> dict[str, Any]:
    return record("Record", field("Field", enum("Schema", symbols, default=fallback), **more))


OLD = record("Record", field("oldField1", "int"), field("oldField2", "string"))

COMPATIBLE: list[tuple[Any, Any]] = [
    *((kind, kind) for kind in ("null", "boolean", "int", "long", "float", "double", "string", "bytes")),
    ("long", "int"), ("float", "int"), ("float", "long"), ("double", "int"), ("double", "long"), ("double", "float"),
    ("string", "bytes"), ("bytes", "string"),
    (array("int"), array("int")), (array("long"), array("int")), (mapping("int"), mapping("int")),
    (mapping("long"), mapping("int")), (array("string"), array("string")),
    (AB, AB), (ABC, AB), (FIXED4, FIXED4),
    ([], []), (["float"], []), (["int"], []), (["long"], []), (["string"], []), (["bytes"], []),
    (["float"], ["int"]), (["float"], ["long"]), (["float"], ["int", "long"]), (["int"], ["int"]),
    (["int", "string"], ["string", "int"]), (["long"], ["int"]), (["double"], ["int"]), (["double"], ["long"]),
    (["double"], ["float"]), (["double"], ["int", "float"]), (["string"], ["bytes"]), (["bytes"], ["string"]),
    ("float", ["int", "float"]), ("long", ["int", "long"]), ("double", ["int", "float"]), ("double", NUMBERS),
    ("float", ["float"]), (["int"], "int"), ("int", ["int"]),
    (EMPTY1, EMPTY1), (EMPTY1, A_INT), (A_INT, A_INT), (A_DINT, A_INT), (A_DINT, A_DINT), (A_INT, A_DINT),
    (A_LONG, A_INT), (A_INT, A_INT_B_INT), (A_DINT, A_INT_B_INT), (A_INT_B_DINT, A_INT), (A_DINT_B_DINT, EMPTY1),
    (A_DINT_B_DINT, A_INT), (A_INT_B_INT, A_DINT_B_DINT),
    (listed("int"), listed("int")), (listed("long"), listed("long")), (listed("long"), listed("int")),
    (enum_field("AB", "A"), enum_field("ABC", "A")),
    (enum_field("AB", "B", default="A"), enum_field("ABC", "A", default="B")),
    (inner_of("ns1"), inner_of("ns2")),
    (record("Record", field("f1", "int")), record("ns.Record", field("f1", "int"))),
    (enum("Enum1", "AB", namespace="namespace1"), enum("Enum1", "AB", namespace="namespace2")),
    (record("Record", field("oldField1", "int")), OLD), (record("Record", field("oldField2", "string")), OLD),
    (OLD, OLD), (record("Record", field("oldField1", "int"), field("newField1", "int", default=42)), OLD),
    (record("foo", field("bar", "int", aliases=["f1"])), record("foo", field("f1", "int"), field("f2", "string"))),
    (record("other", field("f1", "int"), aliases=["foo"]), record("foo", field("f1", "int"), field("f2", "string"))),
]  # fmt: skip


def mismatch(reader: Any, writer: Any, kinds: str, location: str = "/") -> tuple[Any, Any, str, str, str]:
    one, other = kinds.upper().split()
    return reader, writer, "TYPE_MISMATCH", f"reader type: {one} not compatible with writer type: {other}", location


def lacking(reader: Any, writer: Any, kind: str, location: str) -> tuple[Any, Any, str, str, str]:
    return reader, writer, "MISSING_UNION_BRANCH", f"reader union lacking writer type: {kind}", location


SIZE, SYMBOLS, NAME, DEFAULT = (
    "FIXED_SIZE_MISMATCH", "MISSING_ENUM_SYMBOLS", "NAME_MISMATCH", "READER_FIELD_MISSING_DEFAULT_VALUE",
)  # fmt: skip
# Reader, writer, rule, Avro's message, Avro's location: the one finding that there is.
INCOMPATIBLE: list[tuple[Any, Any, str, str, str]] = [
    mismatch("null", "int", "null int"), mismatch("null", "long", "null long"),
    mismatch("boolean", "int", "boolean int"), mismatch("int", "null", "int null"),
    mismatch("int", "boolean", "int boolean"), mismatch("int", "long", "int long"),
    mismatch("int", "float", "int float"), mismatch("int", "double", "int double"),
    mismatch("long", "float", "long float"), mismatch("long", "double", "long double"),
    mismatch("float", "double", "float double"), mismatch("double", "string", "double string"),
    mismatch(FIXED4, "string", "fixed string"), mismatch("string", "boolean", "string boolean"),
    mismatch("string", "int", "string int"), mismatch("bytes", "null", "bytes null"),
    mismatch("bytes", "int", "bytes int"), mismatch(A_INT, "int", "record int"),
    mismatch(array("int"), array("long"), "int long", "/items"), mismatch(mapping("int"), array("int"), "map array"),
    mismatch(array("int"), mapping("int"), "array map"),
    mismatch(mapping("int"), mapping("long"), "int long", "/values"),
    mismatch(mapping("string"), array("string"), "map array"), mismatch("int", AB2, "int enum"),
    mismatch(AB2, "int", "enum int"), mismatch("float", NUMBERS, "float double", "/3"),
    mismatch("long", ["int", "float"], "long float", "/1"), mismatch("int", ["int", "float"], "int float", "/1"),
    mismatch(listed("int"), listed("long"), "int long", "/fields/0/type"),
    mismatch("int", ["int", "string"], "int string", "/1"),
    mismatch(A_DINT, A_OPTIONAL, "int null", "/fields/0/type/0"),
    (FIXED4, FIXED8, SIZE, "expected: 8, found: 4", "/size"),
    (FIXED8, FIXED4, SIZE, "expected: 4, found: 8", "/size"),
    (a_then_b(FIXED8), a_then_b(FIXED4), SIZE, "expected: 4, found: 8", "/fields/1/type/size"),
    (a_then_b(FIXED4), a_then_b(FIXED8), SIZE, "expected: 8, found: 4", "/fields/1/type/size"),
    (AB, ABC, SYMBOLS, "[C]", "/symbols"), (BC, ABC, SYMBOLS, "[A]", "/symbols"),
    (record("Record1", field("field1", AB)), record("Record1", field("field1", ABC)), SYMBOLS, "[C]",
     "/fields/0/type/symbols"),
    (AB, AB2, NAME, "expected: Enum2", "/name"), (EMPTY2, EMPTY1, NAME, "expected: Record1", "/name"),
    (FIXED4, fixed("AnotherName", 4), NAME, "expected: AnotherName", "/name"),
    (a_then_b(AB), a_then_b(AB2), NAME, "expected: Enum2", "/fields/1/type/name"),
    (A_INT, EMPTY1, DEFAULT, "a", "/fields/0"), (A_INT_B_DINT, EMPTY1, DEFAULT, "a", "/fields/0"),
    (record("Record", field("oldField1", "int"), field("newField1", "int")), OLD, DEFAULT, "newField1", "/fields/1"),
    lacking(["int"], ["int", "string"], "STRING", "/1"), lacking(["string"], ["int", "string"], "INT", "/0"),
    lacking(["int"], ["int", EMPTY1], "RECORD", "/1"), lacking(["int"], ["int", EMPTY2], "RECORD", "/1"),
    lacking(["int", EMPTY1], ["int", EMPTY2], "RECORD", "/1"), lacking(["int"], ["int", AB2], "ENUM", "/1"),
    lacking(["int"], ["int", FIXED4], "FIXED", "/1"), lacking(["int"], ["int", "boolean"], "BOOLEAN", "/1"),
    lacking(["int"], ["long"], "LONG", "/0"), lacking(["int"], ["float"], "FLOAT", "/0"),
    lacking(["int"], ["double"], "DOUBLE", "/0"), lacking(["int"], ["bytes"], "BYTES", "/0"),
    lacking(["int"], ["int", array("int")], "ARRAY", "/1"), lacking(["int"], ["int", mapping("int")], "MAP", "/1"),
    lacking(["int"], ["int", "null"], "NULL", "/1"),
    lacking(["int", "string"], ["int", "string", "long"], "LONG", "/2"),
    lacking(a_then_b(["int"], default=0), a_then_b(["int", "string"], default=0), "STRING", "/fields/1/type/1"),
]  # fmt: skip

# A registry's matrix: what every Confluent-compatible registry answers. F2 has a default, F3 is F2 without it.
_F1 = field("f1", "string")
S1 = record("myrecord", _F1)
S2 = record("myrecord", _F1, field("f2", "string", default="foo"))
S3 = record("myrecord", _F1, field("f2", "string"))
S4 = record("myrecord", field("f1_new", "string", aliases=["f1"]))
S6 = record("myrecord", field("f1", ["null", "string"], doc="doc of f1"))
S7 = record("myrecord", field("f1", ["null", "string", "int"], doc="doc of f1"))
S8 = record("myrecord", _F1, field("f2", "string", default="foo"), field("f3", "string", default="bar"))
# Level, new, history (oldest first), whether it may follow.
MATRIX: list[tuple[str, Any, list[Any], bool]] = [
    ("BACKWARD", S2, [S1], True), ("BACKWARD", S3, [S1], False), ("BACKWARD", S4, [S1], True),
    ("BACKWARD", S6, [S1], True), ("BACKWARD", S1, [S6], False), ("BACKWARD", S7, [S6], True),
    ("BACKWARD", S6, [S7], False), ("BACKWARD", S3, [S1, S2], True),
    ("BACKWARD_TRANSITIVE", S8, [S1, S2], True), ("BACKWARD_TRANSITIVE", S2, [S1], True),
    ("BACKWARD_TRANSITIVE", S3, [S2], True), ("BACKWARD_TRANSITIVE", S3, [S2, S1], False),
    ("BACKWARD_TRANSITIVE", S3, [S1, S2], False),
    ("FORWARD", S2, [S1], True), ("FORWARD", S3, [S1], True), ("FORWARD", S3, [S2], True), ("FORWARD", S2, [S3], True),
    ("FORWARD", S1, [S3, S2], True), ("FORWARD", S1, [S3], False), ("FORWARD", S4, [S1], False),
    ("FORWARD_TRANSITIVE", S1, [S8, S2], True), ("FORWARD_TRANSITIVE", S2, [S3], True),
    ("FORWARD_TRANSITIVE", S1, [S2], True), ("FORWARD_TRANSITIVE", S1, [S2, S3], False),
    ("FULL", S2, [S1], True), ("FULL", S3, [S1, S2], True), ("FULL", S1, [S3, S2], True), ("FULL", S4, [S1], False),
    ("FULL_TRANSITIVE", S8, [S1, S2], True), ("FULL_TRANSITIVE", S1, [S8, S2], True),
    ("FULL_TRANSITIVE", S2, [S3], True), ("FULL_TRANSITIVE", S1, [S2], True), ("FULL_TRANSITIVE", S2, [S1], True),
    ("FULL_TRANSITIVE", S3, [S2], True), ("FULL_TRANSITIVE", S3, [S2, S1], False),
    ("FULL_TRANSITIVE", S1, [S2, S3], False), ("NONE", S6, [S7, S1], True), ("NONE", "int", ["string"], True),
]  # fmt: skip
