"""See ``_native.c``."""

from collections.abc import Callable, Mapping
from typing import Any

ABI: int

class Encoder:
    def __init__(
        self, plan: tuple[Any, ...], prefix: bytes, fallback: Callable[[Mapping[str, Any]], bytes]
    ) -> None: ...
    def __call__(self, data: Mapping[str, Any], /) -> bytes: ...
