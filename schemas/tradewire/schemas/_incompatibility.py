"""The values in which compatibility is told: rules, where in a schema, how grave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from tradewire.schemas._schema_tree import Node


class Rule(StrEnum):
    """The rule that is broken. The first six are Avro's, by Avro's names; the others are this house's."""

    NAME_MISMATCH = "NAME_MISMATCH"
    FIXED_SIZE_MISMATCH = "FIXED_SIZE_MISMATCH"
    MISSING_ENUM_SYMBOLS = "MISSING_ENUM_SYMBOLS"
    READER_FIELD_MISSING_DEFAULT_VALUE = "READER_FIELD_MISSING_DEFAULT_VALUE"
    TYPE_MISMATCH = "TYPE_MISMATCH"
    MISSING_UNION_BRANCH = "MISSING_UNION_BRANCH"
    AMBIGUOUS_ALIAS = "AMBIGUOUS_ALIAS"
    LOGICAL_TYPE_MISMATCH = "LOGICAL_TYPE_MISMATCH"
    LOSSY_PROMOTION = "LOSSY_PROMOTION"
    BYTES_AS_TEXT = "BYTES_AS_TEXT"


class Severity(StrEnum):
    """ERROR forbids; WARNING is said and allowed."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """One reason why data may not be read, or is read as something else.

    ``path`` is a JSON pointer into the reader's schema with field names in place of numbers, ``location`` the same as
    Avro's Java implementation writes it, ``field`` the field as a person would write it (``legs[].price``). ``detail``
    is Avro's own message; ``causes`` say why the branch of a union that was meant does not fit.
    """

    rule: Rule
    path: str
    message: str
    fix: str
    severity: Severity = Severity.ERROR
    location: str = "/"
    detail: str = ""
    field: str = ""
    causes: tuple[Incompatibility, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For machines: every value as text, causes nested."""
        return {
            "rule": self.rule.value,
            "severity": self.severity.value,
            "field": self.field,
            "path": self.path,
            "location": self.location,
            "message": self.message,
            "fix": self.fix,
            "detail": self.detail,
            "causes": [cause.as_json() for cause in self.causes],
        }


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the reader's schema, in the three spellings of ``Incompatibility``."""

    tokens: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    field: str = ""

    @property
    def location(self) -> str:
        return "/" + "/".join(token.replace("~", "~0").replace("/", "~1") for token in self.tokens)

    @property
    def path(self) -> str:
        return "/" + "/".join(name.replace("~", "~0").replace("/", "~1") for name in self.names)

    def down(self, token: str, *, mark: str = "") -> Place:
        """One step; ``mark`` is appended to the field (``[]`` for items)."""
        return Place((*self.tokens, token), (*self.names, token), self.field + mark)

    def into_field(self, number: int, name: str) -> Place:
        field = f"{self.field}.{name}" if self.field else name
        return Place((*self.tokens, str(number)), (*self.names, name), field)

    def branch(self, number: int, branch: Node) -> Place:
        """A branch of the writer's union, which Avro numbers and a person names."""
        return Place((*self.tokens, str(number)), (*self.names, branch.name or branch.kind), self.field)

    def restarted(self) -> Place:
        """Java forgets where it was when it tries the branches of a union; path and field are kept."""
        return replace(self, tokens=())
