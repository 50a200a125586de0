"""What is wrong with an entry of a declaration, in words of the file: the key, what it may be, how to write it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

_PERCENT: Final = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*%\s*$")
_Loc = tuple[int | str, ...]


def mistakes(error: ValidationError, model: type[BaseModel]) -> str:
    """All that pydantic found in an entry of ``model``, as one text.

    A key that is there under a misspelt name is told once, not as one that is missing and one too many.
    """
    found = error.errors()
    meant: set[_Loc] = set()
    said: list[tuple[_Loc, str]] = []
    for item in found:
        loc = item["loc"]
        if item["type"] == "extra_forbidden":
            keys = _keys(model, loc[:-1])
            near = difflib.get_close_matches(str(loc[-1]), keys, n=1, cutoff=0.6)
            meant.update((*loc[:-1], name) for name in near)
            hint = f"did you mean {near[0]}? " if near else ""
            said.append((loc, f"is not a key here; {hint}the keys are {', '.join(keys)}"))
        elif item["type"] != "missing":
            said.append((loc, _said(item)))
    missing = [(item["loc"], "is missing") for item in found if item["type"] == "missing" and item["loc"] not in meant]
    return "; ".join(f"{'.'.join(map(str, loc)) or 'the entry'}: {what}" for loc, what in (*said, *missing))


def _said(item: Mapping[str, Any]) -> str:
    kind, given = item["type"], item["input"]
    if kind == "list_type" and isinstance(given, str):
        return f"is a list: write [{given}]"
    if kind == "decimal_parsing" and (match := _PERCENT.match(str(given))):
        return f"{given!r} is not a number: write {Decimal(match[1]) / 100}"
    if kind in ("decimal_parsing", "decimal_type", "int_parsing", "int_type", "int_from_float"):
        return f"{given!r} is not a {'decimal' if kind.startswith('decimal') else 'whole'} number"
    if kind == "literal_error":
        return f"{given!r} is not one of {item['ctx']['expected']}"
    if kind in ("model_type", "model_attributes_type"):
        return f"keys with values are expected, found {given!r:.80}"
    return str(item["msg"]).removeprefix("Value error, ")


def _keys(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The keys of the entry at ``loc``, by the annotations of the models that lead there."""
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models(model.model_fields[part].annotation), model)
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
