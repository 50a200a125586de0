"""See ``_native.c``."""

from collections.abc import Callable
from typing import Any

from tradewire.schemas.headers import Header

ABI: int

def gather(
    messages: list[Any], /
) -> tuple[
    list[int],
    list[int],
    list[bytes | None],
    list[bytes | None],
    tuple[str, ...] | None,
    list[list[bytes | None]] | None,
]: ...
def write_rows(
    head: bytes,
    offsets: list[int],
    stamps: list[int],
    times: list[bytes],
    seconds: Callable[[bytes], int],
    texts: tuple[list[bytes], ...],
    causes: list[bytes] | None,
    sequences: list[bytes] | None,
    tags: list[bytes] | None,
    kept: tuple[list[bytes], ...],
    keys: list[bytes | None],
    values: list[bytes | None],
    frame: int,
    /,
) -> bytes | None: ...
def header_lists(names: tuple[str, ...], columns: list[list[bytes | None]], rows: int, /) -> list[list[Header]]: ...
def canonical_rows(
    keys: list[bytes | None],
    values: list[bytes | None],
    names: tuple[bytes, ...],
    columns: list[list[bytes | None]],
    /,
) -> bytes | None: ...
def format_times(nanoseconds: list[int], second_text: Callable[[int], str], /) -> list[bytes] | None: ...
