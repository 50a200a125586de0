"""Python classes of event types as source text: one module per event type, one folder per domain.

A class has the fields of the newest version of its type, frozen. Nested records and enums of a domain are in its
``named_types``: events that share one share its class.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from tradewire.core.errors import SchemaFileError
from tradewire.schemas._shape import Shape, shape_of
from tradewire.schemas.catalogue import EventType
from tradewire.schemas.generate._python_names import attribute_names, camel_case, member_names, module_name
from tradewire.schemas.generate._python_values import Values, quoted

# In the first line of every file made here; a file without it is never overwritten or removed.
MARK: Final = "Made by `tradewire schemas generate-types`; do not edit."
NAMED: Final = "named_types"
_WIDTH: Final = 120
_FROM: Final = {
    "Mapping": "collections.abc",
    "Sequence": "collections.abc",
    "dataclass": "dataclasses",
    "field": "dataclasses",
    "Decimal": "decimal",
    "StrEnum": "enum",
    "Any": "typing",
    "ClassVar": "typing",
    "Self": "typing",
    "UUID": "uuid",
}


def python_types(types: Iterable[EventType]) -> dict[str, str]:
    """The files of a package by their path in it. The same types give the same text, in the form of ``ruff format``.

    Raises:
        SchemaFileError: two event types of a domain would be one module; names both.
    """
    ordered = sorted(types, key=lambda type: type.name)
    domains = {domain: list(group) for domain, group in groupby(ordered, key=lambda type: type.domain)}
    names = ", ".join(f"``{module_name(domain)}``" for domain in domains)
    files = {
        "__init__.py": _text(["", *_docstring(f"Event types as classes, one module per domain: {names}. {MARK}", "")])
    }
    for domain, members in domains.items():
        files |= {f"{module_name(domain)}/{name}": text for name, text in _Domain(domain, members).files().items()}
    return files


class _Domain:
    """Names and files of one domain."""

    def __init__(self, domain: str, types: Sequence[EventType]) -> None:
        self._domain = domain
        self._types = types
        self._shapes = {type.name: shape_of(json.loads(type.latest.text)) for type in types}
        self._modules: dict[str, str] = {}
        for type in types:
            module = module_name(type.name.partition(".")[2])
            clash = NAMED if module == NAMED else self._modules.get(module)
            if clash is not None:
                raise SchemaFileError(
                    f"{type.latest.file}: {type.name} and {clash} would both be the module {module}: rename one",
                    file=str(type.latest.file),
                )
            self._modules[module] = type.name
        # Not the record's name: that may change with a version.
        self._class_of = {type.name: camel_case(type.name.partition(".")[2]) for type in types}
        self._named = _Named(self._shapes, self._class_of)

    def files(self) -> dict[str, str]:
        files = {f"{module}.py": self._event(name) for module, name in self._modules.items()}
        if self._named.shapes:
            files[f"{NAMED}.py"] = self._named_types()
        modules = {module: [self._class_of[name]] for module, name in self._modules.items()}
        if self._named.shapes:
            modules[NAMED] = sorted(self._named.shapes)
        exported = sorted((name for names in modules.values() for name in names), key=_export_order)
        lines = _docstring(f"The event types of {self._domain}. {MARK}", "")
        lines += ["", *(_import(f".{module}", names) for module, names in sorted(modules.items()))]
        lines += ["", "__all__ = [", *(f'    "{name}",' for name in exported), "]"]
        files["__init__.py"] = _text(lines)
        return files

    def _event(self, name: str) -> str:
        type = next(type for type in self._types if type.name == name)
        shape = self._shapes[name]
        own = self._class_of[name]
        values = Values({**self._named.classes, id(shape): own})
        constants = {
            "event_type": ("str", quoted(name)),
            "schema_version": ("int", str(type.latest.version)),
            "aggregate": ("str", quoted(str(type.latest.schema.get("tradewire", {}).get("aggregate", "")))),
        }
        body = _record(shape, own, values, constants)
        return _module(f"{name} v{type.latest.version}. {MARK}", [body], values.used, own=[own])

    def _named_types(self) -> str:
        values = Values(self._named.classes)
        enums, records = [], []
        for name, shape in sorted(self._named.shapes.items()):
            if shape.kind == "enum":
                values.used.add("StrEnum")
                enums.append(_enum(shape, name, self._named.symbols[name]))
            else:
                records.append(_record(shape, name, values, {}))
        title = f"Records and enums inside the event types of {self._domain}. {MARK}"
        return _module(title, enums + records, values.used, own=list(self._named.shapes))


class _Named:
    """A class for each nested record and enum; those of one full name and meaning share it.

    Enums of one full name share a class even when a newer version of one event has more symbols: it has them all, and
    the codec refuses those that an event does not know.
    """

    def __init__(self, shapes: Mapping[str, Shape], class_of: Mapping[str, str]) -> None:
        self.classes: dict[int, str] = {}
        self.shapes: dict[str, Shape] = {}
        self.symbols: dict[str, list[str]] = {}
        by_meaning: dict[str, str] = {}
        taken = set(class_of.values())
        for type, root in shapes.items():
            for shape in root.walk():
                if shape is root or shape.logical or shape.kind not in ("record", "enum"):
                    continue
                meaning = _meaning(shape)
                name = by_meaning.get(meaning)
                if name is None:
                    short = shape.name.rpartition(".")[2]
                    name = by_meaning[meaning] = short if short not in taken else f"{class_of[type]}{short}"
                    while name in taken:
                        name = by_meaning[meaning] = f"{name}_"
                    taken.add(name)
                    self.shapes[name] = shape
                self.classes[id(shape)] = name
                if shape.kind == "enum":
                    self._add_symbols(name, shape)

    def _add_symbols(self, name: str, shape: Shape) -> None:
        known = self.symbols.setdefault(name, [])
        own = list(shape.schema["symbols"])
        if len(own) > len(known):
            self.shapes[name] = shape
            known[:], own = own, list(known)
        known.extend(symbol for symbol in own if symbol not in known)


def _meaning(shape: Shape, above: tuple[str, ...] = ()) -> str:
    """Equal for records that hold the same, whatever their docs say; an enum is known by its name alone."""
    if shape.kind == "enum" or shape.name in above:
        return f"{shape.kind} {shape.name}"
    parts = [_meaning(part, (*above, shape.name) if shape.kind == "record" else above) for part in shape.parts]
    if shape.kind == "record":
        defaults = [item.get("default", "none") if "default" in item else "absent" for item in shape.fields]
        names = [item["name"] for item in shape.fields]
        return json.dumps([shape.name, list(zip(names, parts, defaults, strict=True))])
    size = [shape.schema.get(key) for key in ("logicalType", "precision", "scale", "size", "name")]
    return json.dumps([shape.kind, size, parts])


def _record(shape: Shape, name: str, values: Values, constants: Mapping[str, tuple[str, str]]) -> list[str]:
    values.used.update(("Any", "Mapping", "Self", "dataclass"))
    attributes = attribute_names([item["name"] for item in shape.fields], values.classes.values())
    lines = ["@dataclass(frozen=True, slots=True, kw_only=True)", f"class {name}:"]
    lines += _docstring(str(shape.schema.get("doc") or f"The record {shape.name}."), "    ")
    lines.append("")
    if constants:
        values.used.add("ClassVar")
        lines += [f"    {key}: ClassVar[{kind}] = {value}" for key, (kind, value) in constants.items()]
        lines.append("")
    for item, part in zip(shape.fields, shape.parts, strict=True):
        default = f" = {values.default(part, item['default'])}" if "default" in item else ""
        lines.append(f"    {attributes[item['name']]}: {values.annotation(part)}{default}")
        if item.get("doc"):
            lines += _docstring(item["doc"], "    ")
    if shape.fields:
        lines.append("")
    dumped = {item["name"]: values.dump(part, f"self.{attributes[item['name']]}") for item, part in _fields(shape)}
    loaded = {
        attributes[item["name"]]: values.load(part, f"data[{quoted(item['name'])}]") for item, part in _fields(shape)
    }
    lines += ["    def to_data(self) -> dict[str, Any]:", '        """A new dict for the codec."""']
    lines += _block("        return {", [f"{quoted(key)}: {text}," for key, text in dumped.items()], "}")
    lines += ["", "    @classmethod", "    def from_data(cls, data: Mapping[str, Any]) -> Self:"]
    lines.append('        """The object of decoded data; KeyError names a field that is not there."""')
    lines += _block("        return cls(", [f"{key}={text}," for key, text in loaded.items()], ")")
    return lines


def _fields(shape: Shape) -> list[tuple[Mapping[str, Any], Shape]]:
    return list(zip(shape.fields, shape.parts, strict=True))


def _enum(shape: Shape, name: str, symbols: Sequence[str]) -> list[str]:
    members = member_names(symbols)
    lines = [f"class {name}(StrEnum):", *_docstring(str(shape.schema.get("doc") or f"The enum {shape.name}."), "    ")]
    return [*lines, "", *(f'    {members[symbol]} = "{symbol}"' for symbol in symbols)]


def _module(title: str, classes: Sequence[list[str]], used: Iterable[str], own: Sequence[str]) -> str:
    wanted = set(used)
    lines = [*_docstring(title, ""), "", "from __future__ import annotations", ""]
    if "datetime" in wanted:
        lines.append("import datetime")
    for module in sorted(set(_FROM.values())):
        names = sorted(name for name in wanted if _FROM.get(name) == module)
        if names:
            lines.append(_import(module, names))
    named = sorted(wanted - {*_FROM, *own, "datetime"})
    if named:
        lines += ["", _import(f".{NAMED}", named)]
    for body in classes:
        lines += ["", "", *body]
    return _text(lines)


def _import(module: str, names: Sequence[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join((f"from {module} import (", *(f"    {name}," for name in names), ")"))


def _block(opening: str, items: Sequence[str], closing: str) -> list[str]:
    if not items:
        return [f"{opening}{closing}"]
    return [opening, *(f"            {item}" for item in items), f"        {closing}"]


def _docstring(text: str, indent: str) -> list[str]:
    text = " ".join(text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').split())
    if len(indent) + len(text) + 6 <= _WIDTH and not text.endswith('"') and not text.startswith('"'):
        return [f'{indent}"""{text}"""']
    text = f'{indent}"""{text}'
    lines = textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_long_words=False)
    if len(lines) == 1:  # the quotes alone on a second line are no form of ruff's
        lines = textwrap.wrap(text, len(text) - 1, subsequent_indent=indent, break_long_words=False)
    return [*lines, f'{indent}"""']


def _export_order(name: str) -> tuple[bool, str]:
    # ruff's RUF022: names in capitals are constants and come first.
    return not name.isupper(), name


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines).lstrip("\n") + "\n"
