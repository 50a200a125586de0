"""What a feed yields, and the reading of fields that all parsers share."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tradewire.producers.errors import FeedError
from tradewire.schemas import Event

_INTEGER: Final = re.compile(r"[0-9]{1,19}")
# What the contract's decimals keep: 38 digits, 18 of them after the point.
_DECIMAL: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,18})?")
_LINE_BYTES_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class OtherKind:
    """A well-formed line that stands for no event of ours; counted by ``kind``."""

    kind: str


FeedItem = Event | OtherKind | FeedError
"""A FeedError is yielded, not raised, so that a feed can go on behind a malformed line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, and the place to name when it is wrong."""

    file: str
    number: int
    text: str

    def error(self, message: str, **context: object) -> FeedError:
        """The error that says where it is; raise or yield it."""
        return FeedError(message, file=self.file, line=self.number, **context)

    def integer(self, text: object, field: str) -> int:
        """A count or time without sign, at most 64 bits. Raises FeedError."""
        if not isinstance(text, str):
            text = str(text) if isinstance(text, int) and not isinstance(text, bool) else repr(text)
        if _INTEGER.fullmatch(text) is None or int(text) >= 2**63:
            raise self.error(f"field {field} is {text[:64]!r}, not a whole number from 0 to 2^63-1", field=field)
        return int(text)

    def decimal(self, text: object, field: str) -> Decimal:
        """A price or quantity without sign, written in digits. Raises FeedError."""
        if not isinstance(text, str) or _DECIMAL.fullmatch(text) is None:
            raise self.error(
                f"field {field} is {str(text)[:64]!r}, not a decimal of at most 20 digits and 18 decimal places",
                field=field,
            )
        return Decimal(text)


class LineFile:
    """The lines of a plain or gzipped text file, numbered from 1, with the bytes read so far of those on disk."""

    def __init__(self, path: Path) -> None:
        """Raises FeedError when the file cannot be opened."""
        self.path = path
        try:
            self._raw = path.open("rb")
            self.size_bytes = path.stat().st_size
        except OSError as error:
            raise FeedError(f"cannot be opened: {error.strerror}", file=str(path), line=0) from error

    @property
    def read_bytes(self) -> int:
        """How far reading has come, in the bytes of ``size_bytes``; a buffer ahead of the last line yielded."""
        return self._raw.tell() if not self._raw.closed else self.size_bytes

    def __iter__(self) -> Iterator[Line | FeedError]:
        """Lines without their end; empty ones are left out. A line that is not UTF-8 or too long is a FeedError.

        Raises:
            FeedError: the file ends in the middle of its compression, or cannot be read on.
        """
        file, number = str(self.path), 0
        gzipped = self._raw.read(2) == b"\x1f\x8b"
        self._raw.seek(0)
        stream = gzip.GzipFile(fileobj=self._raw) if gzipped else self._raw
        while True:
            try:
                raw = stream.readline(_LINE_BYTES_MAX)
            except (OSError, EOFError, zlib.error) as error:
                raise FeedError(f"cannot be read on: {error}: is it cut off?", file=file, line=number + 1) from error
            if not raw:
                return
            number += 1
            if len(raw) == _LINE_BYTES_MAX and not raw.endswith(b"\n"):
                while raw and not raw.endswith(b"\n"):
                    raw = stream.readline(_LINE_BYTES_MAX)
                yield FeedError(f"longer than {_LINE_BYTES_MAX} bytes", file=file, line=number)
                continue
            try:
                text = raw.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                yield FeedError(f"not UTF-8: {error.reason} at byte {error.start}", file=file, line=number)
                continue
            if text:
                yield Line(file, number, text)

    def close(self) -> None:
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
