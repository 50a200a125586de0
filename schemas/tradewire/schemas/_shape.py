"""A schema as a tree that the code generators walk: names resolved, logical types settled, sizes known.

Schemas come from a registry, so they are not believed either: their size and nesting are bounded before anything is
made of them, and what has no meaning in Avro is refused. Their names are not judged: fastavro and others write any.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import fastavro
from fastavro.read import LOGICAL_READERS
from fastavro.write import LOGICAL_WRITERS

_SIZE_MIN: Final = {"null": 0, "float": 4, "double": 8}
_COMPOSITE: Final = ("record", "array", "map", "union")
_NAMED: Final = ("record", "enum", "fixed")
# Objects and list items of a schema's JSON, and how deep they lie in each other: compiling takes time that grows faster
# than the schema, and parsing by recursion takes stack, of which the caller may have used most.
SCHEMA_PARTS_MAX: Final = 40_000
SCHEMA_NESTING_MAX: Final = 300
# Values of a record with those of all records in it: a name that is used twice counts twice.
SCHEMA_VALUES_MAX: Final = 10_000


@dataclass(eq=False)
class Shape:
    """One type of a schema. ``parts`` are a record's fields, an array's items, a map's values, a union's branches.

    ``logical`` is "decimal", "foreign" for the other logical types that fastavro converts, or "": a logical type that
    is unknown or incomplete is ignored, as the specification asks.
    """

    kind: str
    schema: Mapping[str, Any]
    logical: str = ""
    parts: list[Shape] = field(default_factory=list)
    bytes_min: int = 1

    @property
    def name(self) -> str:
        return str(self.schema.get("name", self.kind))

    @property
    def fields(self) -> list[Mapping[str, Any]]:
        return list(self.schema["fields"])

    @property
    def scale(self) -> int:
        return int(self.schema.get("scale") or 0)

    @property
    def precision(self) -> int:
        return int(self.schema["precision"])

    @property
    def foreign_key(self) -> str:
        return f"{self.kind}-{self.schema.get('logicalType')}"

    def walk(self) -> Iterator[Shape]:
        """Each type of the tree once, this one first."""
        seen: set[int] = set()
        pending = [self]
        while pending:
            shape = pending.pop()
            if id(shape) not in seen:
                seen.add(id(shape))
                yield shape
                pending.extend(shape.parts)

    @property
    def is_recursive(self) -> bool:
        """Whether data of the type can be nested without end."""
        return _has_cycle(self, set(), set())

    @property
    def is_optional(self) -> bool:
        """A union of null and one other type, in either order."""
        return self.kind == "union" and len(self.parts) == 2 and [part.kind for part in self.parts].count("null") == 1

    @property
    def is_flat_record(self) -> bool:
        """A record of values that hold no other values: generated code has it in place of a call."""
        leaves = [leaf for part in self.parts for leaf in (part.parts if part.is_optional else [part])]
        return self.kind == "record" and not self.logical and not any(leaf.kind in _COMPOSITE for leaf in leaves)


def shape_of(schema: Any) -> Shape:
    """The tree of a schema as JSON gives it; the schema is left as it is.

    Raises:
        Exception: ValueError for a schema that is too large or means nothing, whatever fastavro raises for others.
    """
    named: dict[str, Any] = {}
    parsed = fastavro.parse_schema(_bounded_copy(schema), named)
    shape = _Reader(named).read(parsed)
    _settle_sizes(shape)
    return shape


def readable_schema(schema: Any) -> Any:
    """A copy of a schema from a registry that is safe to make columns of: what Avro ignores is gone, sizes are numbers.

    Raises:
        ValueError: it is no Avro schema, too large, nested too deeply, or has too many values in each other.
    """
    copy = _bounded_copy(schema)
    try:
        shape = shape_of(copy)
    except Exception as error:  # fastavro raises several unrelated kinds for what is no schema
        raise ValueError(f"not an Avro schema: {error}"[:500]) from error
    if _values(shape, {}) > SCHEMA_VALUES_MAX:
        raise ValueError(f"it has more than {SCHEMA_VALUES_MAX} values in each other")
    return copy


def _values(shape: Shape, known: dict[int, int]) -> int:
    if id(shape) not in known:
        known[id(shape)] = 1  # what holds itself counts once
        known[id(shape)] = 1 + sum(_values(part, known) for part in shape.parts)
    return known[id(shape)]


def _bounded_copy(schema: Any) -> Any:
    """A copy without the decimals that Avro ignores, where fastavro refuses the schema. Not by recursion."""
    copy: list[Any] = [schema]
    pending: list[tuple[Any, Any, int]] = [(copy, 0, 0)]  # where a part lies, under which key, and how deep
    parts = 0
    while pending:
        place, key, depth = pending.pop()
        part = place[key]
        if not isinstance(part, Mapping | list):
            continue
        parts += 1 if isinstance(part, Mapping) else 1 + len(part)
        if parts > SCHEMA_PARTS_MAX or depth > SCHEMA_NESTING_MAX:
            raise ValueError(f"it has more than {SCHEMA_PARTS_MAX} parts or {SCHEMA_NESTING_MAX} levels")
        own: Any
        if isinstance(part, list):
            own = place[key] = list(part)
            pending += [(own, number, depth + 1) for number in range(len(own))]
        else:
            own = place[key] = dict(part)
            if own.get("logicalType") == "decimal" and not _is_decimal(own):
                del own["logicalType"]
            pending += [(own, name, depth + 1) for name in own]
    return copy[0]


def _is_decimal(schema: Mapping[str, Any]) -> bool:
    """Whether the specification lets the logical type count: it is to be ignored otherwise."""
    precision, scale, size = schema.get("precision"), schema.get("scale", 0), schema.get("size")
    if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision or not precision:
        return False
    return type(size) is not int or precision <= math.floor(math.log10(2) * (8 * size - 1))


class _Reader:
    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._known: dict[str, Shape] = {}

    def read(self, schema: Any) -> Shape:
        if isinstance(schema, list):
            return _union([self.read(branch) for branch in schema])
        if isinstance(schema, str):
            if schema in self._named:
                return self._known.get(schema) or self.read(self._named[schema])
            schema = {"type": schema}
        kind = {"error": "record"}.get(schema["type"], schema["type"])
        shape = Shape(kind, schema, _logical(kind, schema))
        if kind in _NAMED:
            self._known[schema["name"]] = shape
        if kind == "fixed" and (type(schema["size"]) is not int or schema["size"] < 0):
            raise ValueError(f"fixed {schema['name']} has size {schema['size']!r}")
        if kind == "record":
            names = [item["name"] for item in schema["fields"]]
            if len(set(names)) != len(names):
                raise ValueError(f"record {schema['name']} has two fields of one name")
            shape.parts.extend(self.read(item["type"]) for item in schema["fields"])
        elif kind in ("array", "map"):
            shape.parts.append(self.read(schema["items" if kind == "array" else "values"]))
        return shape


def _union(branches: list[Shape]) -> Shape:
    """Raises ValueError for a union of which the specification says that there is none."""
    names = [branch.name if branch.kind in _NAMED else branch.kind for branch in branches]
    if "union" in names or len(set(names)) != len(names):
        raise ValueError(f"a union holds {', '.join(names)[:200]}: another union, or a type twice")
    return Shape("union", {}, parts=branches)


def _logical(kind: str, schema: Mapping[str, Any]) -> str:
    name = schema.get("logicalType")
    if name == "decimal" and kind in ("bytes", "fixed"):
        return "decimal" if schema.get("precision") else ""
    key = f"{kind}-{name}"
    return "foreign" if name and (key in LOGICAL_READERS or key in LOGICAL_WRITERS) else ""


def _settle_sizes(shape: Shape) -> None:
    """Least bytes of each type, from below: what contains itself needs no more than its shortest way out."""
    shapes = list(shape.walk())
    for item in shapes:
        item.bytes_min = 0 if item.kind in _COMPOSITE else int(item.schema.get("size", _SIZE_MIN.get(item.kind, 1)))
    for _ in shapes:  # as many rounds as the tree can be deep; fewer leave a lower bound, which is safe as well
        changed = False
        for item in reversed(shapes):
            least = _least(item)
            if least > item.bytes_min:
                item.bytes_min, changed = least, True
        if not changed:
            return


def _least(shape: Shape) -> int:
    if shape.kind == "record":
        return sum(part.bytes_min for part in shape.parts)
    if shape.kind == "union":
        return 1 + min((part.bytes_min for part in shape.parts), default=0)
    return 1 if shape.kind in ("array", "map") else shape.bytes_min


def _has_cycle(shape: Shape, above: set[int], done: set[int]) -> bool:
    key = id(shape)
    if key in above:
        return True
    if key in done:
        return False
    above.add(key)
    found = any(_has_cycle(part, above, done) for part in shape.parts)
    above.discard(key)
    done.add(key)
    return found
