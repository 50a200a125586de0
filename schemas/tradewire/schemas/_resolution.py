"""Which type of a reader's schema takes the data of a writer's type, by the Avro specification's resolution rules.

Of a reader's union the first branch of the same type is taken, and only then the first that the data can be promoted
to, as Java does; fastavro would turn a string into the bytes that stand before it in an unchanged union.
"""

from __future__ import annotations

from typing import Final

from tradewire.schemas._shape import Shape

_PROMOTIONS: Final = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
    ("string", "bytes"),
    ("bytes", "string"),
}


class Unresolvable(Exception):
    """Raised when data of the writer has no place in the reader's schema."""


def matches(writer: Shape, reader: Shape) -> bool:
    """Whether data of ``writer`` may be read as ``reader``; unions are decided branch by branch, when data is there."""
    if "union" in (writer.kind, reader.kind):
        return True
    if writer.kind != reader.kind:
        return (writer.kind, reader.kind) in _PROMOTIONS
    if writer.kind in ("array", "map"):
        return matches(writer.parts[0], reader.parts[0])
    if writer.kind in ("record", "enum", "fixed"):
        return _names_match(writer, reader) and writer.schema.get("size") == reader.schema.get("size")
    return True


def _names_match(writer: Shape, reader: Shape) -> bool:
    bare = writer.name.rsplit(".", 1)[-1]
    return bare == reader.name.rsplit(".", 1)[-1] or not {writer.name, bare}.isdisjoint(
        reader.schema.get("aliases") or ()
    )


def matching_branch(writer: Shape, reader: Shape) -> Shape | None:
    """The type that takes data of ``writer``, which is no union: ``reader`` or a branch of it."""
    candidates = reader.parts if reader.kind == "union" else [reader]
    matching = [branch for branch in candidates if matches(writer, branch)]
    return next((branch for branch in matching if branch.kind == writer.kind), matching[0] if matching else None)


def symbols_for(writer: Shape, reader: Shape | None) -> dict[int, str]:
    """The symbol for each number on the wire. One that the reader does not know becomes his default, or is absent."""
    numbered = {2 * index: str(symbol) for index, symbol in enumerate(writer.schema["symbols"])}
    if reader is None:
        return numbered
    known = reader.schema["symbols"]
    default = reader.schema.get("default")
    found = {number: symbol if symbol in known else default for number, symbol in numbered.items()}
    return {number: symbol for number, symbol in found.items() if symbol is not None}


def pair_fields(writer: Shape, reader: Shape) -> list[tuple[int | None, int]]:
    """For each reader's field the number of the writer's field that fills it: of the same name, or of an alias."""
    free = {field["name"]: number for number, field in enumerate(writer.fields)}
    own = {field["name"] for field in reader.fields}
    pairs: list[tuple[int | None, int]] = []
    for number, field in enumerate(reader.fields):
        aliases = [name for name in field.get("aliases") or () if name not in own]
        name = next((name for name in (field["name"], *aliases) if name in free), None)
        pairs.append((None if name is None else free.pop(name), number))
    return pairs
