"""What a schema means, whatever a registry or another tool did to its text.

As Avro's Parsing Canonical Form, docs, defaults, aliases and unknown properties do not count and names are full. Unlike
it, logical types do: two decimals of different scale are the same bytes and not the same price.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_NAMED: Final = ("record", "error", "enum", "fixed")
_LOGICAL: Final = ("logicalType", "precision", "scale")


def full_name(schema: Any, space: str = "") -> str:
    """The full name of a named type's definition; "" for what is no such thing."""
    if not isinstance(schema, Mapping):
        return ""
    name, namespace = str(schema.get("name", "")), schema.get("namespace", space)
    return f"{namespace}.{name}" if name and namespace and "." not in name else name


def fingerprint(schema: Any) -> str:
    """Equal for two schemas whose data are the same bytes with the same meaning. Never raises for valid Avro."""
    return json.dumps(_form(schema, "", set()), separators=(",", ":"), sort_keys=True)


def _form(schema: Any, space: str, defined: set[str]) -> Any:
    if isinstance(schema, list):
        return [_form(branch, space, defined) for branch in schema]
    if isinstance(schema, str):
        nested = f"{space}.{schema}" if space and "." not in schema else schema
        return nested if nested in defined else schema
    kind = schema["type"]
    if isinstance(kind, list | Mapping):
        return _form(kind, space, defined)
    if kind not in (*_NAMED, "array", "map"):
        logical = {key: schema[key] for key in _LOGICAL if schema.get(key)} if schema.get("logicalType") else {}
        return {"type": _form(kind, space, defined), **logical} if logical else _form(kind, space, defined)
    form: dict[str, Any] = {"type": "record" if kind == "error" else kind}
    if kind in _NAMED:
        form["name"] = full_name(schema, space)
        space = form["name"].rpartition(".")[0]
        defined.add(form["name"])
    if "fields" in schema and kind in ("record", "error"):
        form["fields"] = [[field["name"], _form(field["type"], space, defined)] for field in schema["fields"]]
    for key in ("items", "values"):
        if key in schema:
            form[key] = _form(schema[key], space, defined)
    for key in ("symbols", "size", *(_LOGICAL if schema.get("logicalType") else ())):
        if schema.get(key):
            form[key] = schema[key]
    return form
