"""Reads columns of any make (lists, arrays, numpy, pandas, Arrow) as plain values, a stretch of rows at a time.

Nothing is imported for it: a pyarrow table brings its own methods, and who has none needs no pyarrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from tradewire.core import EventInvalid
from tradewire.schemas.column_encoder import Unscaled

_NS_PER_UNIT: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_ARROW_DECIMAL_BYTES: Final = 16


class Columns:
    """Named columns of equal length: a pyarrow Table or RecordBatch, a pandas DataFrame, or a mapping of arrays."""

    def __init__(self, columns: Any, title: str) -> None:
        """Raises EventInvalid: not columns, or not equally many values in each."""
        if hasattr(columns, "column_names"):  # Arrow
            found = {str(name): columns.column(at) for at, name in enumerate(columns.column_names)}
        elif isinstance(columns, Mapping) or hasattr(columns, "iloc"):
            found = {str(name): columns[name] for name in columns}
        else:
            raise EventInvalid(
                f"{title}: columns are given as {type(columns).__name__}: give a dict of arrays, a pyarrow Table or a "
                "RecordBatch"
            )
        self._columns: dict[str, Any] = found
        self.title = title
        self.rows = -1
        for name, column in found.items():
            self.check(name, column)
        self.rows = max(0, self.rows)

    @property
    def names(self) -> list[str]:
        return list(self._columns)

    def column(self, name: str) -> Any:
        return self._columns[name]

    def check(self, name: str, column: Any) -> None:
        """Raises EventInvalid: ``column`` is none, or has another number of values than the others."""
        if isinstance(column, str | bytes) or not hasattr(column, "__len__") or isinstance(column, Mapping | set):
            raise EventInvalid(f"{self.title}: column {name!r} is {type(column).__name__}, not an array", column=name)
        if self.rows < 0:
            self.rows = len(column)
        if len(column) != self.rows:
            raise EventInvalid(
                f"{self.title}: column {name!r} has {len(column)} values, the others {self.rows}", column=name
            )

    def part(self, low: int, high: int) -> dict[str, Sequence[Any]]:
        """The rows of ``[low, high)`` as plain values."""
        return {name: values(column, low, high, is_time=name.endswith("_ns")) for name, column in self._columns.items()}


def values(column: Any, low: int, high: int, *, is_time: bool) -> Sequence[Any]:
    """The values of ``[low, high)``. With ``is_time`` timestamps of any unit become nanoseconds since the epoch; one
    without a time zone is taken for UTC. Decimals of Arrow come unscaled. NaN is a float and no null; NaT is null.
    """
    if hasattr(column, "to_pylist") and hasattr(column, "slice"):
        return _of_arrow(column.slice(low, high - low), is_time)
    if hasattr(column, "iloc"):
        column = column.array if column.dtype.kind == "M" and is_time else column.to_numpy()
        if hasattr(column, "as_unit"):  # pandas' own times, with a zone perhaps
            return _whole(column[low:high].as_unit("ns").asi8.tolist())
    part = column[low:high]
    kind = getattr(getattr(part, "dtype", None), "kind", "")
    if kind == "M" and is_time:
        ns = part.astype("datetime64[ns]")
        if (ns.astype(part.dtype) != part)[~_is_nat(part)].any():
            raise EventInvalid(f"times between {part.min()} and {part.max()} do not fit 64 bits of nanoseconds")
        return _whole(ns.astype("int64").tolist())
    found: Sequence[Any] = part.tolist() if hasattr(part, "tolist") else part
    return found if isinstance(found, list) else list(found)


def _is_nat(part: Any) -> Any:
    return part != part


def _whole(ns: list[int]) -> list[int | None]:
    """NaT is the least 64-bit number."""
    return [None if n == -(1 << 63) else n for n in ns] if ns and min(ns) == -(1 << 63) else [*ns]


def _of_arrow(part: Any, is_time: bool) -> Sequence[Any]:
    kind = str(part.type)
    if kind.startswith("dictionary"):
        return _of_arrow(part.cast(part.type.value_type), is_time)
    if kind.startswith("timestamp") and is_time:
        factor = _NS_PER_UNIT[part.type.unit]
        whole = part.cast("int64").to_pylist()
        return [None if n is None else n * factor for n in whole] if factor > 1 or part.null_count else whole
    if kind.startswith("decimal128"):
        chunks = part.chunks if hasattr(part, "chunks") else [part]
        return Unscaled(chain.from_iterable(map(_unscaled, chunks)), part.type.scale)
    found: list[Any] = part.to_pylist()
    if kind.startswith("map"):
        return [None if pairs is None else dict(pairs) for pairs in found]
    return found


def _unscaled(chunk: Any) -> list[int | None]:
    """The 128-bit integers of an Arrow array of decimals, from its own memory: sixteen bytes each, little end first."""
    count, first = len(chunk), chunk.offset
    if not count:
        return []
    octets = memoryview(chunk.buffers()[1]).cast("B")
    octets = octets[first * _ARROW_DECIMAL_BYTES : (first + count) * _ARROW_DECIMAL_BYTES]
    low, high = octets.cast("Q").tolist()[::2], octets.cast("q").tolist()[1::2]
    numbers: list[int | None] = [b << 64 | a for a, b in zip(low, high, strict=True)] if any(high) else [*low]
    if not chunk.null_count:
        return numbers
    return [n if there else None for n, there in zip(numbers, chunk.is_valid().to_pylist(), strict=True)]
