"""The difference of two schemas, field by field, as a person would tell it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One change. ``field`` is "" for the record itself; ``what`` is added, removed, renamed, type, doc and so on."""

    field: str
    what: str
    old: str = ""
    new: str = ""


def differences(old: Mapping[str, Any], new: Mapping[str, Any], field: str = "") -> list[Difference]:
    """What changed from one record to another; fields are matched by name, else by the new one's aliases."""
    return list(_record(old, new, field))


def _record(old: Mapping[str, Any], new: Mapping[str, Any], field: str) -> Iterator[Difference]:
    for what in ("name", "namespace", "aliases", "doc"):
        yield from _attribute(field, what, old, new)
    prefix = f"{field}." if field else ""
    before = {item["name"]: item for item in old["fields"]}
    after = {item["name"]: item for item in new["fields"]}
    renamed: set[str] = set()
    for name, item in after.items():
        source = name if name in before else None
        source = source or next(
            (alias for alias in item.get("aliases", ()) if alias in before and alias not in after), None
        )
        if source is None:
            default = f" = {json.dumps(item['default'], ensure_ascii=False)}" if "default" in item else ", no default"
            yield Difference(prefix + name, "added", "", type_text(item["type"]) + default)
            continue
        if source != name:
            renamed.add(source)
            yield Difference(prefix + name, "renamed", source, name)
        yield from _field(prefix + name, before[source], item)
    for name in before:
        if name not in after and name not in renamed:
            yield Difference(prefix + name, "removed", type_text(before[name]["type"]), "")
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        yield Difference(field, "order of fields", ", ".join(kept), ", ".join(name for name in after if name in before))


def _field(field: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    was, now = type_text(old["type"]), type_text(new["type"])
    if was != now:
        yield Difference(field, "type", was, now)
    for what in ("default", "aliases", "order", "doc"):
        yield from _attribute(field, what, old, new)
    mark, one, other = "", _definition(old["type"]), _definition(new["type"])
    if one is None or other is None or one["type"] != other["type"]:
        return
    if one["type"] == "record":
        mark = "[]" if now.count("array of ") else ""
        yield from _record(one, other, field + mark)
    elif one["type"] == "enum":
        lost = [symbol for symbol in one["symbols"] if symbol not in other["symbols"]]
        won = [symbol for symbol in other["symbols"] if symbol not in one["symbols"]]
        if lost or won:
            yield Difference(
                field, "symbols", "- " + ", ".join(lost) if lost else "", "+ " + ", ".join(won) if won else ""
            )
        elif one["symbols"] != other["symbols"]:
            yield Difference(field, "order of symbols", ", ".join(one["symbols"]), ", ".join(other["symbols"]))
        for what, name in (
            ("default", "default of the enum"),
            ("aliases", "aliases of the enum"),
            ("doc", "doc of the enum"),
        ):
            yield from _attribute(field, what, one, other, name)
    elif one["type"] == "fixed" and one["size"] != other["size"]:
        yield Difference(field, "size", str(one["size"]), str(other["size"]))


def _attribute(
    field: str, what: str, old: Mapping[str, Any], new: Mapping[str, Any], name: str = ""
) -> Iterator[Difference]:
    was, now = old.get(what, _MISSING), new.get(what, _MISSING)
    if was != now or type(was) is not type(now):
        yield Difference(field, name or what, _text(was), _text(now))


def _text(value: Any) -> str:
    if value is _MISSING:
        return "(none)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _definition(schema: Any) -> Mapping[str, Any] | None:
    """The named type that a field defines in place, through array, map and the one branch of a union that does."""
    if isinstance(schema, list):
        found = [definition for definition in map(_definition, schema) if definition is not None]
        return found[0] if len(found) == 1 else None
    if not isinstance(schema, Mapping):
        return None
    kind = schema["type"]
    if kind in ("record", "enum", "fixed"):
        return schema
    if kind in ("array", "map"):
        return _definition(schema["items" if kind == "array" else "values"])
    return None if isinstance(kind, str) else _definition(kind)


def type_text(schema: Any) -> str:
    """A type in one line: ``null or array of record Leg``, ``decimal(38, 18)``."""
    if isinstance(schema, list):
        return " or ".join(map(type_text, schema))
    if not isinstance(schema, Mapping):
        return str(schema)
    kind = schema["type"]
    if not isinstance(kind, str):
        return type_text(kind)
    if schema.get("logicalType") == "decimal":
        return f"decimal({schema.get('precision')}, {schema.get('scale', 0)})"
    if "logicalType" in schema:
        return f"{schema['logicalType']} ({kind})"
    if kind in ("array", "map"):
        return f"{kind} of {type_text(schema['items' if kind == 'array' else 'values'])}"
    return f"{kind} {schema['name']}" if "name" in schema else kind
