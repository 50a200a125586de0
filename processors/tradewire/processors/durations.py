"""Spans of time as people write them in declarations: a whole number and a unit."""

from __future__ import annotations

import re
from typing import Final

_NS_OF: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60 * 1_000_000_000,
    "h": 3_600 * 1_000_000_000,
    "d": 86_400 * 1_000_000_000,
}
_SPAN: Final = re.compile(r"^\s*(\d+)\s*([a-z]+)\s*$")
# Added to a time of today it still fits the 64 bits of a field.
_NS_MAX: Final = 3_650 * _NS_OF["d"]


def span_ns(text: object) -> int:
    """Nanoseconds of ``500 ms``, ``1 d``.

    Raises:
        ValueError: not such a text, or more than ten years.
    """
    match = _SPAN.match(text) if isinstance(text, str) else None
    if match is None or match[2] not in _NS_OF:
        raise ValueError(f"{text!r} is not a span of time: write a whole number and one of {', '.join(_NS_OF)}")
    found = int(match[1]) * _NS_OF[match[2]]
    if found > _NS_MAX:
        raise ValueError(f"{text!r} is more than ten years")
    return found


def span_text(span: int) -> str:
    """The shortest such text: ``span_ns`` of it gives ``span`` again."""
    for unit, size in reversed(_NS_OF.items()):
        if span % size == 0 and span >= size:
            return f"{span // size} {unit}"
    return f"{span} ns"
