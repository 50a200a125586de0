"""A request as a value: what the URL, the headers and the form ask for, before anything is run."""

from __future__ import annotations

import base64
import binascii
import hmac
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from tradewire.operations.clickhouse_server.errors import ClickHouseError
from tradewire.operations.clickhouse_server.native import FLAGS_SINCE

# Parameters that are not settings of the engine: the HTTP layer answers for them itself.
RESERVED: Final = frozenset(
    {
        "query", "database", "default_format", "compress", "decompress", "user", "password", "quota_key", "query_id",
        "stacktrace", "role", "buffer_size", "wait_end_of_query", "session_id", "session_timeout", "session_check",
        "client_protocol_version", "close_session",
    }
)  # fmt: skip
# Settings that only shape HTTP; the engine knows them and may validate them, but acting on them is this process's work.
MAX_SESSION_TIMEOUT_S: Final = 3600
DEFAULT_SESSION_TIMEOUT_S: Final = 60


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks. ``scheme`` is where it was said: header, basic, parameters or none."""

    user: str
    password: str
    scheme: str


@dataclass(frozen=True, slots=True)
class SessionAsk:
    """The session a request belongs to."""

    id: str
    timeout_s: int
    check: bool
    close: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """Everything a request says besides its body. ``settings`` and ``parameters`` are unvalidated text."""

    method: str
    query: str
    query_id: str
    database: str
    default_format: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    roles: tuple[str, ...]
    session: SessionAsk | None
    wait_end_of_query: bool
    buffer_size: int
    compress: bool
    decompress: bool
    protocol_version: int
    accept_encoding: str
    content_encoding: str
    content_type: str
    external: Mapping[str, str] = field(default_factory=dict)

    @property
    def read_only(self) -> bool:
        """A server lets GET and HEAD only read, whatever the statement."""
        return self.method != "POST"


def _flag(name: str, value: str) -> bool:
    lowered = value.strip().lower()
    if lowered in ("1", "true"):
        return True
    if lowered in ("0", "false", ""):
        return False
    raise ClickHouseError(467, f"Cannot parse boolean value of parameter '{name}': '{value}'")


def _number(name: str, value: str) -> int:
    if not value.isdigit():
        raise ClickHouseError(72, f"Cannot parse number of parameter '{name}': '{value}'")
    return int(value)


def _protocol_version(text: str) -> int:
    version = _number("client_protocol_version", text)
    if version >= FLAGS_SINCE:
        raise ClickHouseError(
            48,
            f"client_protocol_version {version} is not supported by this endpoint, only versions below {FLAGS_SINCE}",
        )
    return version


def parse_pairs(query_string: str) -> list[tuple[str, str]]:
    """The pairs of a URL's query string; bytes that are not UTF-8 survive as surrogates and reach the engine intact."""
    return parse_qsl(query_string, keep_blank_values=True, encoding="utf-8", errors="surrogateescape")


def _session(values: Mapping[str, str]) -> SessionAsk | None:
    id = values.get("session_id", "")
    if not id:
        return None
    text = values.get("session_timeout")
    timeout_s = DEFAULT_SESSION_TIMEOUT_S
    if text is not None:
        if not text.isdigit():
            raise ClickHouseError(374, f"Invalid session timeout: '{text}'")
        timeout_s = int(text)
        if timeout_s > MAX_SESSION_TIMEOUT_S:
            raise ClickHouseError(
                374,
                f"Session timeout '{text}' is larger than max_session_timeout: {MAX_SESSION_TIMEOUT_S}. "
                "Maximum session timeout could be modified in configuration file.",
            )
    return SessionAsk(
        id,
        timeout_s,
        check=values.get("session_check") == "1",
        close=_flag("close_session", values.get("close_session", "0")),
    )


def parse(method: str, pairs: Iterable[tuple[str, str]], headers: Mapping[str, str]) -> Ask:
    """The request in URL and form pairs and headers; the last of a repeated parameter counts, roles add up.

    ``headers`` must be case-insensitive. Raises ClickHouseError for a parameter that cannot be read.
    """
    pairs = list(pairs)
    values = dict(pairs)
    content_type = headers.get("Content-Type", "")
    multipart = content_type.lower().startswith("multipart/form-data")
    settings: dict[str, str] = {}
    parameters: dict[str, str] = {}
    external: dict[str, str] = {}
    for name, value in pairs:
        if not name or name in RESERVED:
            continue
        if name.startswith("param_"):
            parameters[name[len("param_") :]] = value
        elif multipart and name.endswith(("_format", "_types", "_structure")):
            external[name] = value
        else:
            settings[name] = value
    wait = values.get("wait_end_of_query", settings.get("http_wait_end_of_query", "0"))
    return Ask(
        method=method,
        query="".join(value for name, value in pairs if name == "query"),
        query_id=values.get("query_id") or headers.get("X-ClickHouse-Query-Id", "") or str(uuid.uuid4()),
        database=headers.get("X-ClickHouse-Database", "") or values.get("database", ""),
        default_format=headers.get("X-ClickHouse-Format", "") or values.get("default_format", "") or "TabSeparated",
        settings=settings,
        parameters=parameters,
        roles=tuple(value for name, value in pairs if name == "role"),
        session=_session(values),
        wait_end_of_query=_flag("wait_end_of_query", wait),
        buffer_size=_number("buffer_size", values.get("buffer_size", settings.get("http_response_buffer_size", "0"))),
        compress=_flag("compress", values.get("compress", "0")),
        decompress=_flag("decompress", values.get("decompress", "0")),
        protocol_version=_protocol_version(values.get("client_protocol_version", "0")),
        accept_encoding=headers.get("Accept-Encoding", ""),
        content_encoding=headers.get("Content-Encoding", ""),
        content_type=content_type,
        external=external,
    )


def credentials(pairs: Iterable[tuple[str, str]], headers: Mapping[str, str]) -> Credentials:
    """User and password from exactly one of headers, Authorization and parameters; two at once are refused (516)."""
    values = dict(pairs)
    by_header = any(headers.get(n) for n in ("X-ClickHouse-User", "X-ClickHouse-Key"))
    authorization = headers.get("Authorization", "")
    by_parameter = "user" in values or "password" in values
    if by_header:
        if authorization:
            raise _refused("it is not allowed to use X-ClickHouse HTTP headers and Authorization HTTP header at once")
        if by_parameter:
            raise _refused("it is not allowed to use X-ClickHouse HTTP headers and other methods at once")
        return Credentials(headers.get("X-ClickHouse-User", ""), headers.get("X-ClickHouse-Key", ""), "header")
    if authorization:
        if by_parameter:
            raise _refused("it is not allowed to use Authorization HTTP header and parameters at once")
        return _basic(authorization)
    scheme = "parameters" if by_parameter else "none"
    return Credentials(values.get("user", "default"), values.get("password", ""), scheme)


def _refused(why: str) -> ClickHouseError:
    return ClickHouseError(516, f"Invalid authentication: {why}")


def _basic(authorization: str) -> Credentials:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise _refused(f"'{scheme}' HTTP Authorization scheme is not supported")
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _refused("the Authorization HTTP header is not base64 of user:password") from error
    return Credentials(user, password, "basic")


def authenticate(given: Credentials, users: Mapping[str, str]) -> str:
    """The user's name when the password is right; ClickHouseError 516 otherwise, in constant time per password."""
    expected = users.get(given.user)
    if expected is not None and hmac.compare_digest(expected.encode(), given.password.encode()):
        return given.user
    raise ClickHouseError(
        516,
        f"{given.user}: Authentication failed: password is incorrect, or there is no user with such name.",
    )
