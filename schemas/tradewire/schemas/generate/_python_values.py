"""How a value of a shape is annotated, turned to plain data and back, and written as a default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from fastavro.read import LOGICAL_READERS

from tradewire.schemas._shape import Shape
from tradewire.schemas.generate._python_names import attribute_names, member_names

_PRIMITIVES: Final = {
    "null": "None",
    "boolean": "bool",
    "int": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "string": "str",
    "bytes": "bytes",
    "fixed": "bytes",
}
_FOREIGN: Final = {
    "date": "datetime.date",
    "time-millis": "datetime.time",
    "time-micros": "datetime.time",
    "timestamp-millis": "datetime.datetime",
    "timestamp-micros": "datetime.datetime",
    "local-timestamp-millis": "datetime.datetime",
    "local-timestamp-micros": "datetime.datetime",
    "uuid": "UUID",
}
_IMPORTED: Final = ("Any", "Decimal", "Mapping", "Sequence", "UUID", "datetime")
# Names of loops in loops, outermost first.
_ITEMS: Final = ("item", "inner", "third", "fourth")


@dataclass
class Values:
    """Expressions of one module. ``classes`` names the class of each record and enum by identity of its shape.

    A record or enum without a class there is plain data; so is what a union of several types holds, because nothing in
    decoded data tells which of them it was. ``used`` gathers the names that the module must import.
    """

    classes: Mapping[int, str]
    used: set[str] = field(default_factory=set)

    def annotation(self, shape: Shape) -> str:
        text = self._annotation(shape)
        self.used.update(name for name in _IMPORTED if name in text)
        return text

    def _annotation(self, shape: Shape) -> str:
        if shape.is_optional:
            return f"{self._annotation(_other(shape))} | None"
        if shape.kind == "union":
            found = dict.fromkeys(_plain_annotation(part) for part in shape.parts)
            return " | ".join(sorted(found, key=lambda text: text == "None"))
        name = self._class(shape)
        if name is not None:
            return name
        if not shape.logical and shape.kind == "array":
            return f"tuple[{self._annotation(shape.parts[0])}, ...]"
        if not shape.logical and shape.kind == "map":
            return f"Mapping[str, {self._annotation(shape.parts[0])}]"
        return _plain_annotation(shape)

    def _class(self, shape: Shape) -> str | None:
        name = self.classes.get(id(shape)) if shape.kind in ("record", "enum") and not shape.logical else None
        if name is not None:
            self.used.add(name)
        return name

    def dump(self, shape: Shape, value: str, depth: int = 0) -> str:
        """The expression that makes plain data of ``value``."""
        if shape.is_optional:
            inner = self.dump(_other(shape), value, depth)
            return inner if inner == value else f"None if {value} is None else {inner}"
        if shape.logical or shape.kind == "union":
            return value
        if shape.kind == "record" and self._class(shape):
            return f"{value}.to_data()"
        if shape.kind in ("array", "map"):
            item = _ITEMS[min(depth, 3)]
            inner = self.dump(shape.parts[0], item, depth + 1)
            if shape.kind == "array":
                return f"list({value})" if inner == item else f"[{inner} for {item} in {value}]"
            return f"dict({value})" if inner == item else f"{{key: {inner} for key, {item} in {value}.items()}}"
        return value

    def load(self, shape: Shape, value: str, depth: int = 0) -> str:
        """The expression that undoes ``dump``."""
        if shape.is_optional:
            inner = self.load(_other(shape), value, depth)
            return inner if inner == value else f"None if {value} is None else {inner}"
        if shape.logical or shape.kind == "union":
            return value
        name = self._class(shape)
        if name is not None:
            return f"{name}.from_data({value})" if shape.kind == "record" else f"{name}({value})"
        if shape.kind in ("array", "map"):
            item = _ITEMS[min(depth, 3)]
            inner = self.load(shape.parts[0], item, depth + 1)
            if shape.kind == "array":
                return f"tuple({value})" if inner == item else f"tuple({inner} for {item} in {value})"
            return value if inner == item else f"{{key: {inner} for key, {item} in {value}.items()}}"
        return value

    def default(self, shape: Shape, value: Any) -> str:
        """What stands behind ``=`` of a field; what could be changed in place is made anew for each object."""
        text = self._default(shape, value)
        if not _is_made_anew(shape, value):
            return text
        self.used.add("field")
        return "field(default_factory=dict)" if text == "{}" else f"field(default_factory=lambda: {text})"

    def _default(self, shape: Shape, value: Any) -> str:
        if shape.kind == "union":
            if value is None:
                return "None"
            return self._default(_branch_of(shape, value), value)
        if shape.logical:
            return self._logical_default(shape, value)
        name = self._class(shape)
        if shape.kind == "enum":
            return quoted(value) if name is None else f"{name}.{member_names(shape.schema['symbols'])[value]}"
        if shape.kind == "record":
            return self._record_default(shape, value, name)
        if shape.kind == "array":
            items = [self._default(shape.parts[0], item) for item in value]
            return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
        if shape.kind == "map":
            return _dict_text({key: self._default(shape.parts[0], item) for key, item in value.items()})
        if shape.kind in ("bytes", "fixed"):
            return quoted(value.encode("latin-1"))
        return quoted(value) if isinstance(value, str) else repr(_number(shape, value))

    def _logical_default(self, shape: Shape, value: Any) -> str:
        if shape.logical == "decimal":
            self.used.add("Decimal")
            return f'Decimal("{_decimal(shape, value)}")'
        read = LOGICAL_READERS.get(shape.foreign_key)
        text = repr(value if read is None else read(value, dict(shape.schema), None)).replace("'", '"')
        self.used.update(name for name in ("UUID", "datetime") if text.startswith(name))
        return text

    def _record_default(self, shape: Shape, value: Mapping[str, Any], name: str | None) -> str:
        parts = {
            item["name"]: self._default(part, value.get(item["name"], item.get("default")))
            for item, part in zip(shape.fields, shape.parts, strict=True)
        }
        if name is None:
            return _dict_text(parts)
        attributes = attribute_names(list(parts), self.classes.values())
        return f"{name}({', '.join(f'{attributes[key]}={text}' for key, text in parts.items())})"


def quoted(value: str | bytes) -> str:
    """A literal in the quotes that `ruff format` would choose: double ones unless they need more escapes."""
    literal = repr(value)
    prefix = "b" if isinstance(value, bytes) else ""
    quote, body = literal[len(prefix)], literal[len(prefix) + 1 : -1]
    if quote == '"' or body.count('"') > body.count("'"):
        return literal
    body = body.replace("\\'", "'").replace('"', '\\"')
    return f'{prefix}"{body}"'


def _dict_text(items: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{quoted(key)}: {text}' for key, text in items.items())}}}"


def _other(shape: Shape) -> Shape:
    return next(part for part in shape.parts if part.kind != "null")


def _plain_annotation(shape: Shape) -> str:
    if shape.logical == "decimal":
        return "Decimal"
    if shape.logical == "foreign":
        return _FOREIGN.get(str(shape.schema["logicalType"]), "Any")
    plain = {"record": "Mapping[str, Any]", "map": "Mapping[str, Any]", "array": "Sequence[Any]", "enum": "str"}
    return plain.get(shape.kind) or _PRIMITIVES[shape.kind]


def _is_made_anew(shape: Shape, value: Any) -> bool:
    if shape.kind == "union":
        return value is not None and _is_made_anew(_branch_of(shape, value), value)
    if shape.kind == "array":
        return any(_is_made_anew(shape.parts[0], item) for item in value)
    return shape.kind in ("record", "map") and not shape.logical


def _branch_of(shape: Shape, value: Any) -> Shape:
    return next(part for part in shape.parts if _could_be(part, value))


def _number(shape: Shape, value: Any) -> Any:
    return float(value) if shape.kind in ("float", "double") else value


def _could_be(shape: Shape, value: Any) -> bool:
    kinds: dict[type, tuple[str, ...]] = {
        bool: ("boolean",),
        int: ("int", "long", "float", "double"),
        float: ("float", "double"),
        str: ("string", "enum", "bytes", "fixed"),
        list: ("array",),
        dict: ("record", "map"),
    }
    return shape.kind in kinds.get(type(value), ())


def _decimal(shape: Shape, value: str) -> Decimal:
    unscaled = int.from_bytes(value.encode("latin-1"), "big", signed=True)
    return Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -shape.scale))
