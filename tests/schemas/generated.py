"""Avro schemas and data made at random from a seed, with fastavro as the oracle of what they mean."""

from __future__ import annotations

import copy
import datetime as dt
import io
import math
import random
import struct
import uuid
from decimal import Decimal
from typing import Any

import fastavro

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "string", "bytes")
LOGICAL = (
    ("int", "date"),
    ("int", "time-millis"),
    ("long", "time-micros"),
    ("long", "timestamp-millis"),
    ("long", "timestamp-micros"),
    ("long", "local-timestamp-millis"),
    ("string", "uuid"),
    ("long", "timestamp-nanos"),  # fastavro does not know it and reads a long
)
TEXTS = ("", "BTCUSDT", "binance.spot", "ü", "漢字", "🚀", "\x00", "a" * 63, "b" * 64, "c" * 8191, "d" * 8192)
ODD_DECIMALS = tuple(map(Decimal, ("NaN", "sNaN", "-Infinity", "1E-19", "0E-40", "1E+21", "1E+999999", "1.50", "7")))
ODD_TIMES = (dt.date(2026, 1, 2), dt.time(1, 2), dt.datetime(2026, 1, 2, tzinfo=dt.UTC), uuid.UUID(int=7))
ODD_NUMBERS = (0, 1, -1, 1.5, math.nan, math.inf, 1e300, 1 << 31, 1 << 63, -(1 << 63) - 1)
ODD_TEXTS = ("", "x", "\ud800", b"", b"x", bytearray(b"x"))
ODD_GROUPS: tuple[Any, ...] = ([], [None], (), ("string", "x"), {}, {"x": 1}, {1: 2}, set(), object())
ODD_VALUES = (None, True, False, *ODD_NUMBERS, *ODD_TEXTS, *ODD_GROUPS, *ODD_DECIMALS, *ODD_TIMES)


class SchemaMaker:
    """Schemas of every construct, recursion, repeated names, defaults and general unions among them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._names: list[str] = []
        self._made = 0

    def record(self, depth: int = 3) -> dict[str, Any]:
        name = self._name("Record")
        record: dict[str, Any] = {"type": "record", "name": name}
        if self._random.random() < 0.3:
            record["namespace"] = "made"
        fields = []
        for number in range(self._random.randrange(7)):
            field: dict[str, Any] = {"name": f"f{number}", "type": self._type(depth, name)}
            if self._random.random() < 0.4:
                self._give_default(field)
            fields.append(field)
        return record | {"fields": fields}

    def _name(self, kind: str) -> str:
        self._made += 1
        return f"{kind}{self._made}"

    def _give_default(self, field: dict[str, Any]) -> None:
        kind = field["type"]
        kind = kind["type"] if isinstance(kind, dict) and "logicalType" not in kind else kind
        simple = {"boolean": True, "int": -5, "long": 1 << 40, "double": 1.5, "string": "näh", "array": [], "map": {}}
        if isinstance(kind, str) and kind in simple:
            field["default"] = simple[kind]
        elif kind == "enum":
            field["default"] = field["type"]["symbols"][-1]
        elif isinstance(kind, list) and "null" in kind:
            field["default"] = None

    def _type(self, depth: int, parent: str) -> Any:
        roll = self._random.random()
        if depth == 0 or roll < 0.35:
            return self._random.choice(PRIMITIVES)
        if roll < 0.5:
            return self._decimal()
        if roll < 0.57:
            kind, logical = self._random.choice(LOGICAL)
            return {"type": kind, "logicalType": logical}
        if roll < 0.64:
            count = self._random.choice((1, 2, 3, 70))
            return {"type": "enum", "name": self._name("Enum"), "symbols": [f"S{n}" for n in range(count)]}
        if roll < 0.68:
            return {"type": "fixed", "name": self._name("Fixed"), "size": self._random.choice((0, 1, 4, 16))}
        if roll < 0.76:
            return {"type": "array", "items": self._type(depth - 1, parent)}
        if roll < 0.82:
            return {"type": "map", "values": self._type(depth - 1, parent)}
        if roll < 0.92:
            other = self._type(depth - 1, parent)
            if other == "null" or isinstance(other, list):
                other = self._random.choice((parent, "long"))
            return self._random.choice((["null", other], [other, "null"]))
        if roll < 0.95:
            return self._random.sample(["null", "boolean", "long", "double", "string", "bytes"], 3)
        return self.record(depth - 1)

    def _decimal(self) -> dict[str, Any]:
        precision = self._random.choice((1, 5, 18, 28, 38, 60))
        scale = self._random.choice((0, 1, 2, 8, 18))
        decimal = {"logicalType": "decimal", "precision": precision, "scale": min(precision, scale)}
        if self._random.random() < 0.8:
            return {"type": "bytes"} | decimal
        return {"type": "fixed", "name": self._name("Amount"), "size": precision // 2 + 1} | decimal


class DataMaker:
    """Data that fits a schema, as any service might hold it."""

    def __init__(self, schema: Any, seed: int) -> None:
        self._named: dict[str, Any] = {}
        self.parsed = fastavro.parse_schema(copy.deepcopy(schema), self._named)
        self._random = random.Random(seed)

    def make(self) -> Any:
        return self._value(self.parsed, 6)

    def _value(self, schema: Any, depth: int) -> Any:
        pick = self._random
        if isinstance(schema, str) and schema in self._named:
            schema = self._named[schema]
        if isinstance(schema, list):
            branches = [branch for branch in schema if branch == "null"] if depth <= 0 else schema
            return self._value(pick.choice(branches or schema), depth)
        schema = {"type": schema} if isinstance(schema, str) else schema
        kind, logical = schema["type"], schema.get("logicalType")
        if logical == "decimal":
            return self._decimal(schema["precision"], schema["scale"])
        if logical is not None and logical != "timestamp-nanos":
            return self._logical(logical)
        if kind in ("record", "error"):
            return {
                field["name"]: self._value(field["type"], depth - 1)
                for field in schema["fields"]
                if "default" not in field or pick.random() < 0.6
            }
        if kind == "array":
            return [self._value(schema["items"], depth - 2) for _ in range(pick.choice((0, 1, 3)) if depth > 0 else 0)]
        if kind == "map":
            count = pick.choice((0, 1, 3)) if depth > 0 else 0
            return {pick.choice(TEXTS) + str(n): self._value(schema["values"], depth - 2) for n in range(count)}
        if kind == "enum":
            return pick.choice(schema["symbols"])
        if kind == "fixed":
            return pick.randbytes(schema["size"])
        return self._primitive(kind)

    def _primitive(self, kind: str) -> Any:
        pick = self._random
        bits = pick.randrange(64 if kind == "long" else 32)
        number = pick.choice((1, -1)) * pick.getrandbits(bits) if bits else pick.choice((0, -1))
        real = pick.choice((0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, pick.random(), float(pick.randrange(10**6))))
        values: dict[str, Any] = {
            "null": None,
            "boolean": pick.random() < 0.5,
            "int": max(-(1 << 31), min(number, (1 << 31) - 1)),
            "long": pick.choice((number, 1_723_161_255_342_000_001, (1 << 63) - 1, -(1 << 63))),
            "float": pick.choice((struct.unpack("<f", struct.pack("<f", real))[0], 3)),
            "double": pick.choice((real, 3)),
            "string": pick.choice(TEXTS),
            "bytes": pick.randbytes(pick.choice((0, 1, 20, 9000))),
        }
        return values[kind]

    def _decimal(self, precision: int, scale: int) -> Decimal:
        pick = self._random
        bits = pick.randrange(int(precision * 3.32) + 2)
        number = pick.choice((pick.getrandbits(bits), 1 << bits, (1 << bits) - 1, 0, 10**precision - 1))
        number = min(number, 10**precision - 1) * pick.choice((1, -1))
        digits = tuple(map(int, str(abs(number))))
        room = precision - scale - len(digits)
        exponent = room if room >= 0 and pick.random() < 0.3 else -scale
        return Decimal((int(number < 0), digits, exponent))

    def _logical(self, logical: str) -> Any:
        pick = self._random
        when = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=pick.randrange(-(10**12), 10**13))
        values: dict[str, Any] = {
            "date": pick.choice((when.date(), 20_000, "2026-02-03")),
            "time-millis": pick.choice((when.time(), 86_399_999)),
            "time-micros": pick.choice((when.time(), 86_399_999_999)),
            "timestamp-millis": pick.choice((when, 1_700_000_000_000)),
            "timestamp-micros": pick.choice((when, -1)),
            "local-timestamp-millis": pick.choice((when.replace(tzinfo=None), 5)),
            "uuid": pick.choice((uuid.UUID(int=pick.getrandbits(128)), str(uuid.UUID(int=5)))),
        }
        return values[logical]


def spoil(data: Any, pick: random.Random) -> Any:
    """A copy of ``data`` in which one value anywhere, or the set of fields, is something else."""
    data = copy.deepcopy(data)
    place: Any = data
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if isinstance(place, dict) and (not keys or pick.random() < 0.15):
            place[pick.choice(("surplus", 7))] = 1
            return data
        if not keys:
            place.append(pick.choice(ODD_VALUES))
            return data
        key = pick.choice(keys)
        if isinstance(place[key], dict | list) and pick.random() < 0.7:
            place = place[key]
        elif isinstance(place, dict) and pick.random() < 0.15:
            del place[key]
            return data
        else:
            place[key] = pick.choice(ODD_VALUES)
            return data


def fastavro_bytes(parsed: Any, data: Any) -> bytes:
    """What fastavro writes; raises whatever it raises."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, parsed, data, strict_allow_default=True)
    return stream.getvalue()


def fastavro_value(parsed: Any, octets: bytes, reader: Any = None) -> Any:
    """What fastavro reads, all bytes used; raises whatever it raises."""
    stream = io.BytesIO(octets)
    value: Any = fastavro.schemaless_reader(stream, parsed, reader)
    if stream.tell() != len(octets):
        raise ValueError(f"{len(octets) - stream.tell()} bytes follow")
    return value


def evolve(schema: dict[str, Any], pick: random.Random) -> dict[str, Any]:
    """A later version of a schema: fields added, dropped, renamed, moved, promoted, made optional, symbols dropped."""
    later = copy.deepcopy(schema)
    fields = later["fields"]
    for field in fields:
        if pick.random() < 0.3:
            _evolve_field(field, pick)
    if fields and pick.random() < 0.4:
        fields.remove(pick.choice(fields))
    if pick.random() < 0.4:
        pick.shuffle(fields)
    added: list[dict[str, Any]] = [
        {"type": "long", "default": 7},
        {"type": "string", "default": "new"},
        {"type": {"type": "array", "items": "string"}, "default": ["a"]},
        {"type": ["null", "double"], "default": None},
        {"type": "int"},
    ]
    if pick.random() < 0.6:
        fields.append({"name": "added"} | pick.choice(added))
    return later


def _evolve_field(field: dict[str, Any], pick: random.Random) -> None:
    wider = {"int": ("long", "float", "double"), "long": ("float", "double"), "float": ("double",)}
    wider |= {"string": ("bytes",), "bytes": ("string",)}
    kind = field["type"]
    field.pop("default", None)
    if isinstance(kind, str) and kind in wider and pick.random() < 0.8:
        field["type"] = pick.choice((*wider[kind], ["null", kind], [wider[kind][0], "null"]))
    elif isinstance(kind, list):
        field["type"] = pick.choice((kind[::-1], kind[1], [*kind, "boolean"] if "boolean" not in kind else kind))
    elif isinstance(kind, dict) and kind["type"] == "enum" and len(kind["symbols"]) > 1:
        kind["symbols"] = kind["symbols"][1:]
        if pick.random() < 0.5:
            kind["default"] = kind["symbols"][0]
    elif isinstance(kind, dict) and kind["type"] == "record":
        field["type"] = evolve(kind, pick)
    elif pick.random() < 0.5:
        field["aliases"] = [field["name"]]
        field["name"] += "_renamed"
    else:
        field["type"] = pick.choice(("long", "string", "boolean"))
