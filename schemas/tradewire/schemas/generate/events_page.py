"""The page of events (``events.md``) as Markdown text: a table per domain, and below it the fields of every type."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tradewire.schemas._shape import Shape, shape_of
from tradewire.schemas.catalogue import Catalogue, EventType
from tradewire.schemas.generate._python_names import camel_case, module_name
from tradewire.schemas.topics import Topics

_INTRODUCTION: Final = """\
# Events

<!-- Made by `tradewire schemas docs` from the Avro files and the declared topics; do not edit. -->

Types are `<domain>.<entity>.<fact in the past tense>`. The key of a record is its aggregate id (`ce_subject`): the
named fields, joined by `:`. One aggregate has one partition and one order. Fields are those of the newest version; data
of older versions is read as the newest. Fields marked *required* have no default. Decimals are exact (Avro `bytes` with
`decimal`), `*_ns` are nanoseconds in a `long`, times among them since the Unix epoch in UTC. A version that Avro alone
cannot read the one before as is marked *breaking*: an upcaster leads over. Python classes of the built-in types are in
`tradewire.schemas.types`, a user's where `tradewire schemas generate-types` wrote them.
"""
_PREDECESSORS: Final = """
Predecessor names say where an event comes from: `P` postgres-event-bus, `E` enhanced-event-bus,
`M` event-system-module, `R` redis-streams-service, `D` discord-setup-pipeline.
"""


def events_page(catalogue: Catalogue, topics: Topics) -> str:
    """The whole page. The same files give the same text.

    Raises:
        UnknownEventType: a type has no declared topic.
    """
    parts = [_INTRODUCTION]
    if any(_property(type, "predecessors") for type in catalogue.values()):
        parts.append(_PREDECESSORS)
    parts.append("\n" + " · ".join(f"[{domain}](#{domain})" for domain in catalogue.domains) + "\n")
    for domain in catalogue.domains:
        types = catalogue.of_domain(domain)
        parts.append(f"\n## {domain}\n\n")
        parts.append(
            "| event type | meaning | version | topic | key | predecessor's name |\n|---|---|---|---|---|---|\n"
        )
        parts.extend(_summary(type, topics) for type in types)
        parts.extend(_details(type) for type in types)
    return "".join(parts)


def _summary(type: EventType, topics: Topics) -> str:
    anchor = type.name.replace(".", "")
    meaning = str(type.latest.schema.get("doc", "")).split(". ")[0].removesuffix(".")
    versions = ", ".join(f"v{schema.version}{' (breaking)' if schema.is_breaking else ''}" for schema in type.versions)
    key = str(_property(type, "aggregate") or "").replace(":", " : ")
    predecessors = "; ".join(_property(type, "predecessors") or ())
    cells = (f"[`{type.name}`](#{anchor})", meaning, versions, f"`{topics.of_type(type).name}`", key, predecessors)
    return _row(*cells)


def _details(type: EventType) -> str:
    latest = type.latest
    lines = [f"\n### {type.name}\n\n{latest.schema.get('doc', '')}\n"]
    python = f"{module_name(type.domain)}.{camel_case(type.name.partition('.')[2])}"
    record = f"Avro `{latest.name}` v{latest.version}, Python `{python}`"
    lines.append(f"\n{record}.\n\n| field | type | default | meaning |\n|---|---|---|---|\n")
    lines.extend(_row(*cells) for cells in _fields(shape_of(json.loads(latest.text)), "", ()))
    return "".join(lines)


def _fields(record: Shape, path: str, above: tuple[Shape, ...]) -> Iterator[tuple[str, str, str, str]]:
    """Each field, those of records inside it right after it; a record inside itself is not opened again."""
    for field, shape in zip(record.fields, record.parts, strict=True):
        name = f"{path}{field['name']}"
        default = f"`{json.dumps(field['default'], ensure_ascii=False)}`" if "default" in field else "*required*"
        yield f"`{name}`", _type(shape), default, str(field.get("doc", ""))
        inner, suffix = shape, ""
        while inner.kind in ("array", "map") or inner.is_optional:
            suffix += {"array": "[]", "map": "{}"}.get(inner.kind, "")
            inner = next(part for part in inner.parts if part.kind != "null")
        if inner.kind == "record" and inner not in (*above, record):
            yield from _fields(inner, f"{name}{suffix}.", (*above, record))


def _type(shape: Shape) -> str:
    if shape.kind == "union":
        return " or ".join(_type(part) for part in sorted(shape.parts, key=lambda part: part.kind == "null"))
    if shape.logical == "decimal":
        return f"decimal({shape.precision}, {shape.scale})"
    if shape.logical:
        return f"{shape.kind} ({shape.schema['logicalType']})"
    short = shape.name.rpartition(".")[2]
    if shape.kind == "enum":
        return f"{short}: {', '.join(shape.schema['symbols'])}"
    if shape.kind in ("array", "map"):
        return f"{shape.kind} of {_type(shape.parts[0])}"
    return {"record": short, "fixed": f"fixed({shape.schema.get('size')})"}.get(shape.kind, shape.kind)


def _property(type: EventType, name: str) -> Any:
    properties: Mapping[str, Any] = type.latest.schema.get("tradewire", {})
    return properties.get(name)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
