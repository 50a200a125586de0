"""Headers of the records of one partition by columns, as long as neighbours have the same names.

A header costs a tuple, a name and a value; a batch of fifty thousand records would hold millions of objects that the
processor's cache has long forgotten when a block is built. Here names are kept once per run and tuples not at all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias

from tradewire.schemas.headers import Header
from tradewire.sinks._native_loops import NATIVE

# So many records at once: what one call makes still lies in the processor's cache when it is taken apart.
RUN_ROWS: Final = 512
_name, _value = itemgetter(0), itemgetter(1)

Columns: TypeAlias = list[list[bytes | None]]


@dataclass(slots=True)
class _Run:
    """Neighbours with the same header names in the same order, a column per name; otherwise ``mixed`` has them."""

    rows: int
    names: tuple[str, ...] | None
    columns: Columns
    mixed: list[Sequence[Header]]

    @classmethod
    def of(cls, headers: list[Sequence[Header]]) -> _Run:
        rows, stride = len(headers), len(headers[0])
        flat = list(chain.from_iterable(headers))
        if len(flat) == rows * stride:
            names = list(map(_name, flat))
            if names == names[:stride] * rows:
                values = list(map(_value, flat))
                return cls(rows, tuple(names[:stride]), [values[at::stride] for at in range(stride)], [])
        return cls(rows, None, [], headers)

    def part(self, first: int, end: int) -> _Run:
        return _Run(end - first, self.names, [column[first:end] for column in self.columns], self.mixed[first:end])

    def headers(self, row: int) -> Sequence[Header]:
        if self.names is None:
            return self.mixed[row]
        return list(zip(self.names, [column[row] for column in self.columns], strict=True))

    def take_in(self, other: _Run) -> bool:
        """Whether the records of another run, which follow, have been added to this one."""
        if self.names is None or self.names != other.names or self.rows + other.rows > RUN_ROWS:
            return False
        for column, added in zip(self.columns, other.columns, strict=True):
            column += added
        self.rows += other.rows
        return True


def _headers(name: str, column: list[bytes | None]) -> list[Header]:
    first = column[0]
    return [(name, first)] * len(column) if column.count(first) == len(column) else [(name, value) for value in column]


class HeaderColumns:
    """The headers of consecutive records; a sequence of what ``Message.headers()`` gives."""

    __slots__ = ("_ends", "_runs")

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Sequence[Header]:
        at = bisect_right(self._ends, index)
        run = self._runs[at]
        return run.headers(index - self._ends[at] + run.rows)

    def __iter__(self) -> Iterator[Sequence[Header]]:
        for run in self._runs:
            for row in range(run.rows):
                yield run.headers(row)

    def extend(self, headers: Iterable[Sequence[Header]]) -> None:
        """Adds the headers of the records that follow."""
        found = list(headers)
        for at in range(0, len(found), RUN_ROWS):
            self._append(_Run.of(found[at : at + RUN_ROWS]))

    def extend_messages(self, messages: Sequence[Any]) -> None:
        """Adds those of messages of ``confluent_kafka``."""
        for at in range(0, len(messages), RUN_ROWS):
            self._append(_Run.of([message.headers() or () for message in messages[at : at + RUN_ROWS]]))

    def extend_columns(self, names: tuple[str, ...], columns: Columns, rows: int) -> None:
        """Adds those of ``rows`` records that all have these names; a column of values for each."""
        self._append(_Run(rows, names, columns, []))

    def runs(self) -> Iterator[tuple[int, tuple[str, ...] | None, Columns, list[Sequence[Header]]]]:
        """Neighbours in order: their number, and names with columns, or no names and the headers of each."""
        for run in self._runs:
            yield run.rows, run.names, run.columns, run.mixed

    def lists(self) -> Iterator[list[Header]]:
        """The headers of each record, as a producer takes them."""
        for run in self._runs:
            if run.names and NATIVE is not None:
                for first in range(0, run.rows, RUN_ROWS):
                    part = run.part(first, min(first + RUN_ROWS, run.rows))
                    yield from NATIVE.header_lists(run.names, part.columns, part.rows)
            elif run.names:
                headers = [_headers(name, column) for name, column in zip(run.names, run.columns, strict=True)]
                yield from map(list, zip(*headers, strict=True))
            else:
                yield from map(list, run.mixed if run.names is None else [()] * run.rows)

    def having(self, name: str) -> list[tuple[int, bytes | None]]:
        """Places and values of the records that have a header of this name; of several the last counts."""
        found: list[tuple[int, bytes | None]] = []
        for run, end in zip(self._runs, self._ends, strict=True):
            if run.names is None:
                for at, headers in enumerate(run.mixed):
                    values = [value for given, value in headers if given == name]
                    found += [(end - run.rows + at, values[-1])] if values else []
            elif name in run.names:
                column = run.columns[len(run.names) - 1 - run.names[::-1].index(name)]
                found += zip(range(end - run.rows, end), column, strict=True)
        return found

    def append_all(self, other: HeaderColumns) -> None:
        for run in other._runs:
            self._append(run.part(0, run.rows))

    def _append(self, run: _Run) -> None:
        if self._runs and self._runs[-1].take_in(run):
            self._ends[-1] += run.rows
        else:
            self._ends.append(len(self) + run.rows)
            self._runs.append(run)

    def part(self, first: int, end: int) -> HeaderColumns:
        """A copy of the records from ``first`` up to ``end``, exclusive."""
        part = HeaderColumns()
        for run in self._between(first, end):
            part._append(run)
        return part

    def _between(self, first: int, end: int) -> Iterator[_Run]:
        if first >= end:
            return
        for at in range(bisect_right(self._ends, first), len(self._runs)):
            run = self._runs[at]
            begins = self._ends[at] - run.rows
            if begins >= end:
                return
            yield run.part(max(0, first - begins), min(run.rows, end - begins))

    def columns(self, indexes: Sequence[int]) -> tuple[tuple[str, ...], Columns] | None:
        """Names and columns of the records at ascending ``indexes``; None unless all have the same names."""
        first, end = indexes[0], indexes[-1] + 1
        runs = list(self._between(first, end))
        names = runs[0].names
        if names is None or any(run.names != names for run in runs):
            return None
        columns = (
            runs[0].columns
            if len(runs) == 1
            else [list(chain.from_iterable(column)) for column in zip(*(run.columns for run in runs), strict=True)]
        )
        if end - first != len(indexes):
            columns = [[column[index - first] for index in indexes] for column in columns]
        return names, columns
