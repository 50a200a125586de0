"""Avro types as ClickHouse types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tradewire.core.errors import SinkError

_PRIMITIVES: Final = {
    "string": "String",
    "bytes": "String",
    "int": "Int32",
    "long": "Int64",
    "float": "Float32",
    "double": "Float64",
    "boolean": "Bool",
}
_LOGICAL: Final = {
    ("int", "date"): "Date32",
    ("long", "timestamp-millis"): "DateTime64(3, 'UTC')",
    ("long", "timestamp-micros"): "DateTime64(6, 'UTC')",
    ("string", "uuid"): "UUID",
}
# Fields that hold few different texts in any trading system: stored as a dictionary where they are columns.
_FEW_VALUES: Final = frozenset(("account", "currency", "strategy", "symbol", "venue"))


class UnsupportedSchema(SinkError):
    """Raised when an Avro schema has a construct that ClickHouse cannot read as a column; names the field.

    Operator: records of this schema go to ``dead_letters`` with their bytes; change the schema, or read them in Kafka.
    """


def quoted(name: str) -> str:
    """An identifier of SQL."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def columns_of(schema: Mapping[str, Any]) -> dict[str, str]:
    """The ClickHouse type of each field of a record, in order.

    Raises:
        UnsupportedSchema: a field has no ClickHouse type.
    """
    return _Reader().fields(schema, ())


def table_column(name: str, type: str) -> str:
    """The type a field has as a column of its own table: texts that repeat become dictionaries."""
    if name in _FEW_VALUES and type in ("String", "Nullable(String)"):
        return f"LowCardinality({type})"
    return type


class _Reader:
    """Carries the named types seen so far: Avro defines a name once and refers to it afterwards."""

    def __init__(self) -> None:
        self._named: dict[str, Any] = {}

    def fields(self, schema: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, str]:
        return {field["name"]: self.type(field["type"], (*path, field["name"])) for field in schema["fields"]}

    def type(self, avro: Any, path: tuple[str, ...]) -> str:
        if isinstance(avro, list):
            return self._union(avro, path)
        if isinstance(avro, str):
            if avro in _PRIMITIVES:
                return _PRIMITIVES[avro]
            named = self._named.get(avro.rsplit(".", 1)[-1])
            if named is None:
                raise UnsupportedSchema(f"field {'.'.join(path)}: {avro!r} has no column type")
            if avro.rsplit(".", 1)[-1] in path:
                raise UnsupportedSchema(f"field {'.'.join(path)}: {avro!r} holds itself")
            return self.type(named, path)
        kind = avro["type"]
        if kind in ("record", "enum", "fixed"):
            self._named[avro["name"].rsplit(".", 1)[-1]] = avro
        if avro.get("logicalType") == "decimal":
            return f"Decimal({avro['precision']}, {avro.get('scale', 0)})"
        if kind == "record":
            inner = self.fields(avro, (*path, avro["name"].rsplit(".", 1)[-1]))
            return "Tuple(" + ", ".join(f"{quoted(name)} {type}" for name, type in inner.items()) + ")"
        if kind == "enum":
            return "LowCardinality(String)"
        if kind == "fixed":
            return f"FixedString({avro['size']})"
        if kind == "array":
            return f"Array({self.type(avro['items'], path)})"
        if kind == "map":
            return f"Map(String, {self.type(avro['values'], path)})"
        return _LOGICAL.get((kind, avro.get("logicalType"))) or self.type(kind, path)

    def _union(self, branches: list[Any], path: tuple[str, ...]) -> str:
        types = [self.type(branch, path) for branch in branches if branch != "null"]
        if len(types) != 1:
            raise UnsupportedSchema(f"field {'.'.join(path)}: a union of {len(types)} types is not one column")
        type = types[0]
        if "null" not in branches:
            return type
        if type.startswith(("Array(", "Map(")):
            raise UnsupportedSchema(f"field {'.'.join(path)}: ClickHouse has no null {type}; use an empty default")
        if type.startswith("LowCardinality("):
            return f"LowCardinality(Nullable({type.removeprefix('LowCardinality(')[:-1]}))"
        return f"Nullable({type})"
