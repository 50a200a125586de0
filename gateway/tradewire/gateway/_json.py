"""JSON without floats: numbers with a fraction stay the decimal text they are, in both directions."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

from tradewire.gateway.problems import malformed


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the name {name!r} is given twice in one object")
            seen.add(name)
    return made


def read_json(body: bytes) -> Any:
    """Parses a body; numbers with a fraction or an exponent become Decimal, exactly as written.

    Raises:
        Problem: 400; not UTF-8, not JSON (line and column are named), NaN or Infinity, a name given twice.
    """
    try:
        return json.loads(
            body.decode(), parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_no_repeats
        )
    except json.JSONDecodeError as error:
        raise malformed(f"the body is not JSON: {error.msg}", line=error.lineno, column=error.colno) from error
    except UnicodeDecodeError as error:
        raise malformed(f"the body is not UTF-8: byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise malformed(f"the body is not JSON: {error}") from error


def plain(value: Any) -> Any:
    """Avro data as JSON values: a decimal is a string in plain notation, bytes are base64. Never a float for money."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def write_json(value: Any) -> bytes:
    """The bytes of an answer. NaN and infinities are refused by ValueError: they are not JSON."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str).encode()
