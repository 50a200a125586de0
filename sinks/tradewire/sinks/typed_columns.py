"""Which column of a typed table takes a field of which version. Pure.

Versions of a type share one table, so that a count or a sum is over all of them. A column takes a field of its name
from every version whose values fit into it. A field whose values do not fit, or whose type differs in any way in a
breaking version, gets the column ``<field>_v<N>``, where N is the first version that needs it; later versions use the
newest column that fits. No column is ever changed or dropped: what old rows say stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_DECIMAL: Final = re.compile(r"Decimal\((\d+),(\d+)\)\Z")
_WIDER: Final[Mapping[str, frozenset[str]]] = {
    "Int64": frozenset(("Int32",)),
    "Float64": frozenset(("Float32", "Int32")),
}


def column_names(
    fields: Mapping[str, str], present: Mapping[str, str], version: str, *, breaking: bool
) -> dict[str, str]:
    """The column of each field.

    ``fields`` are column types by the plain column name of the field, ``present`` the types of the columns that the
    table has, ``version`` what tells this schema from others (``v2``).
    """
    names: dict[str, str] = {}
    for name, type in fields.items():
        others = {*fields, *names.values()} - {name}
        used = [column for column in present if _is_column_of(column, name) and column not in others]
        fitting = [column for column in used if takes(present[column], type, exactly=breaking)]
        if fitting:
            names[name] = max(fitting, key=lambda column: (_number(column, name), column))
        elif name not in present:
            names[name] = name
        else:
            names[name] = _free(f"{name}_{version}", {*present, *fields, *names.values()})
    return names


def takes(column: str, type: str, *, exactly: bool = False) -> bool:
    """Whether a column holds every value of a type without change."""
    if exactly:
        return _unquoted(column) == _unquoted(type)
    column, type = _plain(column), _plain(type)
    if column == type:
        return True
    if column.startswith("Nullable("):
        column = column[len("Nullable(") : -1]
        type = type.removeprefix("Nullable(")[:-1] if type.startswith("Nullable(") else type
        return takes(column, type)
    wide, narrow = _DECIMAL.match(column), _DECIMAL.match(type)
    if wide and narrow:
        return wide.group(2) == narrow.group(2) and int(wide.group(1)) >= int(narrow.group(1))
    return type in _WIDER.get(column, ())


def _unquoted(type: str) -> str:
    return type.replace("`", "").replace(" ", "")


def _plain(type: str) -> str:
    """The type without dictionaries, which do not change its values."""
    type = _unquoted(type)
    while "LowCardinality(" in type:
        start = type.index("LowCardinality(")
        end = _closing(type, start + len("LowCardinality("))
        type = type[:start] + type[start + len("LowCardinality(") : end] + type[end + 1 :]
    return type


def _closing(text: str, at: int) -> int:
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return at - 1


def _is_column_of(column: str, field: str) -> bool:
    return column == field or bool(re.fullmatch(re.escape(field) + r"_[vs]\d+_*", column))


def _number(column: str, field: str) -> int:
    found = re.fullmatch(re.escape(field) + r"_v(\d+)_*", column)
    return int(found.group(1)) if found else 0


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
