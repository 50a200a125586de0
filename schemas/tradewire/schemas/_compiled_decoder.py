"""Writes Python source that decodes Avro binary of one schema, value for value as fastavro does, and compiles it.

Bytes are not believed: each length and count is held against the bytes that are left before anything is made of it, so
memory is bounded by the size of the input and the schema, and nesting by ``NESTING_MAX``. Slices past the end come out
short and move the position past the end, which the next read or the last line finds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import partial
from typing import Any, Final

from fastavro.read import LOGICAL_READERS

from tradewire.schemas._defaults import default_bytes
from tradewire.schemas._misfit import NESTING_MAX
from tradewire.schemas._resolution import Unresolvable, matching_branch, pair_fields, symbols_for
from tradewire.schemas._shape import Shape, shape_of
from tradewire.schemas._source import Source, function_of
from tradewire.schemas._varints import BadBytes, read_block, read_int_varint, read_span, read_varint

# Values without bytes (nulls in arrays, empty records) that one value may hold together: their counts cost nothing to
# write, and records of two such records each double with every level, so nothing in the input bounds them.
EMPTY_ITEMS_MAX: Final = 65_536
# Making a decimal of bytes takes time that grows with their square.
DECIMAL_BYTES_MAX: Final = 4096


class Decoder:
    """Reads data of a writer's schema as it was written, or as a reader's schema wants it.

    Raises:
        Exception: whatever fastavro raises for a schema that it cannot parse.
    """

    def __init__(self, writer: Any, reader: Any | None = None, *, title: str = "") -> None:
        emitter = _Emitter(shape_of(writer), None if reader is None else shape_of(reader), title)
        self._source = emitter.source
        self.read: Callable[[bytes, int], Any] = function_of(self._source.compile(), self._source.namespace, "decode")
        """``read(b, i)``: the value whose bytes are all of ``b`` from ``i`` on. Raises any Exception on bad bytes."""

    def reason(self, error: Exception) -> str:
        """What ``read`` found wrong, and in which field."""
        path = self._source.path(error)
        return f"field {path}: {_reason(error)}" if path else _reason(error)


def _reason(error: Exception) -> str:
    if isinstance(error, IndexError | struct.error):
        return "the bytes end too early, or a boolean is neither 0 nor 1"
    if isinstance(error, KeyError):
        return f"the enum has no symbol number {error}, or none that the newest version knows"
    if isinstance(error, Inexact):
        return "a decimal has more digits than the schema's precision"
    if isinstance(error, BadBytes | Unresolvable):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _leftover(i: int, e: int) -> BadBytes:
    return BadBytes(f"{e - i} bytes follow the data" if i < e else f"the last {i - e} bytes are missing")


def _too_deep() -> BadBytes:
    return BadBytes(f"the data is nested more than {NESTING_MAX} levels deep")


_NAMES: Final[dict[str, Any]] = {
    "BOOLEANS": (False, True),
    "BadBytes": BadBytes,
    "EMPTY_ITEMS_MAX": EMPTY_ITEMS_MAX,
    "Unresolvable": Unresolvable,
    "from_bytes": int.from_bytes,
    "leftover": _leftover,
    "read_block": read_block,
    "read_int_varint": read_int_varint,
    "read_span": read_span,
    "read_varint": read_varint,
    "too_deep": _too_deep,
    "unpack_double": struct.Struct("<d").unpack_from,
    "unpack_float": struct.Struct("<f").unpack_from,
}


class _Emitter:
    """Emits ``decode(b, i)`` and a function for each record, array and map below it.

    In the emitted code ``b`` are the bytes, ``i`` the position, ``e`` the end, ``d`` the levels of nesting left (only
    where the schema is recursive), ``z`` what is left of ``EMPTY_ITEMS_MAX`` (only where items can be empty).
    """

    def __init__(self, writer: Shape, reader: Shape | None, title: str) -> None:
        self.source = Source(title)
        self.source.namespace.update(_NAMES)
        self._is_recursive = writer.is_recursive
        self._has_empty_items = any(
            (s.kind == "array" and not s.parts[0].bytes_min) or (s.kind == "record" and not s.bytes_min)
            for s in writer.walk()
        )
        self._functions: dict[tuple[int, int], str] = {}
        self._pending: list[tuple[str, Shape, Shape | None]] = []
        self._variables = 0
        self._entry(writer, reader)
        while self._pending:
            self._function(*self._pending.pop())

    def _add(self, depth: int, *lines: str) -> None:
        for line in lines:
            self.source.add(depth, line)

    def _arguments(self, levels: str) -> str:
        return f"(b, i, e{levels if self._is_recursive else ''}{', z' if self._has_empty_items else ''})"

    def _entry(self, writer: Shape, reader: Shape | None) -> None:
        self._add(0, "def decode(b, i):")
        self._add(1, "e = len(b)")
        if self._is_recursive:
            self._add(1, f"d = {NESTING_MAX}")
        if self._has_empty_items:
            self._add(1, "z = [EMPTY_ITEMS_MAX]")
        target = None if reader is None else matching_branch(writer, reader)
        if writer.kind == "record" and not writer.logical and (reader is None or target is not None):
            result = self._fields(writer, target, 1)
        else:
            self._value(writer, reader, "x", 1)
            result = "x"
        self._add(1, "if i != e: raise leftover(i, e)", f"return {result}")

    def _call(self, writer: Shape, reader: Shape | None) -> str:
        key = id(writer), id(reader)
        name = self._functions.get(key)
        if name is None:
            name = self._functions[key] = f"read_{len(self._functions)}"
            self._pending.append((name, writer, reader))
        return name + self._arguments(", d - 1")

    def _function(self, name: str, writer: Shape, reader: Shape | None) -> None:
        self.source.label = ""
        self._add(0, f"def {name}{self._arguments(', d')}:")
        if self._is_recursive:
            self._add(1, "if d < 0: raise too_deep()")
        if writer.kind == "record":
            if not writer.bytes_min:
                self._spend(1, "1")
            self._add(1, f"return {self._fields(writer, reader, 1)}, i")
        else:
            self._items(writer, reader)

    def _spend(self, depth: int, count: str) -> None:
        self._add(depth, f"z[0] -= {count}")
        self._add(depth, "if z[0] < 0: raise BadBytes(f'more than {EMPTY_ITEMS_MAX} items have no bytes')")

    def _items(self, writer: Shape, reader: Shape | None) -> None:
        is_map = writer.kind == "map"
        item, target = writer.parts[0], None if reader is None else reader.parts[0]
        least = item.bytes_min + is_map
        self._add(1, f"o = {'{}' if is_map else '[]'}", "while True:")
        self._add(2, "n = b[i]", "if not n: return o, i + 1", "if n & 129:")
        self._add(3, f"n, i, stop = read_block(b, i, e, {least})", "if not n: return o, i")
        self._add(2, "else:")
        self._add(3, "n >>= 1", "i += 1", "stop = 0")
        self._add(3, f"if n * {least} > e - i: raise BadBytes(f'a block of {{n}} items, bytes left: {{e - i}}')")
        if not least:
            self._spend(2, "n")
        self._add(2, "for _ in range(n):")
        self.source.label = "[]"
        if is_map:
            self._span(3)
            self._add(3, "key = b[i:j].decode()", "i = j")
        flat = item if target is None else matching_branch(item, target)
        if flat is not None and not self._is_recursive and item.is_flat_record:
            self._add(3, f"x = {self._fields(item, None if target is None else flat, 3)}")
        else:
            self._value(item, target, "x", 3)
        self._add(3, "o[key] = x" if is_map else "o.append(x)")
        self.source.label = ""
        self._add(2, "if stop and i != stop: raise BadBytes('the items of a block are not as long as it says')")

    def _fields(self, writer: Shape, reader: Shape | None, depth: int) -> str:
        """Emits the fields of a record; answers the expression of the whole."""
        fields = writer.fields
        pairs = [(n, n) for n in range(len(fields))] if reader is None else pair_fields(writer, reader)
        takers = {source: number for source, number in pairs if source is not None}
        held: dict[int, str] = {}
        before = self.source.label
        for number, (field, part) in enumerate(zip(fields, writer.parts, strict=True)):
            self.source.label = f"{before}.{field['name']}" if before else str(field["name"])
            self._variables += 1
            held[number] = f"v{self._variables}"
            target = None if reader is None or number not in takers else reader.parts[takers[number]]
            self._value(part, target, held[number], depth)
        entries = []
        shown = writer if reader is None else reader
        for source, number in pairs:
            name = str(shown.fields[number]["name"])
            self.source.label = f"{before}.{name}" if before else name
            value = self._default(shown, number, depth) if source is None else held[source]
            entries.append(f"{name!r}: {value}")
        self.source.label = before
        return "{" + ", ".join(entries) + "}"

    def _default(self, reader: Shape, number: int, depth: int) -> str:
        """The value of a field that the writer does not have: a constant, or a call where it can be changed."""
        field, part = reader.fields[number], reader.parts[number]
        try:
            if "default" not in field:
                raise ValueError("the writer does not have the field, and it has no default")
            octets = default_bytes(part, field["default"])
        except ValueError as error:
            self._add(depth, f"raise Unresolvable({str(error)!r})")
            return "None"
        emitter = _Emitter(part, None, "default")
        read = function_of(emitter.source.compile(), emitter.source.namespace, "decode")
        value = read(octets, 0)
        if isinstance(value, list | dict):
            return self.source.constant(partial(read, octets, 0), "default") + "()"
        return self.source.constant(value, "default")

    def _value(self, writer: Shape, reader: Shape | None, x: str, depth: int) -> None:
        """Emits the reading of a value into the variable ``x``."""
        if writer.kind == "union":
            self._union(writer, reader, x, depth)
            return
        target = None if reader is None else matching_branch(writer, reader)
        if reader is not None and target is None:
            self._add(depth, f"raise Unresolvable({f'{writer.name} cannot be read as {reader.name}'!r})")
            return
        if writer.kind in ("record", "array", "map"):
            self._add(depth, f"{x}, i = {self._call(writer, target)}")
        elif writer.kind == "enum":
            self._number(depth)
            self._add(depth, f"{x} = {self.source.constant(symbols_for(writer, target))}[n]")
        elif writer.kind in ("bytes", "fixed", "string"):
            self._octets(writer, target, x, depth)
        else:
            self._leaf(writer, x, depth)
        self._convert(writer, target, x, depth)

    def _convert(self, writer: Shape, reader: Shape | None, x: str, depth: int) -> None:
        """Emits logical types but decimals, and promotions. The writer's logical type counts before the reader's."""
        shape = writer if writer.logical or reader is None else reader
        if writer.kind in ("int", "long") and shape.kind in ("float", "double"):
            self._add(depth, f"{x} = float({x})")
        if shape.logical == "foreign" and shape.foreign_key in LOGICAL_READERS:
            convert = self.source.constant(LOGICAL_READERS[shape.foreign_key], "logical")
            self._add(depth, f"{x} = {convert}({x}, {self.source.constant(dict(shape.schema), 'schema')}, None)")

    def _union(self, writer: Shape, reader: Shape | None, x: str, depth: int) -> None:
        self._number(depth)
        self._add(depth, f"if n & 1 or n >= {2 * len(writer.parts)}: raise BadBytes('the union has no such branch')")
        for number, branch in enumerate(writer.parts):
            self._add(depth, f"{'elif' if number else 'if'} n == {2 * number}:")
            self._value(branch, reader, x, depth + 1)

    def _number(self, depth: int, read: str = "read_varint") -> None:
        """Emits the reading of a mostly small number into ``n``, not yet unzigzagged."""
        self._add(depth, "n = b[i]", "if n < 128: i += 1", f"else: n, i = {read}(b, i)")

    def _span(self, depth: int, bytes_max: int | None = None) -> None:
        """Emits the reading of a length: the bytes are ``b[i:j]``."""
        self._add(depth, "n = b[i]", "if n & 129:")
        self._add(depth + 1, "i, j = read_span(b, i, e)")
        if bytes_max is not None:
            self._add(depth + 1, f"if j - i > {bytes_max}: raise BadBytes(f'a decimal has {{j - i}} bytes')")
        self._add(depth, "else:")
        self._add(depth + 1, "i += 1", "j = i + (n >> 1)")

    def _octets(self, writer: Shape, reader: Shape | None, x: str, depth: int) -> None:
        shape = writer if writer.logical or reader is None else reader
        is_decimal = shape.logical == "decimal" and shape.kind == writer.kind
        if writer.kind == "fixed":
            self._add(depth, f"j = i + {writer.schema['size']}")
        else:
            self._span(depth, DECIMAL_BYTES_MAX if is_decimal else None)
        if is_decimal:
            self._decimal(shape, x, depth)
        else:
            how = {("string", "string"): ".decode()", ("bytes", "string"): ".decode()"}
            how["string", "bytes"] = ".decode().encode()"  # fastavro holds the bytes of a promoted string to UTF-8, too
            self._add(depth, f"{x} = b[i:j]{how.get((writer.kind, shape.kind), '')}")
        self._add(depth, "i = j")

    def _decimal(self, shape: Shape, x: str, depth: int) -> None:
        """Emits a decimal of ``b[i:j]``; Inexact refuses digits beyond the precision, which fastavro rounds away."""
        context = Context(prec=shape.precision, traps=[InvalidOperation, Inexact, Overflow])
        times = self.source.constant(context.multiply, "times")
        power = self.source.constant(Decimal((0, (1,), -shape.scale)), "power")
        self._add(depth, f"{x} = {times}(from_bytes(b[i:j], 'big', signed=True), {power})")

    def _leaf(self, writer: Shape, x: str, depth: int) -> None:
        kind = writer.kind
        if kind in ("int", "long"):
            self._number(depth, "read_int_varint" if kind == "int" else "read_varint")
            self._add(depth, f"{x} = ~(n >> 1) if n & 1 else n >> 1")
        elif kind == "boolean":
            self._add(depth, f"{x} = BOOLEANS[b[i]]", "i += 1")
        elif kind in ("float", "double"):
            self._add(depth, f"{x} = unpack_{kind}(b, i)[0]", f"i += {4 if kind == 'float' else 8}")
        else:
            self._add(depth, f"{x} = None")
