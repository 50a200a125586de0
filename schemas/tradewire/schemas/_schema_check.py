"""What is wrong with a schema that somebody wrote: field, reason and fix, in the words of its author.

Stricter than Avro where leniency would hurt later: an enum needs a default symbol (else no symbol can ever be added), a
default must be one of the first branch of a union (registries refuse others), money is no float. Docs may be missing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final

from tradewire.schemas._defaults import default_bytes
from tradewire.schemas._shape import Shape, shape_of

PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
COMPLEX: Final = ("record", "enum", "fixed", "array", "map")
# ClickHouse's widest decimal.
PRECISION_MAX: Final = 76
NESTING_MAX: Final = 64
MONEY_WORDS: Final = frozenset(
    {"price", "prices", "quantity", "qty", "amount", "size", "volume", "notional", "strike", "premium"}
    | {"fee", "fees", "commission", "cost", "pnl", "equity", "cash", "balance", "margin"}
    | {"bid", "ask", "open", "high", "low", "close", "vwap"}
)
_QUALIFIERS: Final = frozenset(
    {"max", "min", "avg", "average", "total", "sum", "before", "after", "usd", "usdt", "usdc", "eur", "gbp", "jpy"}
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PROPERTIES: Final = ("type", "version", "aggregate", "predecessors", "topic")
_KEY_TYPES: Final = ("string", "long", "int")


class Fault(Exception):
    """Raised for the first thing that is wrong; ``field`` is "" where it is the record itself."""

    def __init__(self, field: str, why: str, fix: str) -> None:
        super().__init__(why)
        self.field = field
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        where = f"field {self.field}: " if self.field else ""
        return f"{where}{self.why}; {self.fix}"


def check_schema(schema: Any, type: str, version: int) -> None:
    """Checks the schema of an event type as its file holds it.

    Raises:
        Fault: names the field, the reason and the fix.
    """
    if not isinstance(schema, Mapping) or schema.get("type") != "record":
        raise Fault("", "the schema of an event must be an Avro record", 'begin with {"type": "record", "name": ...}')
    _Checker().record(schema, "", "", 0)
    _check_properties(schema, type, version)


class _Checker:
    def __init__(self) -> None:
        self._defined: dict[str, Mapping[str, Any]] = {}

    def type(self, avro: Any, field: str, space: str, depth: int) -> None:
        if depth > NESTING_MAX:
            raise Fault(field, f"types are nested more than {NESTING_MAX} levels deep", "make it flatter")
        if isinstance(avro, str):
            self._reference(avro, field, space)
        elif isinstance(avro, list):
            self._union(avro, field, space, depth)
        elif not isinstance(avro, Mapping) or "type" not in avro:
            raise Fault(field, f"{avro!r} is no type", 'write a name, an object with "type", or a list of both')
        elif isinstance(avro["type"], list | Mapping):
            self.type(avro["type"], field, space, depth + 1)
        else:
            self._complex(avro, field, space, depth)

    def _complex(self, avro: Mapping[str, Any], field: str, space: str, depth: int) -> None:
        kind = avro["type"]
        if kind == "record":
            self.record(avro, field, space, depth)
        elif kind == "enum":
            self._define(avro, field, space)
            _check_enum(avro, field)
        elif kind == "fixed":
            self._define(avro, field, space)
            if not isinstance(avro.get("size"), int) or avro["size"] < 1:
                raise Fault(field, f"fixed {avro['name']} has size {avro.get('size')!r}", "give its number of bytes")
        elif kind in ("array", "map"):
            part = "items" if kind == "array" else "values"
            if part not in avro:
                raise Fault(field, f"the {kind} does not say what it holds", f'add "{part}"')
            self.type(avro[part], f"{field}[]", space, depth + 1)
        elif isinstance(kind, str):
            self._reference(kind, field, space)
        else:
            raise Fault(field, f"{kind!r} is no type", "write the name of a type")
        _check_decimal(avro, field)

    def record(self, avro: Mapping[str, Any], field: str, space: str, depth: int) -> None:
        space = self._define(avro, field, space)
        fields = avro.get("fields")
        if not isinstance(fields, list):
            raise Fault(field, f"record {avro['name']} has no list of fields", 'add "fields": []')
        seen: set[str] = set()
        for number, item in enumerate(fields, start=1):
            if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
                raise Fault(field, f"field number {number} of {avro['name']} has no name", 'add "name"')
            name = item["name"]
            path = f"{field}.{name}" if field else name
            if not _NAME.match(name):
                raise Fault(path, f"{name!r} is no Avro name", "use letters, digits and _, not a digit first")
            if name in seen:
                raise Fault(path, f"{avro['name']} has two fields of this name", "rename or remove one")
            seen.add(name)
            if "type" not in item:
                raise Fault(path, "it has no type", 'add "type"')
            self.type(item["type"], path, space, depth + 1)
            self._check_money(name, item["type"], path)
            if "default" in item:
                self._check_default(item, path, space)

    def _check_money(self, name: str, avro: Any, path: str) -> None:
        if _is_money(name) and _has_float(avro):
            raise Fault(
                path,
                "money and quantities are no floats: 0.1 + 0.2 is not 0.3 in one",
                'use {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 18}, or, if it is neither, '
                "a name whose last word says what it is (price_zscore, price_ratio)",
            )

    def _define(self, avro: Mapping[str, Any], field: str, space: str) -> str:
        name, namespace = avro.get("name"), avro.get("namespace", space)
        if not isinstance(name, str) or not all(_NAME.match(part) for part in name.split(".")):
            raise Fault(field, f"the {avro['type']} has the name {name!r}", "use letters, digits and _, no digit first")
        if not isinstance(namespace, str) or (namespace and not all(map(_NAME.match, namespace.split(".")))):
            raise Fault(field, f"{name} has the namespace {namespace!r}", "use names with dots between, as acme.desk")
        if name in (*PRIMITIVES, *COMPLEX):
            raise Fault(field, f"{name!r} is a type of Avro's own", "choose another name")
        full = f"{namespace}.{name}" if namespace and "." not in name else name
        if full in self._defined:
            raise Fault(field, f"{full} is defined twice", "define it where it is first used and name it after that")
        self._defined[full] = avro
        return full.rpartition(".")[0]

    def _reference(self, name: str, field: str, space: str) -> None:
        if name in PRIMITIVES or name in self._defined or f"{space}.{name}" in self._defined:
            return
        known = {*PRIMITIVES, *COMPLEX, *self._defined, *(full.rpartition(".")[2] for full in self._defined)}
        if name in COMPLEX:
            raise Fault(field, f"{name!r} needs an object", f'write {{"type": "{name}", ...}}')
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        raise Fault(
            field,
            f"the type {name!r} is unknown",
            f"did you mean {near[0]!r}?" if near else "define it in this file, where it is first used",
        )

    def _union(self, branches: list[Any], field: str, space: str, depth: int) -> None:
        if not branches:
            raise Fault(field, "the union is empty", 'write ["null", <type>] for a field that may be absent')
        seen: set[str] = set()
        for branch in branches:
            if isinstance(branch, list):
                raise Fault(field, "a union holds a union", "make one list of both")
            self.type(branch, field, space, depth + 1)
            name = branch if isinstance(branch, str) else str(branch.get("name", branch["type"]))
            if name in seen:
                raise Fault(field, f"the union has {name} twice", "remove one")
            seen.add(name)

    def _check_default(self, item: Mapping[str, Any], path: str, space: str) -> None:
        if isinstance(item["type"], list):
            first = item["type"][0]
            if first == "null" and item["default"] is None:
                return
            shape, fix = self._shape(first, space), "put the branch of the default first in the union"
        else:
            shape, fix = self._shape(item["type"], space), "correct the default"
        try:
            default_bytes(shape, item["default"])
        except (ValueError, RecursionError) as error:
            raise Fault(path, f"the default {item['default']!r} is none of its type: {error}", fix) from None

    def _shape(self, avro: Any, space: str) -> Shape:
        """The shape of a type that may name others of this file."""
        return shape_of(_Inline(self._defined, space).resolved(avro))


class _Inline:
    """Puts definitions in place of names, each once, so that a part of a schema stands alone."""

    def __init__(self, defined: Mapping[str, Mapping[str, Any]], space: str) -> None:
        self._defined = defined
        self._done: set[str] = set()
        self._space = space

    def resolved(self, avro: Any, space: str | None = None) -> Any:
        space = self._space if space is None else space
        if isinstance(avro, list):
            return [self.resolved(branch, space) for branch in avro]
        if isinstance(avro, str):
            full = avro if avro in self._defined else f"{space}.{avro}"
            if avro in PRIMITIVES or full not in self._defined:
                return avro
            return full if full in self._done else self.resolved(self._defined[full], full.rpartition(".")[0])
        out = dict(avro)
        if "name" in out:
            full = (
                out["name"]
                if "." in out["name"]
                else ".".join(filter(None, (out.get("namespace", space), out["name"])))
            )
            if full in self._done:
                return full
            self._done.add(full)
            space = full.rpartition(".")[0]
            out["name"] = full
            out.pop("namespace", None)
        for key in ("items", "values"):
            if key in out:
                out[key] = self.resolved(out[key], space)
        if out.get("type") == "record":
            out["fields"] = [
                {key: field[key] for key in field if key in ("name", "default", "aliases")}
                | {"type": self.resolved(field["type"], space)}
                for field in out["fields"]
            ]
        elif not isinstance(out["type"], str) or out["type"] not in COMPLEX:
            out["type"] = self.resolved(out["type"], space)
        return out


def _is_money(name: str) -> bool:
    words = name.lower().split("_")
    while len(words) > 1 and words[-1] in _QUALIFIERS:
        words.pop()
    return words[-1] in MONEY_WORDS


def _has_float(avro: Any) -> bool:
    """Whether values of the field itself are floats; the fields of a record inside are judged by their own names."""
    if isinstance(avro, list):
        return any(map(_has_float, avro))
    if isinstance(avro, Mapping):
        return any(_has_float(avro[key]) for key in ("type", "items", "values") if key in avro)
    return avro in ("float", "double")


def _check_enum(avro: Mapping[str, Any], field: str) -> None:
    name, symbols = avro["name"], avro.get("symbols")
    if not isinstance(symbols, list) or not symbols:
        raise Fault(field, f"enum {name} has no symbols", 'add "symbols": ["UNKNOWN", ...]')
    for symbol in symbols:
        if not isinstance(symbol, str) or not _NAME.match(symbol):
            raise Fault(field, f"enum {name} has the symbol {symbol!r}", "use letters, digits and _, no digit first")
        if symbols.count(symbol) > 1:
            raise Fault(field, f"enum {name} has the symbol {symbol!r} twice", "remove one")
    default = avro.get("default")
    if default is None:
        raise Fault(
            field,
            f"enum {name} has no default symbol, so that no symbol can be added without breaking older readers",
            'add a symbol "UNKNOWN" and "default": "UNKNOWN" to the enum (beside its symbols, not to the field)',
        )
    if default not in symbols:
        raise Fault(field, f"enum {name} has the default {default!r}, which is none of its symbols", "add it to them")


def _check_decimal(avro: Mapping[str, Any], field: str) -> None:
    if avro.get("logicalType") != "decimal":
        return
    kind, precision, scale = avro["type"], avro.get("precision"), avro.get("scale", 0)
    if kind not in ("bytes", "fixed"):
        raise Fault(field, f"a decimal cannot be kept in {kind}", 'use "type": "bytes"')
    if not isinstance(precision, int) or not 1 <= precision <= PRECISION_MAX:
        why = f"the decimal has precision {precision!r}; ClickHouse holds 1 to {PRECISION_MAX} digits"
        raise Fault(field, why, 'set "precision": 38')
    if not isinstance(scale, int) or not 0 <= scale <= precision:
        raise Fault(field, f"the decimal has scale {scale!r} and precision {precision}", "give 0 to precision places")


def _check_properties(schema: Mapping[str, Any], type: str, version: int) -> None:
    """The property ``tradewire``, which may be left out."""
    said = schema.get("tradewire", {})
    if not isinstance(said, Mapping):
        raise Fault("", f"the property tradewire is {said!r}", 'write an object, as {"aggregate": "order_id"}')
    for key in said:
        if key not in _PROPERTIES:
            near = difflib.get_close_matches(str(key), _PROPERTIES, n=1)
            fix = f"did you mean {near[0]!r}?" if near else f"it may have {', '.join(_PROPERTIES)}"
            raise Fault("", f"the property tradewire has an unknown key {key!r}", fix)
    if said.get("type", type) != type:
        raise Fault("", f"the schema says type {said['type']!r}, the folder says {type!r}", "make both the same")
    if said.get("version", version) != version:
        raise Fault(
            "", f"the schema says version {said['version']!r}, the file name says {version}", "make both the same"
        )
    topic = said.get("topic")
    if topic is not None and (not isinstance(topic, str) or not topic):
        raise Fault("", f"the property tradewire.topic is {topic!r}", "name a topic of the file of topics")
    aggregate = said.get("aggregate")
    if aggregate is None:
        return
    if not isinstance(aggregate, str):
        raise Fault("", f"the property tradewire.aggregate is {aggregate!r}", "name fields, with ':' between")
    kinds = {field["name"]: field["type"] for field in schema["fields"]}
    for part in aggregate.split(":"):
        if part not in kinds:
            near = difflib.get_close_matches(part, kinds, n=1)
            fix = f"did you mean {near[0]!r}?" if near else "name fields of the record, with ':' between"
            raise Fault(part, "tradewire.aggregate names it, and the record has no such field", fix)
        if kinds[part] not in _KEY_TYPES:
            raise Fault(
                part,
                f"tradewire.aggregate names it, and its type is {kinds[part]!r}: the key is made of it, so it must "
                "always have a value that is the same text for all",
                "use a string or a long that is not null",
            )
