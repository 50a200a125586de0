"""Writes Python source that encodes data of one schema, byte for byte as fastavro does, and compiles it.

What the generated code gains: no look-up of the schema while writing, decimals by one multiplication in C instead of a
loop over digits, integers by table. It checks as it goes; data that fails any check is looked at again by
``find_misfit``, which knows the words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import MIN_EMIN, Context, Decimal, Inexact, InvalidOperation, Overflow, Rounded
from io import BytesIO
from struct import Struct
from typing import Any, Final

import fastavro

from tradewire.core.errors import EventInvalid
from tradewire.schemas import _misfit
from tradewire.schemas._defaults import default_bytes
from tradewire.schemas._misfit import NESTING_MAX, Misfit, Symbols, find_misfit
from tradewire.schemas._native_plan import NATIVE, Plan, plan_of
from tradewire.schemas._shape import Shape, shape_of
from tradewire.schemas._source import Source, function_of
from tradewire.schemas._varints import MORE, TABLE, WHOLE, varint

Encoder = Callable[[Mapping[str, Any]], bytes]
# Up to here the length of a decimal's bytes is found in the table.
_PRECISION_MAX: Final = 4_000
_MISSING: Final = object()
_TEXTS_KEPT: Final = 256
_TEXT_BYTES_KEPT: Final = 64
_TAILS_KEPT: Final = 4096
_TAILS: Final[dict[int, bytes]] = {}


def _text(value: Any, memo: dict[str, bytes]) -> bytes:
    """The bytes of a text; ``memo`` keeps the first short ones."""
    if type(value) is not str:
        value = _misfit.as_text(value)
    octets: bytes = value.encode()
    n = len(octets)
    found = (WHOLE[n + n] if n < TABLE // 2 else varint(n + n)) + octets
    if len(memo) < _TEXTS_KEPT and n <= _TEXT_BYTES_KEPT:
        memo[value] = found
    return found


def _long_varint(n: int) -> bytes:
    """The bytes of a number; the upper ones are kept in ``_TAILS``."""
    if n >> 64:
        raise Misfit("does not fit 64 bits")
    if n >> 28:
        if len(_TAILS) >= _TAILS_KEPT:
            _TAILS.clear()
        _TAILS[n >> 28] = varint(n >> 28)
    return varint(n)


def _too_deep() -> Misfit:
    return Misfit(f"is nested more than {NESTING_MAX} levels deep")


_NAMES: Final[dict[str, Any]] = {
    "MISSING": _MISSING,
    "MORE": MORE,
    "WHOLE": WHOLE,
    "Decimal": Decimal,
    "Misfit": Misfit,
    "TAILS": _TAILS,
    "long_varint": _long_varint,
    "text": _text,
    "too_deep": _too_deep,
    "varint": varint,
    "pack_float": Struct("<f").pack,
    "pack_double": Struct("<d").pack,
    **{name: getattr(_misfit, name) for name in dir(_misfit) if name.startswith("as_")},
    "to_base": _misfit.to_base,
}


def scaling(precision: int, scale: int) -> tuple[Callable[..., Decimal], Callable[..., Decimal], Decimal]:
    """What makes a decimal its unscaled integer, ``int(exact(times(x, power)))``, and refuses what would not be whole.

    A digit lost (Rounded) is one decimal place or one digit too many; Emax refuses numbers too large before they are
    made: the integer of ``1E+999999999`` would take minutes.

    Raises:
        Uncompilable: there is no such type, or none whose bytes the tables can count.
    """
    if precision > _PRECISION_MAX or scale > precision:
        raise Uncompilable
    traps = [InvalidOperation, Rounded, Inexact, Overflow]
    context = Context(prec=precision, Emax=precision - 1, Emin=MIN_EMIN, traps=traps)
    return context.multiply, context.to_integral_exact, Decimal((0, (1,), scale))


class Uncompilable(Exception):
    """Raised for a type that only fastavro writes: a union of more than null and one other."""


class EncoderFactory:
    """Makes encoders of one schema; compiling is done once.

    Where there is an encoder in C (see ``_native_plan``) it comes first, and the one in Python writes what it leaves.
    """

    def __init__(self, schema: Any, title: str, *, native: bool = True) -> None:
        self._title = title
        self._plan: Plan | None = None
        self._shape = shape_of(schema)
        self._schema = schema
        try:
            writer = _Writer(self._shape, title)
        except Uncompilable:
            self._source = None
        else:
            self._source = writer.source
            self._code = writer.source.compile()
            if native and NATIVE is not None:
                self._plan = plan_of(self._shape)

    @property
    def is_native(self) -> bool:
        """Whether ordinary data is written in C."""
        return self._plan is not None

    @property
    def is_compiled(self) -> bool:
        """Whether data is written by generated code; otherwise it is checked by us and written by fastavro."""
        return self._source is not None

    def encoder(self, prefix: bytes) -> Encoder:
        """A function that encodes data behind ``prefix``; it raises EventInvalid, naming the field."""
        if self._source is None:
            return self._fallback(prefix)
        names = self._source.namespace | {"PREFIX": prefix, "refuse": self._refuse}
        encode = function_of(self._code, names, "encode")
        if self._plan is None or NATIVE is None:
            return encode
        native: Encoder = NATIVE.Encoder(self._plan, prefix, encode)
        return native

    def _refuse(self, data: Any, error: Exception) -> EventInvalid:
        return EventInvalid(f"{self._title}: {find_misfit(self._shape, data) or repr(error)}")

    def _fallback(self, prefix: bytes) -> Encoder:
        parsed = fastavro.parse_schema(self._schema)
        shape = self._shape

        def encode(data: Mapping[str, Any]) -> bytes:
            misfit = find_misfit(shape, data)
            if misfit is not None:
                raise EventInvalid(f"{self._title}: {misfit}")
            stream = BytesIO()
            stream.write(prefix)
            try:
                fastavro.schemaless_writer(stream, parsed, data, strict_allow_default=True)
            except Exception as error:  # fastavro raises several unrelated kinds for data that does not fit
                raise EventInvalid(f"{self._title}: {error}") from error
            return stream.getvalue()

        return encode


class _Writer:
    """Emits ``encode(data)`` and a function for each record, array and map below it.

    A value becomes one or more pieces, variables that hold bytes; all pieces of a record are joined at once, which is
    cheaper than adding them up one by one.
    """

    def __init__(self, shape: Shape, title: str) -> None:
        self.source = Source(title)
        self.source.namespace.update(_NAMES)
        self._is_recursive = shape.is_recursive
        self._functions: dict[int, str] = {}
        self._pending: list[Shape] = []
        self._variables = 0
        self._scalings: dict[tuple[int, int], tuple[str, str, str]] = {}
        self._entry(shape)
        while self._pending:
            self._function(self._pending.pop())

    def _add(self, depth: int, *lines: str) -> None:
        for line in lines:
            self.source.add(depth, line)

    def _pieces(self, count: int = 1) -> list[str]:
        self._variables += count
        return [f"p{number}" for number in range(self._variables - count, self._variables)]

    def _assign(self, depth: int, pieces: list[str], value: str) -> None:
        """All of ``value``, an expression, to the first piece, nothing to the others."""
        self._add(depth, f"{pieces[0]} = {value}", *([f"{' = '.join(pieces[1:])} = b''"] if pieces[1:] else []))

    def _entry(self, shape: Shape) -> None:
        self._add(0, "def encode(data):")
        self._add(1, "try:")
        if self._is_recursive:
            self._add(2, f"d = {NESTING_MAX}")
        if shape.kind == "record" and not shape.logical:
            self._add(2, "r = data")
            pieces = self._fields(shape, 2)
        else:
            self._add(2, "x = data")
            pieces = self._value(shape, 2)
        self._add(2, f"return b''.join((PREFIX, {', '.join(pieces)}))")
        self._add(1, "except Exception as error:")
        self._add(2, "raise refuse(data, error) from None")

    def _call(self, shape: Shape) -> str:
        name = self._functions.get(id(shape))
        if name is None:
            name = self._functions[id(shape)] = f"write_{len(self._functions)}"
            self._pending.append(shape)
        return f"{name}(x, d - 1)" if self._is_recursive else f"{name}(x)"

    def _function(self, shape: Shape) -> None:
        first = "r" if shape.kind == "record" else "xs"
        self._add(0, f"def {self._functions[id(shape)]}({first}{', d' if self._is_recursive else ''}):")
        if self._is_recursive:
            self._add(1, "if d < 0: raise too_deep()")
        if shape.kind == "record":
            self._add(1, f"return b''.join(({', '.join(self._fields(shape, 1))},))")
        else:
            self._items(shape)

    def _items(self, shape: Shape) -> None:
        is_map = shape.kind == "map"
        self._add(1, f"if type(xs) is not {'dict: xs = as_mapping(xs)' if is_map else 'list: xs = as_sequence(xs)'}")
        self._add(
            1, "n = len(xs)", r"if not n: return b'\0'", f"o = [WHOLE[n + n] if n < {TABLE // 2} else varint(n + n)]"
        )
        pieces = []
        if is_map:
            self._add(1, "for x, y in xs.items():")
            pieces += self._value(Shape("string", {}), 2)
            self._add(2, "x = y")
        else:
            self._add(1, "for x in xs:")
        item = shape.parts[0]
        if item.is_flat_record and not self._is_recursive:
            self._add(2, "r = x")
            pieces += self._fields(item, 2)
        else:
            pieces += self._value(item, 2)
        self._add(2, f"o += {', '.join(pieces)}," if len(pieces) > 1 else f"o.append({pieces[0]})")
        self._add(1, r"o.append(b'\0')", "return b''.join(o)")

    def _fields(self, shape: Shape, depth: int) -> list[str]:
        """Emits the fields of the record in ``r``."""
        fields = shape.fields
        if len({field["name"] for field in fields}) != len(fields):
            raise Uncompilable
        self._add(depth, "if type(r) is not dict: r = as_mapping(r)", "k = len(r)")
        pieces: list[str] = []
        for field, part in zip(fields, shape.parts, strict=True):
            self.source.label = str(field["name"])
            default = self._default(field, part)
            if default is None:
                self._add(depth, f"x = r[{field['name']!r}]")
                pieces += self._value(part, depth)
                continue
            self._add(depth, f"x = r.get({field['name']!r}, MISSING)", "if x is not MISSING:")
            own = self._value(part, depth + 1)
            self._add(depth, "else:")
            self._add(depth + 1, "k += 1")
            self._assign(depth + 1, own, self.source.constant(default))
            pieces += own
        # Every field was found or defaulted: a surplus in the count is a field that the schema does not have.
        self._add(depth, f"if k != {len(fields)}: raise Misfit")
        return pieces or ["b''"]

    def _default(self, field: Mapping[str, Any], part: Shape) -> bytes | None:
        if "default" not in field:
            return None
        try:
            return default_bytes(part, field["default"])
        except ValueError:
            return None  # left out, the field is refused

    def _value(self, shape: Shape, depth: int) -> list[str]:
        """Emits the value in ``x``."""
        if shape.logical == "foreign":
            self._add(depth, f"x = to_base({self.source.constant(shape)}, x)")
        if shape.kind == "union":
            return self._optional(shape, depth)
        if shape.kind in ("record", "array", "map"):
            pieces = self._pieces()
            self._add(depth, f"{pieces[0]} = {self._call(shape)}")
            return pieces
        if shape.logical == "decimal":
            return self._decimal(shape, depth)
        if shape.kind in ("int", "long"):
            return self._integer(shape, depth)
        if shape.kind in ("string", "bytes"):
            return self._octets(shape, depth)
        return self._leaf(shape, depth)

    def _optional(self, shape: Shape, depth: int) -> list[str]:
        if not shape.is_optional:
            raise Uncompilable
        null, index = (0, 1) if shape.parts[0].kind == "null" else (1, 0)
        part = shape.parts[index]
        tag = self._pieces()
        self._add(depth, "if x is not None:")
        if part.kind == "array":
            self._add(depth + 1, "if type(x) is tuple: raise Misfit")  # fastavro takes it for the name of a branch
        self._add(depth + 1, f"{tag[0]} = {varint(2 * index)!r}")
        pieces = tag + self._value(part, depth + 1)
        self._add(depth, "else:")
        self._assign(depth + 1, pieces, repr(varint(2 * null)))
        return pieces

    def _integer(self, shape: Shape, depth: int) -> list[str]:
        self._add(depth, "if type(x) is not int: x = as_whole(x)", "n = x + x if x >= 0 else -x - x - 1")
        if shape.kind == "int":
            pieces = self._pieces()
            self._add(depth, f"if n >= {1 << 32}: raise Misfit")
            self._add(depth, f"{pieces[0]} = WHOLE[n] if n < {TABLE} else varint(n)")
            return pieces
        # The times of a feed share their high bits for an eighth of a second, so the bytes of these are kept.
        pieces = self._pieces(5)
        self._add(depth, f"{pieces[4]} = TAILS.get(n >> 28)", f"if {pieces[4]} is not None:")
        self._add(depth + 1, "n &= 0xFFFFFFF", f"{pieces[0]} = MORE[n & 127]", f"{pieces[1]} = MORE[n >> 7 & 127]")
        self._add(depth + 1, f"{pieces[2]} = MORE[n >> 14 & 127]", f"{pieces[3]} = MORE[n >> 21]")
        self._add(depth, "else:")
        self._assign(depth + 1, pieces, f"WHOLE[n] if n < {TABLE} else long_varint(n)")
        return pieces

    def _octets(self, shape: Shape, depth: int) -> list[str]:
        text = shape.kind == "string"
        if text and not self.source.label.endswith("id"):
            # Venues and symbols come again and again, ids do not; a field of ever new texts stops filling its memo.
            pieces = self._pieces()
            memo = self.source.constant({}, "memo")
            # A long text is never kept, and hashing it costs more than encoding it.
            self._add(depth, f"{pieces[0]} = {memo}.get(x) if len(x) <= {_TEXT_BYTES_KEPT} else None")
            self._add(depth, f"if {pieces[0]} is None: {pieces[0]} = text(x, {memo})")
            return pieces
        pieces = self._pieces(2)
        self._add(depth, f"if type(x) is not {'str: x = as_text(x)' if text else 'bytes: x = as_octets(x)'}")
        self._add(depth, f"{pieces[1]} = x{'.encode()' if text else ''}", f"n = len({pieces[1]})")
        self._add(depth, f"{pieces[0]} = WHOLE[n + n] if n < {TABLE // 2} else varint(n + n)")
        return pieces

    def _decimal(self, shape: Shape, depth: int) -> list[str]:
        precision, scale = shape.precision, shape.scale
        times, exact, power = self._scalings.get((precision, scale)) or self._scaling(precision, scale)
        self._add(depth, "if type(x) is not Decimal: x = as_decimal(x)", f"n = int({exact}({times}(x, {power})))")
        # Zero is never rounded, and its only digit's place is its exponent: 0E-30 is refused as 1E-30 is.
        self._add(depth, f"if not n and x.adjusted() < {-scale}: raise Misfit")
        if shape.kind == "fixed":
            pieces = self._pieces()
            self._add(depth, f"{pieces[0]} = n.to_bytes({shape.schema['size']}, 'big', signed=True)")
            return pieces
        pieces = self._pieces(2)
        self._add(depth, "m = n.bit_length() + 8 >> 3", f"{pieces[0]} = WHOLE[m + m]")
        self._add(depth, f"{pieces[1]} = n.to_bytes(m) if n >= 0 else n.to_bytes(m, 'big', signed=True)")
        return pieces

    def _scaling(self, precision: int, scale: int) -> tuple[str, str, str]:
        times, exact, power = scaling(precision, scale)
        names = (
            self.source.constant(times, "times"),
            self.source.constant(exact, "exact"),
            self.source.constant(power, "power"),
        )
        self._scalings[precision, scale] = names
        return names

    def _leaf(self, shape: Shape, depth: int) -> list[str]:
        kind = shape.kind
        pieces = self._pieces()
        p = pieces[0]
        if kind == "fixed":
            self._add(depth, "if type(x) is not bytes: x = as_octets(x)")
            self._add(depth, f"if len(x) != {shape.schema['size']}: raise Misfit", f"{p} = x")
        elif kind == "enum":
            symbols = Symbols({symbol: varint(2 * index) for index, symbol in enumerate(shape.schema["symbols"])})
            self._add(depth, f"{p} = {self.source.constant(symbols)}[x]")
        elif kind == "boolean":
            self._add(depth, rf"if x is True: {p} = b'\1'", rf"elif x is False: {p} = b'\0'", "else: raise Misfit")
        elif kind in ("float", "double"):
            self._add(depth, "if type(x) is not float: x = as_real(x)", f"{p} = pack_{kind}(x)")
        elif kind == "null":
            self._add(depth, "if x is not None: raise Misfit", f"{p} = b''")
        else:
            raise Uncompilable
        return pieces
