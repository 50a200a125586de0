"""A schema as the compatibility rules see it: names resolved as Avro's Java parser resolves them, defaults not judged.

A registry's history may hold schemas that a strict parser refuses today (a default of the wrong type, for instance);
they must still be compared, so this reads everything that has a meaning.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tradewire.core.errors import ContractError

PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


@dataclass(eq=False, slots=True)
class Field:
    """A field of a record; ``has_default`` is true for a default of null as well."""

    name: str
    type: Node
    aliases: tuple[str, ...]
    has_default: bool


@dataclass(eq=False, slots=True)
class Node:
    """One type of a schema. A name that is used again is the same node, so recursive schemas are cycles.

    ``parts`` are an array's items, a map's values, or a union's branches. ``logical`` is "" where there is none.
    """

    kind: str
    name: str = ""
    aliases: frozenset[str] = frozenset()
    fields: list[Field] = field(default_factory=list)
    parts: list[Node] = field(default_factory=list)
    symbols: tuple[str, ...] = ()
    enum_default: str | None = None
    size: int = 0
    logical: str = ""
    precision: int = 0
    scale: int = 0

    @property
    def bare_name(self) -> str:
        return self.name.rsplit(".", 1)[-1]

    @property
    def title(self) -> str:
        """The type as a person would name it: ``decimal(38, 18)``, ``enum tradewire.market.Side``, ``null or long``."""
        if self.kind == "union":
            return " or ".join(part.title for part in self.parts) or "nothing"
        if self.logical == "decimal":
            return f"decimal({self.precision}, {self.scale})"
        if self.name:
            return f"{self.kind} {self.name}"
        if self.parts:
            return f"{self.kind} of {self.parts[0].title}"
        return self.logical or self.kind


def tree_of(schema: Any) -> Node:
    """The tree of a schema, given as JSON text or as what ``json.loads`` makes of it.

    Raises:
        ContractError: this is no Avro schema: no JSON, a name that nothing defines, a type without what it needs.
    """
    try:
        return _Reader().read_whole(_as_json(schema))
    except RecursionError:
        raise ContractError("the schema is nested too deep to be compared") from None


def _as_json(schema: Any) -> Any:
    if not isinstance(schema, str) or schema in PRIMITIVES:
        return schema
    try:
        return json.loads(schema)
    except ValueError as error:
        raise ContractError(
            f"not an Avro schema: {schema[:60]!r} is neither JSON nor a primitive type: {error}"
        ) from None


class _Reader:
    def __init__(self) -> None:
        self._named: dict[str, Node] = {}
        self._sources: dict[str, Any] = {}
        self._promised: list[Node] = []

    def read_whole(self, schema: Any) -> Node:
        tree = self.read(schema, "")
        for node in self._promised:
            found = self._named.get(node.name)
            if found is None:
                raise ContractError(f"not an Avro schema: nothing defines {node.name!r}", name=node.name)
            for name in Node.__slots__:
                setattr(node, name, getattr(found, name))
        return tree

    def read(self, schema: Any, space: str) -> Node:
        if isinstance(schema, str):
            return Node(schema) if schema in PRIMITIVES else self._find(schema, space)
        if isinstance(schema, Mapping):
            return self._read_object(schema, space)
        if isinstance(schema, Sequence):
            return Node("union", parts=[self.read(branch, space) for branch in schema])
        raise ContractError(f"not an Avro schema: {schema!r} is neither a name, nor an object, nor a union")

    def _find(self, name: str, space: str) -> Node:
        found = self._named.get(_full_name(name, space)) or self._named.get(name)
        if found is None:  # Java takes a name before its definition since 1.12, though the specification does not
            found = Node("promised", _full_name(name, space))
            self._promised.append(found)
        return found

    def _read_object(self, schema: Mapping[str, Any], space: str) -> Node:
        kind = schema.get("type")
        if kind in ("record", "error"):
            return self._read_record(schema, space)
        if kind == "enum":
            symbols = tuple(map(str, _needed(schema, "symbols", list)))
            default = schema.get("default")
            node = Node("enum", symbols=symbols, enum_default=default if isinstance(default, str) else None)
            self._name(node, schema, space)
        elif kind == "fixed":
            node = Node("fixed", size=_needed(schema, "size", int))
            self._name(node, schema, space)
        elif kind in ("array", "map"):
            part = "items" if kind == "array" else "values"
            node = Node(kind, parts=[self.read(_needed(schema, part), space)])
        elif isinstance(kind, str) and kind in PRIMITIVES:
            node = Node(kind)
        elif kind is None:
            raise ContractError(f"not an Avro schema: {str(schema)[:80]} has no type")
        else:
            return self.read(kind, space)
        _give_logical(node, schema)
        return node

    def _read_record(self, schema: Mapping[str, Any], space: str) -> Node:
        node = Node("record")
        inner = self._name(node, schema, space)
        for item in _needed(schema, "fields", list):
            if not isinstance(item, Mapping):
                raise ContractError(f"not an Avro schema: {node.name} has a field that is no object: {item!r}")
            name = _needed(item, "name", str)
            aliases = tuple(dict.fromkeys(map(str, item.get("aliases") or ())))
            node.fields.append(Field(name, self.read(_needed(item, "type"), inner), aliases, "default" in item))
        _give_logical(node, schema)
        return node

    def _name(self, node: Node, schema: Mapping[str, Any], space: str) -> str:
        given = schema.get("namespace")
        node.name = _full_name(_needed(schema, "name", str), space if given is None else str(given))
        inner = node.name.rpartition(".")[0]
        node.aliases = frozenset(_full_name(str(alias), inner) for alias in schema.get("aliases") or ())
        if self._sources.setdefault(node.name, schema) != schema:
            raise ContractError(f"not an Avro schema: {node.name} is defined twice, and not the same", name=node.name)
        self._named[node.name] = node
        return inner


def _full_name(name: str, space: str) -> str:
    return name if "." in name or not space else f"{space}.{name}"


def _needed(schema: Mapping[str, Any], key: str, kind: type = object) -> Any:
    value = schema.get(key)
    if value is None or not isinstance(value, kind) or isinstance(value, bool):
        raise ContractError(f"not an Avro schema: {str(schema)[:80]} has no usable {key!r}")
    return value


def _give_logical(node: Node, schema: Mapping[str, Any]) -> None:
    """An unknown or incomplete logical type is ignored, as the specification asks."""
    logical = schema.get("logicalType")
    if logical == "decimal" and node.kind in ("bytes", "fixed"):
        precision, scale = schema.get("precision"), schema.get("scale") or 0
        if isinstance(precision, int) and isinstance(scale, int) and 0 <= scale <= precision and precision > 0:
            node.logical, node.precision, node.scale = logical, precision, scale
    elif (node.kind, logical) in _LOGICAL:
        node.logical = str(logical)


_LOGICAL: Final = frozenset(
    {("int", "date"), ("int", "time-millis"), ("string", "uuid"), ("fixed", "uuid"), ("fixed", "duration")}
    | {("bytes", "big-decimal")}
    | {("long", name) for name in ("time-micros", "timestamp-millis", "timestamp-micros", "timestamp-nanos")}
    | {("long", f"local-timestamp-{unit}") for unit in ("millis", "micros", "nanos")}
)
