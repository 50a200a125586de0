"""ClickHouse errors as values: read out of an engine message, given an HTTP status, written as a client expects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from tradewire.core.errors import TradewireError

_CODE: Final = re.compile(r"Code: (\d+)\. ")
_VERSION_TAIL: Final = re.compile(r"\s*\(version [^()]*(?:\([^()]*\))?\)\s*$")
# An exception that the embedded engine wraps into another comes with code, name and version twice.
_WRAPPED_HEAD: Final = re.compile(r"(?:Code: \d+\. )?(?:DB::Exception: (?:Code: \d+\. )?)+")
_WRAPPED_TAIL: Final = re.compile(r"\.?\s*\([A-Z][A-Z0-9_]+\) \(version [^()]*(?:\([^()]*\))?\)\.?$")
# What only tells by which file this process hands data to the engine: a server's client sent no file.
_OUR_FILE: Final = re.compile(
    r": \(in file/uri /dev/fd/\d+\)|: While executing File\b|: data for INSERT was parsed from file"
)

# The names this package raises itself; every other code comes out of the engine with its own name.
NAMES: Final[dict[int, str]] = {
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    33: "CANNOT_READ_ALL_DATA",
    36: "BAD_ARGUMENTS",
    40: "CHECKSUM_DOESNT_MATCH",
    48: "NOT_IMPLEMENTED",
    62: "SYNTAX_ERROR",
    72: "CANNOT_PARSE_NUMBER",
    78: "UNKNOWN_TYPE_OF_QUERY",
    89: "UNKNOWN_COMPRESSION_METHOD",
    164: "READONLY",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    210: "NETWORK_ERROR",
    216: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
    236: "ABORTED",
    243: "NOT_ENOUGH_SPACE",
    271: "CANNOT_DECOMPRESS",
    358: "INTO_OUTFILE_NOT_ALLOWED",
    354: "ZLIB_INFLATE_FAILED",
    372: "SESSION_NOT_FOUND",
    373: "SESSION_IS_LOCKED",
    374: "INVALID_SESSION_TIMEOUT",
    381: "HTTP_LENGTH_REQUIRED",
    394: "QUERY_WAS_CANCELLED",
    408: "BAD_REQUEST_PARAMETER",
    439: "CANNOT_SCHEDULE_TASK",
    448: "BROTLI_READ_FAILED",
    467: "CANNOT_PARSE_BOOL",
    554: "LZMA_STREAM_DECODER_FAILED",
    561: "ZSTD_DECODER_FAILED",
    618: "LZ4_DECODER_FAILED",
    516: "AUTHENTICATION_FAILED",
    1002: "UNKNOWN_EXCEPTION",
}

# Which code means which status is the server's own table (exceptionCodeToHTTPStatus); everything else is a 500.
_BAD_REQUEST: Final = frozenset(
    {6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676}
)
_NOT_FOUND: Final = frozenset({46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511})
_FORBIDDEN: Final = frozenset({192, 193, 497, 512, 516})
_SINGLE: Final = {
    48: HTTPStatus.NOT_IMPLEMENTED,
    76: HTTPStatus.SERVICE_UNAVAILABLE,
    159: HTTPStatus.REQUEST_TIMEOUT,
    194: HTTPStatus.UNAUTHORIZED,
    209: HTTPStatus.SERVICE_UNAVAILABLE,
    229: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    381: HTTPStatus.LENGTH_REQUIRED,
    439: HTTPStatus.SERVICE_UNAVAILABLE,
    779: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}


class ClickHouseError(TradewireError):
    """Raised when a request or a query fails the way a ClickHouse server would fail it; ``code`` is ClickHouse's own.

    What the failed statement had already stored is the engine's matter: a single-block insert is all or nothing.
    """

    def __init__(self, code: int, detail: str, /, name: str | None = None) -> None:
        self.code = code
        self.name = name or NAMES.get(code, "UNKNOWN_EXCEPTION")
        self.detail = detail
        super().__init__(f"Code: {code}. DB::Exception: {detail} ({self.name})", code=code)

    def body(self, version: str) -> str:
        """The text a server of that version writes, without the line feed."""
        return f"{self.message} (version {version} (official build))"


@dataclass(frozen=True, slots=True)
class _Parsed:
    code: int
    detail: str
    name: str | None


def _parse(text: str) -> _Parsed | None:
    found = _CODE.search(text)
    if found is None:
        return None
    code = int(found.group(1))
    rest = _VERSION_TAIL.sub("", text[found.end() :].strip())
    name = None
    tail = re.search(r"\s*\(([A-Z][A-Z0-9_]+)\)$", rest)
    if tail is not None:
        name, rest = tail.group(1), rest[: tail.start()]
    head = _WRAPPED_HEAD.match(rest)
    rest = _OUR_FILE.sub("", _WRAPPED_TAIL.sub(".", rest[head.end() :] if head is not None else rest))
    return _Parsed(code, rest, name)


def from_engine(error: BaseException) -> ClickHouseError:
    """The ClickHouse error inside an exception of the embedded engine.

    A text without a code becomes 1002 UNKNOWN_EXCEPTION, never a success.
    """
    if isinstance(error, ClickHouseError):
        return error
    # A message that quotes bytes of a row cannot be had as text, but is in the exception all the same.
    text = error.object.decode("utf-8", "backslashreplace") if isinstance(error, UnicodeDecodeError) else str(error)
    parsed = _parse(text)
    if parsed is None:
        return ClickHouseError(1002, text or type(error).__name__)
    return ClickHouseError(parsed.code, parsed.detail, name=parsed.name)


def http_status(code: int) -> HTTPStatus:
    """The HTTP status a ClickHouse server answers with for an error code; 500 for every code it does not single out."""
    if code in _SINGLE:
        return _SINGLE[code]
    if code in _FORBIDDEN:
        return HTTPStatus.FORBIDDEN
    if code in _NOT_FOUND:
        return HTTPStatus.NOT_FOUND
    if code in _BAD_REQUEST:
        return HTTPStatus.BAD_REQUEST
    return HTTPStatus.INTERNAL_SERVER_ERROR
