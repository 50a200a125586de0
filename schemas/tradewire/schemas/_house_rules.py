"""Rules of this house, for what Avro calls compatible although a value comes out as another one.

Avro's Java implementation ignores logical types here: a decimal of scale 8 read with scale 18 is the same bytes and
another price. Types that Avro cannot read are passed over: Avro has said so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tradewire.schemas._compatibility_texts import Side
from tradewire.schemas._incompatibility import Incompatibility, Place, Rule, Severity
from tradewire.schemas._schema_tree import Node

Readable = Callable[[Node, Node], bool]
_LOSSY = {("long", "float"), ("long", "double"), ("int", "float")}


class HouseRules:
    """One comparison; ``readable`` is Avro's verdict on any pair of types."""

    def __init__(self, readable: Readable, changed: Side, reader_name: str, writer_name: str) -> None:
        self._readable = readable
        self._changed = changed
        self._reader_name, self._writer_name = reader_name, writer_name
        self._seen: set[tuple[int, int]] = set()

    def findings(self, reader: Node, writer: Node, place: Place) -> Iterator[Incompatibility]:
        """LOGICAL_TYPE_MISMATCH as errors, LOSSY_PROMOTION and BYTES_AS_TEXT as warnings; each pair of types once."""
        if (id(reader), id(writer)) in self._seen:
            return
        self._seen.add((id(reader), id(writer)))
        if writer.kind == "union":
            for number, branch in enumerate(writer.parts):
                yield from self.findings(reader, branch, place.branch(number, branch))
        elif reader.kind == "union":
            taken = self._branch(reader, writer)
            if taken is not None:
                yield from self.findings(taken, writer, place)
        elif reader.kind == writer.kind or self._readable(reader, writer):
            yield from self._values(reader, writer, place)
            yield from self._parts(reader, writer, place)

    def _branch(self, reader: Node, writer: Node) -> Node | None:
        """The branch that a reader takes: the first of the same type, else the first it can be promoted to."""
        fitting = [branch for branch in reader.parts if self._readable(branch, writer)]
        return next((branch for branch in fitting if branch.kind == writer.kind), fitting[0] if fitting else None)

    def _parts(self, reader: Node, writer: Node, place: Place) -> Iterator[Incompatibility]:
        if reader.kind != writer.kind:
            return
        if reader.kind in ("array", "map"):
            token, mark = ("items", "[]") if reader.kind == "array" else ("values", "{}")
            yield from self.findings(reader.parts[0], writer.parts[0], place.down(token, mark=mark))
        written = {item.name: item for item in writer.fields}
        for number, item in enumerate(reader.fields):
            source = next((written[name] for name in (item.name, *item.aliases) if name in written), None)
            if source is not None:
                here = place.down("fields").into_field(number, item.name).down("type")
                yield from self.findings(item.type, source.type, here)

    def _values(self, reader: Node, writer: Node, place: Place) -> Iterator[Incompatibility]:
        where = place.field or "the value"
        if not _same_meaning(reader, writer):
            keep, other = self._kept(reader, writer)
            yield self._incompatible(
                Rule.LOGICAL_TYPE_MISMATCH,
                Severity.ERROR,
                place,
                f"{where} is {reader.title} in {self._reader_name} and {writer.title} in {self._writer_name}: the same "
                "bytes, another value",
                f"keep {keep.title}, as in {other}; for another one add a field of another name with a default",
            )
        elif (writer.kind, reader.kind) == ("bytes", "string"):
            yield self._incompatible(
                Rule.BYTES_AS_TEXT,
                Severity.WARNING,
                place,
                f"{where} is bytes in {self._writer_name} and string in {self._reader_name}: bytes that are not UTF-8 "
                "cannot be read",
                f"make sure that {self._writer_name} only ever wrote text, or add a field of another name",
            )
        elif (writer.kind, reader.kind) in _LOSSY:
            keep, _ = self._kept(reader, writer)
            yield self._incompatible(
                Rule.LOSSY_PROMOTION,
                Severity.WARNING,
                place,
                f"{where} is {writer.kind} in {self._writer_name} and {reader.kind} in {self._reader_name}: large "
                "numbers lose their last digits",
                f"keep {keep.kind}, or use a decimal in a field of another name",
            )

    def _kept(self, reader: Node, writer: Node) -> tuple[Node, str]:
        return (writer, self._writer_name) if self._changed == "reader" else (reader, self._reader_name)

    def _incompatible(self, rule: Rule, severity: Severity, place: Place, message: str, fix: str) -> Incompatibility:
        return Incompatibility(
            rule, place.path, message, fix, severity, location=place.location, detail=message, field=place.field
        )


def _same_meaning(reader: Node, writer: Node) -> bool:
    """A wider precision holds every older value; a uuid is text and may be read as text. Nothing else is free."""
    if reader.logical == writer.logical == "decimal":
        return reader.scale == writer.scale and reader.precision >= writer.precision
    return reader.logical == writer.logical or (writer.logical == "uuid" and not reader.logical)
