"""Many rows of bytes at once: a piece that all rows share is written once, the others come as columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class Lines:
    """The pieces of rows in order. ``length_of`` writes the length before a value, ``null`` stands for none."""

    def __init__(self, rows: int, length_of: Callable[[int], bytes], null: bytes | None = None) -> None:
        self._rows = rows
        self._length_of = length_of
        self._null = null
        self._pieces: list[bytes | Sequence[bytes]] = []

    def constant(self, piece: bytes) -> None:
        if self._pieces and isinstance(self._pieces[-1], bytes):
            self._pieces[-1] += piece
        else:
            self._pieces.append(piece)

    def column(self, pieces: Sequence[bytes]) -> None:
        self._pieces.append(pieces)

    def sized(self, values: Sequence[bytes | None]) -> None:
        """Values behind their lengths, each written once where it is the same in all rows.

        Raises:
            TypeError: one is None, and there is nothing that stands for it.
        """
        length_of, null = self._length_of, self._null
        if null is not None and None in values:
            self.column([null if value is None else length_of(len(value)) + value for value in values])
            return
        found: Sequence[bytes] = values  # type: ignore[assignment]
        first = found[0]
        if found.count(first) == len(found):
            self.constant(length_of(len(first)) + first)
            return
        lengths = list(map(len, found))
        if lengths.count(lengths[0]) == len(lengths):
            self.constant(length_of(lengths[0]))
        else:
            self.column(list(map(length_of, lengths)))
        self.column(found)

    def pieces(self) -> list[bytes]:
        """Of all rows, one row after the other."""
        stride = len(self._pieces)
        flat = [b""] * (stride * self._rows)
        for at, piece in enumerate(self._pieces):
            flat[at::stride] = [piece] * self._rows if isinstance(piece, bytes) else piece
        return flat
