"""Whether one Avro schema can read what another wrote, and whether a new version may follow its history.

The rules are those of ``SchemaCompatibility`` of Avro's Java implementation (1.12), which Confluent's registry asks as
well: the same verdict, the same rules in the same order, the same locations. ``strict`` adds rules of this house for
what Avro calls compatible although it changes values silently (``_house_rules``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from tradewire.core.errors import ContractError
from tradewire.schemas._compatibility_texts import Side, explain
from tradewire.schemas._house_rules import HouseRules
from tradewire.schemas._incompatibility import Incompatibility, Place, Rule, Severity
from tradewire.schemas._schema_tree import Field, Node, tree_of

__all__ = [
    "CompatibilityLevel",
    "Direction",
    "Finding",
    "Incompatibility",
    "Rule",
    "Severity",
    "can_read",
    "check_compatibility",
]

_PROMOTIONS: Final = {
    "long": frozenset({"int"}),
    "float": frozenset({"int", "long"}),
    "double": frozenset({"int", "long", "float"}),
    "bytes": frozenset({"string"}),
    "string": frozenset({"bytes"}),
}


class CompatibilityLevel(StrEnum):
    """What a new version of a subject must keep, by the names that every Confluent-compatible registry uses."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @property
    def is_transitive(self) -> bool:
        """Whether all versions count; otherwise only the last does."""
        return self.endswith("_TRANSITIVE")

    @property
    def directions(self) -> tuple[Direction, ...]:
        if self is CompatibilityLevel.NONE:
            return ()
        kind = self.removesuffix("_TRANSITIVE")
        return tuple(Direction) if kind == "FULL" else (Direction(kind),)


class Direction(StrEnum):
    """BACKWARD: the new version reads what the older wrote. FORWARD: the older reads what the new one writes."""

    BACKWARD = "BACKWARD"
    FORWARD = "FORWARD"


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a new version does not go with a version of its history (``against``, counted from 0)."""

    against: int
    direction: Direction
    incompatibility: Incompatibility

    @property
    def is_error(self) -> bool:
        return self.incompatibility.severity is Severity.ERROR


def can_read(
    reader: Any,
    writer: Any,
    *,
    strict: bool = False,
    changed: Side = "reader",
    reader_name: str = "the reader",
    writer_name: str = "the writer",
) -> list[Incompatibility]:
    """Why data of ``writer`` may fail to be read as ``reader``; empty when all of it can be read.

    Schemas are JSON text or what ``json.loads`` makes of it. ``changed`` is the side that can still be edited: the fix
    is worded for it. With ``strict`` the house's own rules follow Avro's; some are warnings, see their ``severity``.

    Raises:
        ContractError: one of the two is not an Avro schema.
    """
    reader_tree, writer_tree = tree_of(reader), tree_of(writer)
    checker = _Checker(changed, reader_name, writer_name)
    try:
        found = list(checker.compare(reader_tree, writer_tree, Place()))
    except _AmbiguousAlias as ambiguous:
        # Java raises here, and a registry answers "incompatible" with that one message.
        return [checker.incompatible(Rule.AMBIGUOUS_ALIAS, *ambiguous.pair, ambiguous.place, ambiguous.detail)]
    except RecursionError:
        raise ContractError("the schemas are nested too deep to be compared") from None
    if strict:
        house = HouseRules(checker.is_readable, changed, reader_name, writer_name)
        found += list(house.findings(reader_tree, writer_tree, Place()))
    return found


def check_compatibility(
    new: Any,
    history: Sequence[Any],
    level: CompatibilityLevel | str,
    *,
    strict: bool = False,
    new_name: str = "the new version",
    names: Sequence[str] | None = None,
) -> list[Finding]:
    """What forbids ``new`` to follow ``history`` (oldest first) at ``level``; empty when it may.

    As in a registry: without TRANSITIVE only the last version counts, and nothing is forbidden to a first version or
    at NONE. Every version is asked, not only up to the first refusal. ``names`` are those of the history in messages.

    Raises:
        ContractError: one of them is not an Avro schema. ValueError: no such level.
    """
    level = CompatibilityLevel(level)
    first = 0 if level.is_transitive else max(0, len(history) - 1)
    findings: list[Finding] = []
    for number in range(first, len(history)):
        old_name = names[number] if names else f"version {number + 1}"
        for direction in level.directions:
            backward = direction is Direction.BACKWARD
            found = can_read(
                new if backward else history[number],
                history[number] if backward else new,
                strict=strict,
                changed="reader" if backward else "writer",
                reader_name=new_name if backward else old_name,
                writer_name=old_name if backward else new_name,
            )
            findings += (Finding(number, direction, item) for item in dict.fromkeys(found))
    return findings


class _AmbiguousAlias(Exception):
    def __init__(self, reader: Node, writer: Node, place: Place, detail: str) -> None:
        super().__init__(detail)
        self.pair, self.place, self.detail = (reader, writer), place, detail


class _Checker:
    """One comparison. A pair that is being compared further up counts as compatible until proven otherwise."""

    def __init__(self, changed: Side, reader_name: str, writer_name: str) -> None:
        self._changed: Side = changed
        self._names = (reader_name, writer_name)
        self._known: dict[tuple[int, int], tuple[Incompatibility, ...]] = {}

    def compare(self, reader: Node, writer: Node, place: Place) -> tuple[Incompatibility, ...]:
        pair = (id(reader), id(writer))
        known = self._known.get(pair)
        if known is None:
            self._known[pair] = ()
            known = self._known[pair] = tuple(self._compare(reader, writer, place))
        return known

    def is_readable(self, reader: Node, writer: Node) -> bool:
        return not self.compare(reader, writer, Place())

    def incompatible(
        self,
        rule: Rule,
        reader: Node,
        writer: Node,
        place: Place,
        detail: str,
        causes: Sequence[Incompatibility] = (),
    ) -> Incompatibility:
        message, fix = explain(rule, reader, writer, place, detail, self._changed, *self._names, causes)
        return Incompatibility(
            rule,
            place.path,
            message,
            fix,
            location=place.location,
            detail=detail,
            field=place.field,
            causes=tuple(causes),
        )

    def _compare(self, reader: Node, writer: Node, place: Place) -> Iterator[Incompatibility]:
        if reader.kind != writer.kind:
            yield from self._compare_kinds(reader, writer, place)
        elif reader.kind in ("array", "map"):
            token = "items" if reader.kind == "array" else "values"
            mark = "[]" if reader.kind == "array" else "{}"
            yield from self.compare(reader.parts[0], writer.parts[0], place.down(token, mark=mark))
        elif reader.kind == "union":
            for number, branch in enumerate(writer.parts):
                causes = self.compare(reader, branch, place.restarted())
                if causes:
                    yield self._missing_branch(reader, branch, place.branch(number, branch), causes)
        elif reader.name:
            yield from self._compare_named(reader, writer, place)

    def _compare_named(self, reader: Node, writer: Node, place: Place) -> Iterator[Incompatibility]:
        if reader.bare_name != writer.bare_name and writer.name not in reader.aliases:
            detail = f"expected: {writer.name}"
            yield self.incompatible(Rule.NAME_MISMATCH, reader, writer, place.down("name"), detail)
        if reader.kind == "fixed" and reader.size != writer.size:
            detail = f"expected: {writer.size}, found: {reader.size}"
            yield self.incompatible(Rule.FIXED_SIZE_MISMATCH, reader, writer, place.down("size"), detail)
        elif reader.kind == "enum":
            missing = sorted(set(writer.symbols) - set(reader.symbols))
            if missing and reader.enum_default not in reader.symbols:
                detail = f"[{', '.join(missing)}]"
                yield self.incompatible(Rule.MISSING_ENUM_SYMBOLS, reader, writer, place.down("symbols"), detail)
        elif reader.kind == "record":
            yield from self._compare_fields(reader, writer, place.down("fields"))

    def _compare_fields(self, reader: Node, writer: Node, place: Place) -> Iterator[Incompatibility]:
        written = {item.name: item for item in writer.fields}
        for number, item in enumerate(reader.fields):
            here = place.into_field(number, item.name)
            sources = [written[name] for name in (item.name, *item.aliases) if name in written]
            if len(sources) > 1:
                detail = f"field {item.name} matches {' and '.join(source.name for source in sources)} of the writer"
                raise _AmbiguousAlias(reader, writer, here, detail)
            if sources:
                yield from self.compare(item.type, sources[0].type, here.down("type"))
            elif not item.has_default:
                yield from self._unfilled(reader, item, writer, here)

    def _unfilled(self, reader: Node, item: Field, writer: Node, place: Place) -> Iterator[Incompatibility]:
        if item.type.kind == "enum" and item.type.enum_default is not None:
            # Java compares such an enum with the writer's whole record, which comes out as a mismatch of types.
            yield from self.compare(item.type, writer, place.down("type"))
        else:
            rule = Rule.READER_FIELD_MISSING_DEFAULT_VALUE
            yield self.incompatible(rule, reader, writer, place, item.name)

    def _compare_kinds(self, reader: Node, writer: Node, place: Place) -> Iterator[Incompatibility]:
        if writer.kind == "union":
            for number, branch in enumerate(writer.parts):
                yield from self.compare(reader, branch, place.branch(number, branch))
        elif reader.kind == "union":
            same: tuple[Incompatibility, ...] = ()
            for branch in reader.parts:
                causes = self.compare(branch, writer, place.restarted())
                if not causes:
                    return
                if not same and branch.kind == writer.kind and branch.bare_name == writer.bare_name:
                    same = causes
            yield self._missing_branch(reader, writer, place, same)
        elif writer.kind not in _PROMOTIONS.get(reader.kind, ()):
            detail = f"reader type: {reader.kind.upper()} not compatible with writer type: {writer.kind.upper()}"
            yield self.incompatible(Rule.TYPE_MISMATCH, reader, writer, place, detail)

    def _missing_branch(
        self, reader: Node, writer: Node, place: Place, causes: Sequence[Incompatibility]
    ) -> Incompatibility:
        inner = [cause for found in causes for cause in (found.causes or (found,))]
        causes = [cause for cause in inner if cause.rule is not Rule.MISSING_UNION_BRANCH or cause.causes]
        detail = f"reader union lacking writer type: {writer.kind.upper()}"
        return self.incompatible(Rule.MISSING_UNION_BRANCH, reader, writer, place, detail, causes)
