"""The ``payload_text`` of an event: what it says as data, and how one of its fields is asked for. Pure.

It is text, not ClickHouse's JSON type: making a JSON column cost the engine six of fourteen microseconds a row, and
most rows are never asked for a field. Reading a field of the text costs a third of a microsecond; the alias column
``payload`` gives the JSON type to analysts at ten. Columns of typed tables are faster than both.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from tradewire.core.errors import QueryError


def payload_of(text: str) -> dict[str, Any]:
    """The fields that are not null; decimals are texts."""
    found: dict[str, Any] = _without_nulls(json.loads(text))
    return found


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


_STEP: Final = re.compile(r"([^.\[\]]+)((?:\[\d{1,6}\])*)")


def path_steps(path: str) -> list[str | int]:
    """The steps of a path: ``levels[0].price`` or, as JSONPath writes it, ``$.levels[0].price``. Pure.

    Raises:
        QueryError: it is no path; wildcards, filters and negative indexes are not known.
    """
    found: list[str | int] = []
    for part in path.removeprefix("$.").split("."):
        step = _STEP.fullmatch(part)
        if step is None:
            raise QueryError(
                f"payload path {path!r} is not like symbol, candle.open or levels[0].price", field=f"data.{path}"
            )
        found.append(step[1])
        found += [int(index) for index in re.findall(r"\d+", step[2])]
    return found


def field_condition(number: int, path: str, value: str) -> tuple[str, dict[str, str | int]]:
    """A condition of SQL that compares a field by its text, and its parameters, which end in ``number``.

    ``path`` names records within records by dots and elements of lists by their index from 0. Numbers and truth values
    are compared as they are written; a field that is null, a record, a list or not there equals nothing.

    Raises:
        QueryError: the path is none.
    """
    steps: dict[str, str | int] = {}
    names = ["payload_text"]
    for depth, step in enumerate(path_steps(path)):
        name = f"path_{number}_{depth}"
        # ClickHouse counts from 1.
        steps[name] = step if isinstance(step, str) else step + 1
        names.append(f"{{{name}:{'String' if isinstance(step, str) else 'Int32'}}}")
    field = ", ".join(names)
    text = (
        f"multiIf(JSONType({field}) = 'String', JSONExtractString({field}), "
        f"JSONType({field}) IN ('Int64', 'UInt64', 'Double', 'Bool'), JSONExtractRaw({field}), NULL)"
    )
    return f"{text} = {{value_{number}:String}}", {**steps, f"value_{number}": value}
